//! Results on standard output.

use std::io::{ErrorKind, Write};

use procall::{ErrorCode, Executed};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::failure::Failure;
use crate::plain;
use crate::signals::Signals;
use crate::style::Style;

/// What a pipe that is writable takes without a wait.
const PIPE_BUF: usize = 4096;
/// How long a signal may go unseen while nobody reads standard output.
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A line of a result.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(text.as_bytes(), b"\n")
}

/// A line of JSON. On a terminal the few control characters that JSON leaves as they are are escaped too.
pub(crate) fn json(text: &str, style: &Style) -> Result<(), Failure> {
    if style.out.terminal { line(&plain::text(text)) } else { line(text) }
}

/// The answer of a call, or a part of it, while [`Signals`] keeps Ctrl-C from ending the process: whoever reads it may be slow, or stopped.
///
/// Whatever goes wrong here does not undo the call.
pub(crate) async fn answer(bytes: &[u8], signals: &mut Signals) -> Result<(), Failure> {
    for part in bytes.chunks(PIPE_BUF) {
        while !is_writable() {
            tokio::select! {
                biased;
                () = signals.next() => return Err(Failure::interrupted("interrupted", Executed::Yes)),
                // The runtime gets to see signals here.
                () = tokio::task::yield_now() => {}
            }
        }
        write(part, b"").map_err(|failure| failure.executed(Executed::Yes))?;
    }
    Ok(())
}

/// Waits a moment for standard output to take a part. What cannot be waited for is written, and says what is wrong.
fn is_writable() -> bool {
    let stdout = std::io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
    match poll(&mut fds, Some(&MOMENT)) {
        Ok(0) | Err(Errno::INTR) => false,
        Ok(_) | Err(_) => true,
    }
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
