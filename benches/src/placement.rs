//! Where processes run.

use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The variable in which a caller that starts its own partner finds the CPU for it.
pub(crate) const PARTNER: &str = "PROCALL_BENCH_PARTNER_CPU";

/// Where the processes of a cell run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Placement {
    /// All on one CPU: the length of the path, without the price of waking another CPU.
    One,
    /// Caller and service on a CPU each.
    Two,
    /// Wherever the scheduler puts them, which is what a user gets.
    Free,
}

impl Placement {
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Two, Self::Free];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "1c",
            Self::Two => "2c",
            Self::Free => "free",
        }
    }

    /// The CPU of a caller and that of whom it calls.
    pub(crate) const fn cpus(self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::One => (Some(0), Some(0)),
            Self::Two => (Some(0), Some(1)),
            Self::Free => (None, None),
        }
    }
}

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|placement| placement.name() == text);
        found.ok_or_else(|| format!("there is no placement {text}; there are 1c, 2c, free"))
    }
}

/// How many CPUs this process may use.
pub(crate) fn available() -> usize {
    sched_getaffinity(None).map_or(1, |cpus| cpus.count() as usize)
}

/// Pins this process, and with it every process that it starts from now on.
pub(crate) fn pin(cpu: usize) -> rustix::io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus)
}
