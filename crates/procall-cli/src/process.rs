//! The process at the other side of a connection, and its end.

use std::future::poll_fn;
use std::os::fd::{AsFd, OwnedFd};

use procall::{Client, ErrorCode, Readiness};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::engine;
use crate::failure::Failure;

/// A descriptor of that process, which never means another one; `None` when it is on another machine, or nobody knows it.
pub(crate) fn hold(client: &Client) -> Option<OwnedFd> {
    // What a peer says of itself over TCP may be true of another machine.
    let peer = client.connection().link_info().peer?;
    let pid = Pid::from_raw(i32::try_from(peer.pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// A descriptor of a process is readable once that has ended.
fn has_ended(process: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)), Ok(1..))
}

/// Waits until it has ended, or where it is not known, until the connection has.
pub(crate) async fn gone(process: Option<OwnedFd>, client: &Client) -> Result<(), Failure> {
    engine::gone(client).await;
    let Some(process) = process else { return Ok(()) };
    let unwatchable = |error: std::io::Error| {
        Failure::new(ErrorCode::Internal, format!("the end of the process cannot be seen: {error}"))
    };
    let readiness = Readiness::new(process.as_fd()).map_err(unwatchable)?;
    let mut ended = has_ended(&process);
    while !ended {
        poll_fn(|cx| readiness.poll_read(cx, || ended = has_ended(&process)))
            .await
            .map_err(unwatchable)?;
    }
    Ok(())
}
