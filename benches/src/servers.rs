//! The processes of the Rust cells: each is this very program under another role.

use procall::{
    Batch, BlockingClient, Bytes, Client, Connection, Encoded, Encoding, Error, Server, Service,
    Side, Stream,
};
use procall_bench_load::{
    Figures, IN_FLIGHT, Measured, Task, Workload, latency, line, measure, throughput, touch,
};
use procall_transport::LinkOptions;
use procall_transport::unix::UnixListener;

use crate::floor_memory::Wait;
use crate::{floor, floor_memory, floor_tokio, growth, routed, spawn, work};

type Failure = Box<dyn std::error::Error>;

/// Runs a role to its end.
pub(crate) fn run(role: &str, args: &[String]) -> Result<(), Failure> {
    let task = Task::parse([role.to_owned()].into_iter().chain(args.iter().cloned()))?;
    let path = &*task.path;
    if let Some(figures) = spawn::run(&task) {
        println!("{}", line(&figures?));
        return Ok(());
    }
    let figures: Figures = match role {
        "serve-floor" => return Ok(floor::serve(&task)?),
        "serve-tokio" => return runtime()?.block_on(floor_tokio::serve(path)),
        "serve-task" => return runtime()?.block_on(serve_task(&task)),
        "serve-inline" => return serve_inline(path),
        "serve-worker" => return Ok(runtime()?.block_on(service(Workload::Small).run())?),
        "serve-engine" => return runtime()?.block_on(routed::serve_engine(path)),
        "serve-engine-of-many" => return runtime()?.block_on(growth::serve_engine(&task, true)),
        "serve-engine-unchecked" => return runtime()?.block_on(growth::serve_engine(&task, false)),
        "serve-registered" => {
            let service = service(task.workload);
            return runtime()?.block_on(routed::serve_registered(path, service));
        }
        "serve-registered-often" => return runtime()?.block_on(growth::serve_registered(&task)),
        "call-floor" => floor::call(&task)?,
        "call-tokio-raw" => runtime()?.block_on(floor_tokio::call_raw(&task))?,
        "call-tokio-mux" => runtime()?.block_on(floor_tokio::call_mux(&task))?,
        "call-memory-futex" => floor_memory::call(&task, || Wait::Futex)?,
        "call-memory-eventfd" => floor_memory::call(&task, || Wait::Eventfd)?,
        "call-memory-polling" => floor_memory::call(&task, || Wait::Polling)?,
        "call-memcpy" => floor::memcpy(task.window, task.workload),
        "call-inline" => call_inline(&task)?,
        "call-array" => work::array(&task)?,
        "call-task" => runtime()?.block_on(call_task(&task))?,
        "call-dispatch" => work::dispatch(&task, &serde_json::json!([1, 2]))?,
        "call-dispatch-model" => work::dispatch(&task, &serde_json::json!([{"a": 1, "b": 2}]))?,
        other => return Err(format!("there is no role {other}").into()),
    };
    println!("{}", line(&figures));
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// What every service of the benchmark can do, in every language.
pub(crate) fn service(workload: Workload) -> Service {
    let calc = Service::new("calc")
        .method("add", |a: i64, b: i64| a + b)
        .method("touch", |content: Bytes| touch(&content.0))
        .stream_method("count", |n: u64| Stream::from_iter(0..n));
    let others = if let Workload::Methods(count) = workload { count } else { 1 };
    (1..others).fold(calc, |calc, n| calc.method(&format!("other{n}"), |a: i64, b: i64| a - b))
}

async fn serve_task(task: &Task) -> Result<(), Failure> {
    let server = Server::bind(&task.address().parse()?, service(task.workload))?;
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
                Ok::<_, Error>(Encoded::new(Encoding::Msgpack, bytes))
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

fn call_inline(task: &Task) -> Result<Figures, Failure> {
    let client = BlockingClient::connect(&task.address())?;
    if let Some(figures) = work::inline(&client, task)? {
        return Ok(figures);
    }
    let _company = work::company(task)?;
    let mut n = 0_i64;
    let (p50_us, p99_us) = latency(task.window, || {
        n += 1;
        let sum: i64 = client.call("add", (n, 1)).wait().expect("add answers");
        assert_eq!(sum, n + 1);
    });
    let mut calls = Vec::with_capacity(IN_FLIGHT);
    let per_second = throughput(task.window, || {
        for n in 0..IN_FLIGHT as i64 {
            calls.push(client.submit_held::<i64>("add", (n, 1)).expect("there is room for 64"));
        }
        for (n, call) in calls.drain(..).enumerate() {
            assert_eq!(call.wait().expect("add answers"), n as i64 + 1);
        }
        IN_FLIGHT
    });
    Ok(Measured { p50_us, p99_us, per_second }.into())
}

async fn call_task(task: &Task) -> Result<Figures, Failure> {
    let client = Client::connect(&task.address()).await?;
    if let Some(figures) = work::awaited(&client, task).await? {
        return Ok(figures);
    }
    let measured = measure(task.window, move |n| {
        let client = client.clone();
        async move {
            let sum: i64 = client.call("add", (n, 1)).await.expect("add answers");
            assert_eq!(sum, n + 1);
        }
    });
    Ok(measured.await?.into())
}
