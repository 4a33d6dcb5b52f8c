//! Asking a worker that hangs where it is.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, getpgid, pidfd_open, pidfd_send_signal};

/// Has a worker write its stack to standard error; false where nobody knows how it could be asked. `group` is the process that was started,
/// `pid` the one that serves, as it says itself.
pub(crate) fn ask_for_stack(runtime: &str, pid: u32, group: u32) -> bool {
    try_to_ask(runtime, pid, group).is_some()
}

fn try_to_ask(runtime: &str, number: u32, group: u32) -> Option<()> {
    let signal = signal_of(runtime)?;
    let (group, pid) = (process(group)?, process(number)?);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // A claim of the worker's, and numbers are used again: what is held now has to be one of its group, whose number is taken.
    if getpgid(Some(pid)).ok()? != group || !catches(number, signal) {
        return None;
    }
    pidfd_send_signal(&pidfd, signal).ok()
}

fn process(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// What the worker's runtime, such as `python/0.1.0`, answers with its stack: Python's `faulthandler` and Node's `--trace-sigint`.
fn signal_of(runtime: &str) -> Option<Signal> {
    match runtime.split('/').next()? {
        "python" => Some(Signal::USR1),
        "node" => Some(Signal::INT),
        _ => None,
    }
}

/// Whether a process has a handler for a signal. Without one most signals would end it, and the stack would be lost.
fn catches(pid: u32, signal: Signal) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    is_caught(&status, signal).unwrap_or(false)
}

fn is_caught(status: &str, signal: Signal) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim();
    let mask = u64::from_str_radix(mask, 16).ok()?;
    Some(mask & (1 << (signal.as_raw() - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_shows_in_the_mask_of_caught_signals() {
        let status = "Name:\tpython3\nSigIgn:\t0000000001001000\nSigCgt:\t0000000000004202\n";
        assert_eq!(is_caught(status, Signal::USR1), Some(true));
        assert_eq!(is_caught(status, Signal::INT), Some(true));
        assert_eq!(is_caught(status, Signal::HUP), Some(false));
        assert_eq!(is_caught("Name:\tx\n", Signal::INT), None);
    }

    #[test]
    fn nobody_is_signalled_who_does_not_say_how_or_is_of_another_group() {
        assert_eq!(signal_of("python/0.1.0"), Some(Signal::USR1));
        assert_eq!(signal_of("node/0.1.0"), Some(Signal::INT));
        assert_eq!(signal_of("rust/0.1.0"), None);
        // This process does not belong to the group of process 1.
        assert!(!ask_for_stack("python/0.1.0", std::process::id(), 1));
    }
}
