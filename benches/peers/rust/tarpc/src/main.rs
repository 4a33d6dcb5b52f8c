//! tarpc over a Unix socket, its values as bincode.

use futures::StreamExt;
use procall_bench_load::{Figures, Task, drive, line, touch};
use serde_bytes::ByteBuf;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport};

type Failure = Box<dyn std::error::Error>;

/// More than the largest payload.
const FRAME: usize = 128 << 20;

#[tarpc::service]
trait Calc {
    async fn add(a: i64, b: i64) -> i64;
    async fn touch(payload: ByteBuf) -> u64;
}

#[derive(Clone)]
struct Served;

impl Calc for Served {
    async fn add(self, _: context::Context, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn touch(self, _: context::Context, payload: ByteBuf) -> u64 {
        touch(&payload)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let task = Task::from_args()?;
    if task.serves() {
        return serve(&task).await;
    }
    println!("{}", line(&call(&task).await?));
    Ok(())
}

async fn serve(task: &Task) -> Result<(), Failure> {
    let mut incoming = serde_transport::unix::listen(&task.path, Bincode::default).await?;
    incoming.config_mut().max_frame_length(FRAME);
    println!("ready");
    while let Some(transport) = incoming.next().await {
        let answers = BaseChannel::with_defaults(transport?).execute(Served.serve());
        tokio::spawn(answers.for_each(|answer| async move {
            tokio::spawn(answer);
        }));
    }
    Ok(())
}

async fn call(task: &Task) -> Result<Figures, Failure> {
    let mut connecting = serde_transport::unix::connect(&task.path, Bincode::default);
    connecting.config_mut().max_frame_length(FRAME);
    let calc = CalcClient::new(client::Config::default(), connecting.await?).spawn();
    let payload = ByteBuf::from(vec![1; task.workload.bytes()]);
    let toucher = calc.clone();
    let add = move |n| {
        let calc = calc.clone();
        async move {
            assert_eq!(calc.add(context::current(), n, 1).await.expect("add answers"), n + 1);
        }
    };
    drive(task, add, || async {
        let sent = payload.clone();
        toucher.touch(context::current(), sent).await.expect("touch answers");
    })
    .await
}
