//! What the kernel says that a process is doing.

use std::fs;
use std::time::{Duration, Instant};

/// The share of one processor from which on a process counts as busy.
const BUSY: f64 = 0.1;

/// What a process is doing at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activity {
    at: Instant,
    /// The letter of its main thread's state.
    state: char,
    /// Processor time of all its threads so far.
    used: Duration,
}

impl Activity {
    /// That of a process now; `None` when it is gone, or where there is no `/proc`.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, Instant::now())
    }

    fn read(stat: &str, at: Instant) -> Option<Self> {
        /// Fields of utime and stime, counted from the state, which comes behind the name.
        const TIMES: [usize; 2] = [11, 12];
        // The name is in parentheses and may contain any.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let state = fields.first()?.chars().next()?;
        let mut ticks = 0_u64;
        for at in TIMES {
            ticks += fields.get(at)?.parse::<u64>().ok()?;
        }
        let used = Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32;
        Some(Self { at, state, used })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// What it has been doing since that earlier moment.
    pub(crate) fn since(&self, before: Option<&Self>) -> &'static str {
        if self.is_stopped() {
            return "stopped by a signal";
        }
        if self.state == 'D' {
            return "waiting for a disk or another device";
        }
        let Some(before) = before else { return "alive" };
        let (used, passed) = (self.used.saturating_sub(before.used), self.at - before.at);
        if used.as_secs_f64() > passed.as_secs_f64() * BUSY { "busy" } else { "blocked" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process with an awkward name, in this state and with so many hundredths of a second of processor time.
    fn process(state: char, ticks: u64, at: Instant) -> Activity {
        let stat =
            format!("71 (a) S (b c) {state} 1 71 71 0 -1 4194304 9 0 0 0 {ticks} 0 0 0 20 0 1 0");
        Activity::read(&stat, at).unwrap()
    }

    #[test]
    fn processor_time_tells_who_is_busy_from_who_is_blocked() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let before = process('R', 100, now);
        assert_eq!(process('R', 900, later).since(Some(&before)), "busy");
        assert_eq!(process('S', 101, later).since(Some(&before)), "blocked");
        assert_eq!(process('S', 101, later).since(None), "alive");
    }

    #[test]
    fn the_state_says_the_rest() {
        let now = Instant::now();
        let before = process('R', 0, now);
        assert!(process('T', 0, now).is_stopped());
        assert_eq!(process('T', 0, now).since(Some(&before)), "stopped by a signal");
        assert_eq!(
            process('D', 0, now).since(Some(&before)),
            "waiting for a disk or another device"
        );
    }

    #[test]
    fn this_process_is_there_and_what_is_no_process_is_not() {
        let own = Activity::of(std::process::id()).unwrap();
        assert!(!own.is_stopped());
        assert!(Activity::of(u32::MAX).is_none());
        assert!(Activity::read("no parentheses", Instant::now()).is_none());
    }
}
