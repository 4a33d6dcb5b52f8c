//! iceoryx2's request and response, both sides polling without a pause.

use core::time::Duration;

use iceoryx2::prelude::*;
use procall_bench_load::{
    Figures, IN_FLIGHT, Measured, Task, Workload, latency, line, payload, throughput, touch,
};

type Failure = Box<dyn std::error::Error>;
type Ports =
    iceoryx2::service::port_factory::request_response::PortFactory<ipc::Service, [u8], (), u64, ()>;

fn main() -> Result<(), Failure> {
    let task = Task::from_args()?;
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    // The name is one of the whole machine, so it holds the cell's own path.
    let service = node
        .service_builder(&task.path.as_str().try_into()?)
        .request_response::<[u8], u64>()
        .max_active_requests_per_client(IN_FLIGHT)
        .max_loaned_requests(IN_FLIGHT)
        .open_or_create()?;
    if task.serves() {
        return serve(&node, &service);
    }
    println!("{}", line(&call(&service, &task)?));
    Ok(())
}

/// Ends in order when it is asked to, since a killed one leaves its files.
fn serve(node: &Node<ipc::Service>, service: &Ports) -> Result<(), Failure> {
    let server = service.server_builder().create()?;
    println!("ready");
    loop {
        for _ in 0..100_000 {
            while let Some(request) = server.receive()? {
                let answer = match request.payload().try_into() {
                    Ok(pair) => u64::from_le_bytes(pair) + 1,
                    Err(_) => touch(request.payload()),
                };
                request.send_copy(answer)?;
            }
            core::hint::spin_loop();
        }
        if node.wait(Duration::ZERO).is_err() {
            return Ok(());
        }
    }
}

fn call(service: &Ports, task: &Task) -> Result<Figures, Failure> {
    let bytes = task.workload.bytes().max(8);
    let client = service.client_builder().initial_max_slice_len(bytes).create()?;
    let content = vec![1_u8; bytes];
    let submit = |content: &[u8]| {
        let request = client.loan_slice_uninit(content.len()).expect("a request is free");
        request.write_from_slice(content).send().expect("the server takes it")
    };
    if let Workload::Bytes(bytes) = task.workload {
        let timed = latency(task.window, || {
            let pending = submit(&content);
            while pending.receive().expect("the server answers").is_none() {
                core::hint::spin_loop();
            }
        });
        return Ok(payload(bytes, timed));
    }
    let answer =
        |pending: &iceoryx2::pending_response::PendingResponse<ipc::Service, [u8], (), u64, ()>| {
            loop {
                if let Some(answer) = pending.receive().expect("the server answers") {
                    break *answer;
                }
                core::hint::spin_loop();
            }
        };
    let (p50_us, p99_us) = latency(task.window, || {
        assert_eq!(answer(&submit(&7_u64.to_le_bytes())), 8);
    });
    let per_second = throughput(task.window, || {
        let pending: Vec<_> = (0..IN_FLIGHT as u64).map(|n| submit(&n.to_le_bytes())).collect();
        for (n, pending) in pending.iter().enumerate() {
            assert_eq!(answer(pending), n as u64 + 1);
        }
        IN_FLIGHT
    });
    Ok(Measured { p50_us, p99_us, per_second }.into())
}
