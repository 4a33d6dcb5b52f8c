//! Results on standard output.

use std::io::{ErrorKind, Write};

use procall::ErrorCode;

use crate::failure::Failure;
use crate::plain;
use crate::style::Style;

/// A line of a result.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(text.as_bytes(), b"\n")
}

/// A line of JSON. On a terminal the few control characters that JSON leaves as they are are escaped too.
pub(crate) fn json(text: &str, style: &Style) -> Result<(), Failure> {
    if style.out.terminal { line(&plain::text(text)) } else { line(text) }
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
