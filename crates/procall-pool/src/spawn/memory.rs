//! What the kernel says of a process's memory.

use std::fs;
use std::path::PathBuf;

/// Resident memory of a process in bytes; `None` when it is gone.
pub(crate) fn resident_memory(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Counts the processes that the kernel has killed in this process's memory cgroup because its limit was reached. Workers live in the same
/// group unless they move, so a count that has grown explains a SIGKILL that nobody here has sent.
#[derive(Debug)]
pub(crate) struct MemoryKills {
    /// The kernel's own count, in either version of cgroups; nothing where there is none.
    file: Option<PathBuf>,
    seen: u64,
}

impl MemoryKills {
    pub(crate) fn new() -> Self {
        let file = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| file_of(&text));
        let mut kills = Self { file, seen: 0 };
        kills.seen = kills.count();
        kills
    }

    fn count(&self) -> u64 {
        let text = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        text.as_deref().and_then(kills_in).unwrap_or(0)
    }

    /// Whether there were more since it was asked last.
    pub(crate) fn have_grown(&mut self) -> bool {
        let count = self.count();
        std::mem::replace(&mut self.seen, count) < count
    }
}

/// Where the count is, by the text of `/proc/self/cgroup`: version 2 has one line `0::/path`, version 1 one line a controller.
fn file_of(cgroups: &str) -> Option<PathBuf> {
    let path =
        |line: &str| line.splitn(3, ':').nth(2).map(|path| path.trim_start_matches('/').to_owned());
    let controllers = |line: &&str| line.split(':').nth(1).unwrap_or_default().to_owned();
    let first =
        cgroups.lines().find(|line| controllers(line).split(',').any(|name| name == "memory"));
    if let Some(path) = first.and_then(path) {
        return Some(PathBuf::from("/sys/fs/cgroup/memory").join(path).join("memory.oom_control"));
    }
    let unified = cgroups.lines().find(|line| line.starts_with("0::")).and_then(path)?;
    Some(PathBuf::from("/sys/fs/cgroup").join(unified).join("memory.events"))
}

fn kills_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_both_versions_of_cgroups() {
        let two = "0::/user.slice/a.scope\n";
        assert_eq!(file_of(two), Some("/sys/fs/cgroup/user.slice/a.scope/memory.events".into()));
        let one = "12:cpu,cpuacct:/x\n5:memory:/docker/1\n0::/y\n";
        assert_eq!(file_of(one), Some("/sys/fs/cgroup/memory/docker/1/memory.oom_control".into()));
        assert_eq!(file_of(""), None);
        assert_eq!(kills_in("low 0\noom 3\noom_kill 2\n"), Some(2));
        assert_eq!(kills_in("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"), Some(4));
        assert_eq!(kills_in("oom_kill_disable 0\n"), None);
    }

    #[test]
    fn a_process_has_memory_while_it_is_there() {
        assert!(resident_memory(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        assert_eq!(resident_memory(u32::MAX), None);
    }
}
