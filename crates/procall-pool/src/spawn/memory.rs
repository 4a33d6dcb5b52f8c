//! What the kernel says of a process's memory.

use std::fs;
use std::path::{Path, PathBuf};

/// Resident memory of a process in bytes; `None` when it is gone.
pub(crate) fn resident_memory(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The memory cgroup of a process, and how many processes the kernel had killed in it when this was made, because its limit was reached.
/// A count that has grown explains a SIGKILL that nobody here has sent.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    version: Version,
    kills: u64,
}

/// Cgroups have two versions, with other names for the same files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl MemoryGroup {
    /// That of a process that lives; `None` where there are no cgroups.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let (folder, version) = folder_of(&text)?;
        Self::at(folder, version)
    }

    fn at(folder: PathBuf, version: Version) -> Option<Self> {
        let kills = kills_in(&folder, version)?;
        Some(Self { folder, version, kills })
    }

    /// Why a process of this group was killed, if the count says that it was for its memory. Another process of the group may have been
    /// meant, so it is only likely.
    pub(crate) fn likely(&self) -> Option<String> {
        if kills_in(&self.folder, self.version)? <= self.kills {
            return None;
        }
        let file = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        let limit = fs::read_to_string(self.folder.join(file)).ok();
        let limit: Option<u64> = limit.and_then(|text| text.trim().parse().ok());
        Some(match limit {
            Some(bytes) => {
                let mib = bytes as f64 / f64::from(1 << 20);
                format!("likely out of memory: its cgroup has reached the limit of {mib:.0} MiB")
            }
            // The group itself has none, so it was that of one above.
            None => "likely out of memory: a limit above its cgroup was reached".to_owned(),
        })
    }
}

/// Where the files are, by the text of `/proc/PID/cgroup`: version 2 has one line `0::/path`, version 1 one line a controller.
fn folder_of(cgroups: &str) -> Option<(PathBuf, Version)> {
    let parts = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?.to_owned(), parts.next()?);
        Some((controllers, path.trim_start_matches('/').to_owned()))
    };
    let mut lines: Vec<(String, String)> = cgroups.lines().filter_map(parts).collect();
    // The controller's own hierarchy, where there is one, comes before the unified one.
    lines.sort_by_key(|(controllers, _)| controllers.is_empty());
    lines.into_iter().find_map(|(controllers, path)| {
        if controllers.split(',').any(|name| name == "memory") {
            Some((Path::new("/sys/fs/cgroup/memory").join(path), Version::One))
        } else if controllers.is_empty() {
            Some((Path::new("/sys/fs/cgroup").join(path), Version::Two))
        } else {
            None
        }
    })
}

fn kills_in(folder: &Path, version: Version) -> Option<u64> {
    let file = match version {
        Version::One => "memory.oom_control",
        Version::Two => "memory.events",
    };
    let text = fs::read_to_string(folder.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_in_both_versions() {
        let two = "0::/user.slice/a.scope\n";
        let folder = "/sys/fs/cgroup/user.slice/a.scope".into();
        assert_eq!(folder_of(two), Some((folder, Version::Two)));
        let one = "12:cpu,cpuacct:/x\n0::/y\n5:memory:/docker/1:2\n";
        let folder = "/sys/fs/cgroup/memory/docker/1:2".into();
        assert_eq!(folder_of(one), Some((folder, Version::One)));
        assert_eq!(folder_of("3:cpu:/x\n"), None);
        assert_eq!(folder_of("nonsense"), None);
    }

    #[test]
    fn a_count_that_has_grown_is_told_with_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        write("memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n");
        write("memory.max", "max\n");
        let group = MemoryGroup::at(folder.path().into(), Version::Two).unwrap();
        assert_eq!(group.likely(), None);
        write("memory.events", "low 0\noom 4\noom_kill 3\noom_group_kill 0\n");
        assert!(group.likely().unwrap().contains("a limit above its cgroup"));
        write("memory.max", "2147483648\n");
        assert!(group.likely().unwrap().ends_with("has reached the limit of 2048 MiB"));

        write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
        write("memory.limit_in_bytes", "67108864\n");
        let group = MemoryGroup::at(folder.path().into(), Version::One).unwrap();
        write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
        assert!(group.likely().unwrap().ends_with("has reached the limit of 64 MiB"));
        assert!(MemoryGroup::at("/nonexistent".into(), Version::Two).is_none());
    }

    #[test]
    fn a_process_has_memory_while_it_is_there() {
        assert!(resident_memory(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        assert_eq!(resident_memory(u32::MAX), None);
    }
}
