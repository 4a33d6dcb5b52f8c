//! The standby thread: one per process, reads a link when nobody has for 5 ms.
//!
//! A handler that holds Python's GIL for a minute, an idle client in a REPL: somebody must still answer pings, note cancels, keep queues moving
//! and see the end of file. Every link that threads read is watched here too, one-shot and level-triggered. When it becomes readable the
//! standby does not read: it looks again every 5 ms, and only if nobody has read in between while something waits does it read itself.
//! Once the link is quiet it is armed again. So the standby ticks only while calls flow, and costs nothing when idle.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use procall_transport::readiness::{self, Set};

use super::Shared;

/// How long a readable link may go unread.
const GRACE: Duration = Duration::from_millis(5);

struct Standby {
    set: Set,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    next_token: u64,
    /// How many links make a look for those that are gone worth while.
    purge_at: usize,
    links: HashMap<u64, Weak<Shared>>,
}

/// Watches a connection until it is gone. Without descriptors or a thread to spare nothing is watched, and waiting callers still read for themselves.
pub(super) fn watch(shared: &Arc<Shared>) {
    static STANDBY: OnceLock<Option<Arc<Standby>>> = OnceLock::new();
    let Some(standby) = STANDBY.get_or_init(Standby::start) else { return };
    let mut watched = standby.watched.lock().unwrap_or_else(PoisonError::into_inner);
    // Links that are gone are forgotten now and then, so that the table is no longer than twice what it was at its fullest.
    if watched.links.len() >= watched.purge_at {
        watched.links.retain(|_, shared| shared.strong_count() > 0);
        watched.purge_at = (2 * watched.links.len()).max(64);
    }
    watched.next_token += 1;
    let token = watched.next_token;
    if standby.set.add(shared.readiness.as_fd(), token, true).is_ok() {
        watched.links.insert(token, Arc::downgrade(shared));
    }
}

impl Standby {
    fn start() -> Option<Arc<Self>> {
        let standby = Arc::new(Self { set: Set::new().ok()?, watched: Mutex::default() });
        let own = standby.clone();
        std::thread::Builder::new()
            .name("procall-standby".to_owned())
            .stack_size(256 << 10)
            .spawn(move || own.run())
            .ok()?;
        Some(standby)
    }

    fn run(&self) {
        /// A link that was readable, and its count of reads when it was last looked at.
        struct Busy {
            token: u64,
            reads: u64,
        }
        let mut busy: Vec<Busy> = Vec::new();
        let mut ready = Vec::new();
        let mut next_look = Instant::now();
        loop {
            let timeout =
                (!busy.is_empty()).then(|| next_look.saturating_duration_since(Instant::now()));
            ready.clear();
            // Signals are for the threads of the program; an interrupted wait is only a look too many.
            let _ = self.set.wait(timeout, &mut ready);
            if busy.is_empty() && !ready.is_empty() {
                next_look = Instant::now() + GRACE;
            }
            for &token in &ready {
                if let Some(shared) = self.get(token)
                    && !busy.iter().any(|busy| busy.token == token)
                {
                    busy.push(Busy { token, reads: shared.reads() });
                }
            }
            if Instant::now() < next_look {
                continue;
            }
            next_look = Instant::now() + GRACE;
            busy.retain_mut(|link| {
                let Some(shared) = self.get(link.token) else { return false };
                let reads = shared.reads();
                if std::mem::replace(&mut link.reads, reads) != reads {
                    return true;
                }
                if readiness::wait(shared.readiness.as_fd(), Some(Duration::ZERO)).unwrap_or(false)
                {
                    shared.turn();
                    link.reads = shared.reads();
                    return !shared.lock_is_ended();
                }
                // Quiet. If it cannot be armed again it is gone.
                let _ = self.set.rearm(shared.readiness.as_fd(), link.token);
                false
            });
        }
    }

    fn get(&self, token: u64) -> Option<Arc<Shared>> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = watched.links.get(&token)?.upgrade();
        if shared.is_none() {
            watched.links.remove(&token);
        }
        shared
    }
}

impl Shared {
    fn lock_is_ended(&self) -> bool {
        self.lock().is_over()
    }
}
