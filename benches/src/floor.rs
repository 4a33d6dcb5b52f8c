//! The floor: a blocking ping-pong over a Unix socket, fixed 32-byte frames, no ids, no codec.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::load::{IN_FLIGHT, Measured, latency, throughput};

const FRAME: usize = 32;

pub(crate) fn serve(path: &str) -> std::io::Result<()> {
    let listener = UnixListener::bind(path)?;
    println!("ready");
    let (mut stream, _) = listener.accept()?;
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

pub(crate) fn call(path: &str, window: Duration) -> std::io::Result<Measured> {
    let mut stream = UnixStream::connect(path)?;
    let mut frame = [7; FRAME];
    let (p50_us, p99_us) = latency(window, || {
        stream.write_all(&frame).expect("the server reads");
        stream.read_exact(&mut frame).expect("the server answers");
    });
    let mut batch = [7; FRAME * IN_FLIGHT];
    let per_second = throughput(window, || {
        stream.write_all(&batch).expect("the server reads");
        stream.read_exact(&mut batch).expect("the server answers");
        IN_FLIGHT
    });
    Ok(Measured { p50_us, p99_us, per_second })
}
