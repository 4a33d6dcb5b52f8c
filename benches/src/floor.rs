//! The floor: blocking exchanges over a Unix socket, no ids, no codec.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use procall_bench_load::{
    Figures, IN_FLIGHT, Measured, Task, Workload, latency, payload, throughput, touch,
};

const FRAME: usize = 32;

/// Echoes frames of 32 bytes; with a payload, reads it whole, touches it and answers with 8 bytes.
pub(crate) fn serve(task: &Task) -> std::io::Result<()> {
    let listener = UnixListener::bind(&task.path)?;
    println!("ready");
    let (mut stream, _) = listener.accept()?;
    if let Workload::Bytes(bytes) = task.workload {
        let mut buffer = vec![0; bytes];
        loop {
            if let Err(error) = stream.read_exact(&mut buffer) {
                // The caller is through.
                return if error.kind() == std::io::ErrorKind::UnexpectedEof {
                    Ok(())
                } else {
                    Err(error)
                };
            }
            stream.write_all(&touch(&buffer).to_le_bytes())?;
        }
    }
    let mut buffer = [0; FRAME * IN_FLIGHT];
    loop {
        // Everything there is per read, one write per batch.
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..len])?;
    }
}

pub(crate) fn call(task: &Task) -> std::io::Result<Figures> {
    let mut stream = UnixStream::connect(&task.path)?;
    if let Workload::Bytes(bytes) = task.workload {
        let content = vec![1; bytes];
        let mut answer = [0; 8];
        let timed = latency(task.window, || {
            stream.write_all(&content).expect("the server reads");
            stream.read_exact(&mut answer).expect("the server answers");
        });
        return Ok(payload(bytes, timed));
    }
    let mut frame = [7; FRAME];
    let (p50_us, p99_us) = latency(task.window, || {
        stream.write_all(&frame).expect("the server reads");
        stream.read_exact(&mut frame).expect("the server answers");
    });
    let mut batch = [7; FRAME * IN_FLIGHT];
    let per_second = throughput(task.window, || {
        stream.write_all(&batch).expect("the server reads");
        stream.read_exact(&mut batch).expect("the server answers");
        IN_FLIGHT
    });
    Ok(Measured { p50_us, p99_us, per_second }.into())
}

/// One buffer copied into another that is warm.
pub(crate) fn memcpy(window: Duration, workload: Workload) -> Figures {
    let bytes = workload.bytes().max(1);
    let from = vec![1_u8; bytes];
    let mut to = vec![0_u8; bytes];
    payload(
        bytes,
        latency(window, || {
            std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from));
        }),
    )
}
