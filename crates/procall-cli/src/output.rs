//! Results on standard output.

use std::io::{ErrorKind, Write};

use procall::ErrorCode;

use crate::failure::Failure;

/// A line of a result.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(text.as_bytes(), b"\n")
}

/// Bytes as they are.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    write(bytes, b"")
}

fn write(bytes: &[u8], end: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.write_all(end)).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        // `procall stream ... | head -1`: the reader has what it wanted.
        ErrorKind::BrokenPipe => Failure::reader_left(),
        _ => Failure::new(
            ErrorCode::Unavailable,
            format!("standard output cannot be written: {error}"),
        )
        .fix("free some space, or send the output elsewhere"),
    })
}
