//! Where processes run.

use rustix::thread::{CpuSet, sched_setaffinity};

/// Where the processes of a cell run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// All on CPU 0.
    One,
    /// Wherever the scheduler puts them.
    Free,
}

impl Placement {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "one core",
            Self::Free => "free",
        }
    }

    /// Pins this process, and with it every process it starts from now on.
    pub(crate) fn apply(self) {
        let mut cpus = CpuSet::new();
        match self {
            Self::One => cpus.set(0),
            Self::Free => (0..CpuSet::MAX_CPU).for_each(|cpu| cpus.set(cpu)),
        }
        if let Err(error) = sched_setaffinity(None, &cpus) {
            eprintln!("cannot place processes: {error}");
        }
    }
}
