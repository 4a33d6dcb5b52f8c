//! ZeroMQ over a Unix socket: a DEALER that calls, a ROUTER that answers, by libzmq.

use procall_bench_load::{
    Figures, IN_FLIGHT, Measured, Task, Workload, latency, line, payload, throughput, touch,
};
use zmq::{Context, Socket};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let task = Task::from_args()?;
    let address = format!("ipc://{}", task.path);
    let context = Context::new();
    if task.serves() {
        let socket = context.socket(zmq::ROUTER)?;
        socket.bind(&address)?;
        println!("ready");
        return serve(&socket);
    }
    let socket = context.socket(zmq::DEALER)?;
    socket.connect(&address)?;
    println!("{}", line(&call(&socket, &task)?));
    Ok(())
}

/// A request is a number that the answer repeats, and two numbers of 8 bytes to add or a payload to touch.
fn serve(socket: &Socket) -> Result<(), Failure> {
    let (mut from, mut id, mut body) =
        (zmq::Message::new(), zmq::Message::new(), zmq::Message::new());
    loop {
        socket.recv(&mut from, 0)?;
        socket.recv(&mut id, 0)?;
        socket.recv(&mut body, 0)?;
        let answer = match pair(&body) {
            Some((a, b)) => a + b,
            None => touch(&body) as i64,
        };
        socket.send(&*from, zmq::SNDMORE)?;
        socket.send(&*id, zmq::SNDMORE)?;
        socket.send(&answer.to_le_bytes()[..], 0)?;
    }
}

fn pair(body: &[u8]) -> Option<(i64, i64)> {
    let (a, b) = body.split_first_chunk::<8>()?;
    Some((i64::from_le_bytes(*a), i64::from_le_bytes(b.try_into().ok()?)))
}

fn submit(socket: &Socket, id: i64) {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&id.to_le_bytes());
    body[8..].copy_from_slice(&1_i64.to_le_bytes());
    socket.send(&id.to_le_bytes()[..], zmq::SNDMORE).expect("the server takes it");
    socket.send(&body[..], 0).expect("the server takes it");
}

fn receive(socket: &Socket) -> (Vec<u8>, Vec<u8>) {
    (
        socket.recv_bytes(0).expect("the server answers"),
        socket.recv_bytes(0).expect("the server answers"),
    )
}

fn call(socket: &Socket, task: &Task) -> Result<Figures, Failure> {
    if let Workload::Bytes(bytes) = task.workload {
        let content = vec![1_u8; bytes];
        let timed = latency(task.window, || {
            socket.send(&[0; 8][..], zmq::SNDMORE).expect("the server takes it");
            socket.send(&content, 0).expect("the server takes it");
            receive(socket);
        });
        return Ok(payload(bytes, timed));
    }
    let (p50_us, p99_us) = latency(task.window, || {
        submit(socket, 1);
        assert_eq!(receive(socket).1, 2_i64.to_le_bytes());
    });
    let per_second = throughput(task.window, || {
        (0..IN_FLIGHT as i64).for_each(|id| submit(socket, id));
        for _ in 0..IN_FLIGHT {
            let (id, sum) = receive(socket);
            assert_eq!(id[0] + 1, sum[0]);
        }
        IN_FLIGHT
    });
    Ok(Measured { p50_us, p99_us, per_second }.into())
}
