//! Cap'n Proto's calls over a Unix socket.

#[allow(clippy::all, clippy::pedantic, unused_qualifications)]
#[rustfmt::skip]
mod calc_capnp;

use std::rc::Rc;

use calc_capnp::calc;
use capnp_rpc::{RpcSystem, rpc_twoparty_capnp, twoparty};
use futures::AsyncReadExt;
use procall_bench_load::{Figures, Task, drive, line, touch};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;
use tokio_util::compat::TokioAsyncReadCompatExt;

type Failure = Box<dyn std::error::Error>;

struct Served;

impl calc::Server for Served {
    async fn add(
        self: Rc<Self>,
        params: calc::AddParams,
        mut results: calc::AddResults,
    ) -> Result<(), capnp::Error> {
        let params = params.get()?;
        results.get().set_sum(params.get_a() + params.get_b());
        Ok(())
    }

    async fn touch(
        self: Rc<Self>,
        params: calc::TouchParams,
        mut results: calc::TouchResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_sum(touch(params.get()?.get_payload()?));
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let task = Task::from_args()?;
    LocalSet::new()
        .run_until(async {
            if task.serves() {
                return serve(&task.path).await;
            }
            println!("{}", line(&call(&task).await?));
            Ok(())
        })
        .await
}

fn system(
    stream: UnixStream,
    side: rpc_twoparty_capnp::Side,
    served: Option<capnp::capability::Client>,
) -> RpcSystem<rpc_twoparty_capnp::Side> {
    let (reader, writer) = stream.compat().split();
    let mut options = capnp::message::ReaderOptions::new();
    // In words of 8 bytes: more than the largest payload.
    options.traversal_limit_in_words(Some(64 << 20));
    let network = twoparty::VatNetwork::new(
        futures::io::BufReader::new(reader),
        futures::io::BufWriter::new(writer),
        side,
        options,
    );
    RpcSystem::new(Box::new(network), served)
}

async fn serve(path: &str) -> Result<(), Failure> {
    let listener = UnixListener::bind(path)?;
    println!("ready");
    let served: calc::Client = capnp_rpc::new_client(Served);
    loop {
        let (stream, _) = listener.accept().await?;
        let side = rpc_twoparty_capnp::Side::Server;
        tokio::task::spawn_local(system(stream, side, Some(served.clone().client)));
    }
}

async fn call(task: &Task) -> Result<Figures, Failure> {
    let stream = UnixStream::connect(&task.path).await?;
    let mut system = system(stream, rpc_twoparty_capnp::Side::Client, None);
    let calc: calc::Client = system.bootstrap(rpc_twoparty_capnp::Side::Server);
    tokio::task::spawn_local(system);
    let payload = vec![1_u8; task.workload.bytes()];
    let toucher = calc.clone();
    let add = move |n| {
        let calc = calc.clone();
        async move {
            let mut request = calc.add_request();
            request.get().set_a(n);
            request.get().set_b(1);
            let answer = request.send().promise.await.expect("add answers");
            assert_eq!(answer.get().expect("a result").get_sum(), n + 1);
        }
    };
    drive(task, add, || async {
        let mut request = toucher.touch_request();
        request.get().set_payload(&payload);
        request.send().promise.await.expect("touch answers");
    })
    .await
}
