//! Which processes may get a signal, and the certainty that it reaches no other.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use procall::{Client, ErrorCode};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};

use crate::directory::Directory;
use crate::failure::Failure;

/// A worker whose process is held: a signal reaches this one or nobody.
#[derive(Debug)]
pub(super) struct Victim {
    pub(super) name: String,
    pub(super) pid: u32,
    process: OwnedFd,
}

impl Victim {
    /// False when the process has ended.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.process, signal).is_ok()
    }
}

/// What somebody says of a worker.
#[derive(Debug)]
struct Named {
    name: String,
    service: String,
    /// Its process, while there is one.
    pid: Option<u32>,
    /// The process that started it, and says so: `None` for a worker that was started by hand.
    parent: Option<u32>,
    /// Whoever says so is on this machine, as the kernel knows.
    here: bool,
    uptime: Duration,
}

/// The workers of this name, or of a service of this name, that have a process now.
///
/// # Errors
///
/// NOT_FOUND when nobody knows the name; PERMISSION_DENIED when it is not on this machine, or not the caller's own.
pub(super) async fn find(target: &str, at: Option<&str>) -> Result<Vec<Victim>, Failure> {
    let asked = since_boot();
    let directory = Directory::survey(at).await?;
    if let (Some(_), Some((_, error))) = (at, directory.silent.first()) {
        return Err(error.clone().into());
    }
    let known = known(&directory);
    let meant: Vec<&Named> =
        known.iter().filter(|one| one.name == target || one.service == target).collect();
    if meant.is_empty() {
        let names = known.iter().flat_map(|one| [one.name.as_str(), one.service.as_str()]);
        let candidates = procall::similar(target, names);
        let error = procall::Error::new(
            ErrorCode::NotFound,
            format!("no worker and no service \"{target}\""),
        )
        .with_candidates(candidates);
        return Err(Failure::from(error).fix("procall ps   shows the workers"));
    }
    let mut victims = Vec::new();
    for one in meant {
        victims.extend(hold(one, asked)?);
    }
    Ok(victims)
}

/// The process of whoever is asked, if the kernel vouches for it.
fn host(client: &Client) -> Option<u32> {
    client.connection().link_info().peer.as_ref().map(|peer| peer.pid).filter(|&pid| pid != 0)
}

/// Every worker that there is.
fn known(directory: &Directory) -> Vec<Named> {
    let mut known = Vec::new();
    // The process of a pool is a peer of the engine; its workers are meant then.
    let mut hosts = Vec::new();
    for service in directory.services.iter().filter(|service| service.through.is_none()) {
        let host = host(&service.client);
        let Some(workers) = &service.workers else {
            known.push(Named {
                name: service.name.clone(),
                service: service.name.clone(),
                pid: host,
                parent: None,
                here: host.is_some(),
                uptime: Duration::ZERO,
            });
            continue;
        };
        hosts.extend(service.pid);
        known.extend(workers.iter().map(|row| Named::of(row, &service.name, host)));
    }
    for engine in &directory.engines {
        let host = host(&engine.client);
        known.extend(engine.workers().iter().map(|row| Named::of(row, &row.service, host)));
        let serving = engine.peers.iter().filter(|peer| peer.methods > 0);
        known.extend(serving.filter(|peer| !peer.pid.is_some_and(|pid| hosts.contains(&pid))).map(
            |peer| Named {
                name: peer.name.clone(),
                service: peer.service.clone(),
                pid: peer.pid,
                parent: None,
                here: host.is_some(),
                uptime: Duration::try_from_secs_f64(peer.age).unwrap_or_default(),
            },
        ));
    }
    known
}

impl Named {
    fn of(row: &crate::workers::WorkerRow, service: &str, host: Option<u32>) -> Self {
        Self {
            name: row.name.clone(),
            service: service.to_owned(),
            pid: row.pid,
            parent: host,
            here: host.is_some(),
            uptime: Duration::from_millis(row.uptime_ms.unwrap_or(0)),
        }
    }
}

/// Takes hold of the process that is meant, which was asked for at that time; `None` when it has ended.
fn hold(named: &Named, asked: Duration) -> Result<Option<Victim>, Failure> {
    let refuse = |why: &str| {
        Failure::new(ErrorCode::PermissionDenied, format!("{} {why}", named.name))
            .fix("only workers on this machine, of your own, get signals; ask their engine over its Unix socket")
    };
    if !named.here {
        return Err(refuse("is not known to be on this machine"));
    }
    let Some(pid) = named.pid else { return Ok(None) };
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let Ok(process) = pidfd_open(raw, PidfdFlags::empty()) else { return Ok(None) };
    // From here on the number is only for reading: what does not fit below is another process, or this one has ended.
    let Ok(owner) = fs::metadata(format!("/proc/{pid}")) else { return Ok(None) };
    if owner.uid() != geteuid().as_raw() {
        return Err(refuse("runs as another user"));
    }
    let Some((parent, started)) = facts(pid) else { return Ok(None) };
    // Who has the number of a worker that has ended meanwhile was started after it had been ready, and by somebody else.
    let latest = asked.saturating_sub(named.uptime) + TICK;
    if started > latest || named.parent.is_some_and(|host| host != parent) {
        return Ok(None);
    }
    Ok(Some(Victim { name: named.name.clone(), pid, process }))
}

/// Start times are counted in these, and an age is told a moment after it was looked at.
const TICK: Duration = Duration::from_millis(20);

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The parent of a process, and when it was started.
fn facts(pid: u32) -> Option<(u32, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before them may have anything in it, brackets and spaces too.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let ticks: f64 = fields.nth(17)?.parse().ok()?;
    let second = rustix::param::clock_ticks_per_second() as f64;
    Some((parent, Duration::try_from_secs_f64(ticks / second).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(named: Named) -> Result<Option<Victim>, Failure> {
        hold(&named, since_boot())
    }

    fn this() -> Named {
        let pid = std::process::id();
        Named {
            name: "calc/1".to_owned(),
            service: "calc".to_owned(),
            pid: Some(pid),
            parent: Some(facts(pid).expect("this process is there").0),
            here: true,
            uptime: Duration::ZERO,
        }
    }

    #[test]
    fn who_is_what_he_is_said_to_be_is_held() {
        let victim = own(this()).unwrap().expect("it is this process");
        assert_eq!((victim.name.as_str(), victim.pid), ("calc/1", std::process::id()));
    }

    #[test]
    fn another_process_with_the_number_is_not() {
        let child = Named { parent: Some(std::process::id()), ..this() };
        assert!(own(child).unwrap().is_none(), "somebody else has started it");
        let old = Named { uptime: since_boot(), ..this() };
        assert!(own(old).unwrap().is_none(), "it was not there yet");
        assert!(hold(&this(), Duration::ZERO).unwrap().is_none(), "it came after the question");
        assert!(own(Named { pid: None, ..this() }).unwrap().is_none());
    }

    #[test]
    fn what_is_elsewhere_is_refused() {
        let far = own(Named { here: false, ..this() }).unwrap_err();
        assert_eq!((far.code(), far.exit_code()), (ErrorCode::PermissionDenied, 7));
    }
}
