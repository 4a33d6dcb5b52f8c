//! The processes of the Rust cells: each is this very program under another role.

use std::time::Duration;

use procall::{
    Batch, BlockingClient, Client, Connection, Encoded, Encoding, Error, Server, Service, Side,
};
use procall_transport::LinkOptions;
use procall_transport::unix::UnixListener;

use crate::load::{IN_FLIGHT, Measured, latency, measure, throughput};
use crate::routed;
use crate::{crowd, floor};

type Failure = Box<dyn std::error::Error>;

/// Runs a role to its end.
pub(crate) fn run(role: &str, args: &[String]) -> Result<(), Failure> {
    let path = args.first().ok_or("a socket path is needed")?;
    // Some roles take another word in its place.
    let window = args
        .get(1)
        .and_then(|window| window.parse().ok())
        .map_or(Duration::ZERO, Duration::from_millis);
    let measured = match role {
        "serve-floor" => return Ok(floor::serve(path)?),
        "serve-task" => return runtime()?.block_on(serve_task(path)),
        "serve-inline" => return serve_inline(path),
        "serve-engine" => return runtime()?.block_on(routed::serve_engine(path)),
        "serve-registered" => {
            return runtime()?.block_on(routed::serve_registered(path, service()));
        }
        "serve-engine-peers" => return runtime()?.block_on(crowd::serve_among_peers(path)),
        "serve-engine-methods" => return runtime()?.block_on(crowd::serve_among_methods(path)),
        "serve-engine-alone" => return runtime()?.block_on(crowd::serve_alone(path)),
        "serve-many-methods" => {
            let service = crowd::many_methods(service());
            return runtime()?.block_on(routed::serve_registered(path, service));
        }
        "serve-peers" => {
            let kind = args.get(1).ok_or("a kind of peers is needed")?;
            return runtime()?.block_on(crowd::be_peers(path, kind));
        }
        #[cfg(feature = "peers")]
        "serve-nats" => return routed::serve_nats(path),
        #[cfg(feature = "peers")]
        "serve-subscribed" => return runtime()?.block_on(routed::serve_subscribed(path)),
        #[cfg(feature = "peers")]
        "call-nats" => runtime()?.block_on(routed::call_nats(path, window))?,
        "call-floor" => floor::call(path, window)?,
        "call-inline" => call_inline(path, window)?,
        "call-count" => return call_count(path, args.get(1).map_or(Ok(1000), |n| n.parse())?),
        "call-task" => runtime()?.block_on(call_task(path, window))?,
        other => return Err(format!("there is no role {other}").into()),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn service() -> Service {
    Service::new("calc").method("add", |a: i64, b: i64| a + b)
}

async fn serve_task(path: &str) -> Result<(), Failure> {
    let server = Server::bind(&format!("unix:{path}").parse()?, service())?;
    println!("ready");
    Ok(server.run_until(std::future::pending()).await?)
}

/// A service without a runtime: one thread that takes a batch, answers it, and waits.
fn serve_inline(path: &str) -> Result<(), Failure> {
    let listener = UnixListener::bind(std::path::Path::new(path))?;
    println!("ready");
    let link = loop {
        if let Some(link) = listener.accept(&LinkOptions::default())? {
            break link;
        }
        rustix::event::poll(
            &mut [rustix::event::PollFd::new(&listener, rustix::event::PollFlags::IN)],
            None,
        )?;
    };
    let connection =
        Connection::serving(Box::new(link), Side::Acceptor, procall::Config::default());
    let names = ["a".to_owned(), "b".to_owned()];
    let signature = procall::Signature { names: &names, required: &[], takes_whole: false };
    let mut batch = Batch::new();
    let mut answers = Vec::new();
    while connection.wait_calls(&mut batch, None, &mut || false).is_ok() {
        for call in batch.iter() {
            let answer = procall::Params::new(call.encoding, batch.body(call)).and_then(|params| {
                let bound = params.bind(signature)?;
                let sum = bound.argument::<i64>(0)? + bound.argument::<i64>(1)?;
                let mut bytes = Vec::with_capacity(9);
                procall_wire(sum, &mut bytes);
                Ok::<_, Error>(Encoded { encoding: Encoding::Msgpack, bytes })
            });
            answers.extend(call.id.map(|id| (id, answer)));
        }
        connection.answer_all(&mut answers);
        batch.clear();
    }
    Ok(())
}

/// A signed integer in MessagePack's fixed form.
fn procall_wire(value: i64, bytes: &mut Vec<u8>) {
    bytes.push(0xd3);
    bytes.extend_from_slice(&value.to_be_bytes());
}

fn call_inline(path: &str, window: Duration) -> Result<Measured, Failure> {
    let client = BlockingClient::connect(&format!("unix:{path}"))?;
    let mut n = 0_i64;
    let (p50_us, p99_us) = latency(window, || {
        n += 1;
        let sum: i64 = client.call("add", (n, 1)).wait().expect("add answers");
        assert_eq!(sum, n + 1);
    });
    let mut calls = Vec::with_capacity(IN_FLIGHT);
    let per_second = throughput(window, || {
        for n in 0..IN_FLIGHT as i64 {
            calls.push(client.submit_held::<i64>("add", (n, 1)).expect("there is room for 64"));
        }
        for (n, call) in calls.drain(..).enumerate() {
            assert_eq!(call.wait().expect("add answers"), n as i64 + 1);
        }
        IN_FLIGHT
    });
    Ok(Measured { p50_us, p99_us, per_second })
}

/// So many calls one after the other: for those who count instructions or system calls.
fn call_count(path: &str, calls: i64) -> Result<(), Failure> {
    let client = BlockingClient::connect(&format!("unix:{path}"))?;
    for n in 0..calls {
        assert_eq!(client.call::<i64>("add", (n, 1)).wait()?, n + 1);
    }
    Ok(())
}

async fn call_task(path: &str, window: Duration) -> Result<Measured, Failure> {
    let client = Client::connect(&format!("unix:{path}")).await?;
    measure(window, move |n| {
        let client = client.clone();
        async move {
            let sum: i64 = client.call("add", (n, 1)).await.expect("add answers");
            assert_eq!(sum, n + 1);
        }
    })
    .await
}
