//! The standby thread: one per process, reads a link when nobody has for 5 ms.
//!
//! A handler that holds Python's GIL for a minute, an idle client in a REPL: somebody must still answer pings, note cancels, keep queues moving
//! and see the end of file. Every link that threads read is watched here too, one-shot and level-triggered. When it becomes readable the
//! standby does not read: it looks again every 5 ms, and only if nobody has read in between while something waits does it read itself.
//! Once the link is quiet it is armed again. So the standby ticks only while calls flow, and costs nothing when idle.
//!
//! It also keeps the deadlines of calls that are only polled, in a runtime that knows nothing of the connection: see [`look_after`].

use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use procall_proto::Time;
use procall_transport::readiness::{self, Kick, Set};

use super::{Shared, State};
use crate::clock;

/// How long a readable link may go unread.
const GRACE: Duration = Duration::from_millis(5);
/// The number of the kick among those of the links.
const KICK: u64 = 0;

struct Standby {
    set: Set,
    /// Gets the thread out of its sleep when a timer is earlier than that.
    kick: Kick,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    next_token: u64,
    /// How many links make a look for those that are gone worth while.
    purge_at: usize,
    links: HashMap<u64, Weak<Shared>>,
    /// When which link's timers want to be looked at: one moment for each link, its `State::alarm`.
    alarms: BTreeSet<(Time, u64)>,
}

/// The thread, started with the first connection; nothing where there are no descriptors or threads to spare.
fn standby() -> Option<&'static Arc<Standby>> {
    static STANDBY: OnceLock<Option<Arc<Standby>>> = OnceLock::new();
    STANDBY.get_or_init(Standby::start).as_ref()
}

/// Watches a connection until it is gone. Without descriptors or a thread to spare nothing is watched, and waiting callers still read for themselves.
pub(super) fn watch(shared: &Arc<Shared>) {
    let Some(standby) = standby() else { return };
    let mut watched = standby.lock();
    // Links that are gone are forgotten now and then, so that the table is no longer than twice what it was at its fullest.
    if watched.links.len() >= watched.purge_at {
        watched.links.retain(|_, shared| shared.strong_count() > 0);
        watched.purge_at = (2 * watched.links.len()).max(64);
    }
    watched.next_token += 1;
    let token = watched.next_token;
    if standby.set.add(shared.readiness.as_fd(), token, true).is_ok() {
        watched.links.insert(token, Arc::downgrade(shared));
        shared.standby.store(token, Ordering::Relaxed);
    }
}

/// Somebody polls a call and goes away again. A thread that waits, a task or a hub would look after the session's timers; without any of
/// them the standby does.
pub(super) fn look_after(shared: &Shared, state: &mut State) {
    if state.driver.is_some() || !shared.threads_lead {
        return;
    }
    let due = state.poll_timeout();
    if due >= state.alarm {
        return;
    }
    let token = shared.standby.load(Ordering::Relaxed);
    if let Some(standby) = standby().filter(|_| token != KICK) {
        let earlier = std::mem::replace(&mut state.alarm, due);
        {
            let mut watched = standby.lock();
            watched.alarms.remove(&(earlier, token));
            watched.alarms.insert((due, token));
        }
        standby.kick.kick();
    }
}

impl Standby {
    fn start() -> Option<Arc<Self>> {
        let (set, kick) = (Set::new().ok()?, Kick::new().ok()?);
        set.add(kick.as_fd(), KICK, false).ok()?;
        let standby = Arc::new(Self { set, kick, watched: Mutex::default() });
        let own = standby.clone();
        std::thread::Builder::new()
            .name("procall-standby".to_owned())
            .stack_size(1 << 20)
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
            let look =
                (!busy.is_empty()).then(|| next_look.saturating_duration_since(Instant::now()));
            let timeout = [look, self.next_alarm()].into_iter().flatten().min();
            ready.clear();
            // Signals are for the threads of the program; an interrupted wait is only a look too many.
            let _ = self.set.wait(timeout, &mut ready);
            ready.retain(|&token| {
                let kicked = token == KICK;
                if kicked {
                    self.kick.drain();
                }
                !kicked
            });
            self.do_what_is_due();
            if busy.is_empty() && !ready.is_empty() {
                next_look = Instant::now() + GRACE;
            }
            for &token in &ready {
                if let Some(shared) = self.get(token)
                    && !busy.iter().any(|busy| busy.token == token)
                {
                    shared.lock().sharing.watched = true;
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
                if !shared.retire_from_watch()
                    || readiness::wait(shared.readiness.as_fd(), Some(Duration::ZERO))
                        .unwrap_or(false)
                {
                    shared.turn();
                    link.reads = shared.reads();
                    let mut state = shared.lock();
                    state.sharing.watched = true;
                    return !state.is_over();
                }
                // Quiet. If it cannot be armed again it is gone.
                let _ = self.set.rearm(shared.readiness.as_fd(), link.token);
                false
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_alarm(&self) -> Option<Duration> {
        let (due, _) = *self.lock().alarms.first()?;
        clock::until(due, clock::now())
    }

    /// Looks at the timers that are due.
    fn do_what_is_due(&self) {
        let now = clock::now();
        loop {
            let token = {
                let mut watched = self.lock();
                match watched.alarms.first() {
                    Some(&(due, token)) if due <= now => {
                        watched.alarms.pop_first();
                        token
                    }
                    _ => return,
                }
            };
            let Some(shared) = self.get(token) else { continue };
            shared.turn();
            let mut state = shared.lock();
            state.alarm = Time::NEVER;
            if state.calling() > 0 && !state.is_over() {
                look_after(&shared, &mut state);
            }
        }
    }

    fn get(&self, token: u64) -> Option<Arc<Shared>> {
        let mut watched = self.lock();
        let shared = watched.links.get(&token)?.upgrade();
        if shared.is_none() {
            watched.links.remove(&token);
        }
        shared
    }
}

impl Shared {
    /// The link is quiet and is left to itself; false when something is there all the same.
    fn retire_from_watch(&self) -> bool {
        let mut state = self.lock();
        let quiet = state.retire();
        state.sharing.watched = !quiet;
        quiet
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use procall_proto::Encoding;
    use procall_transport::{LinkOptions, mem};

    use super::*;
    use crate::connection::{CallOptions, Connection, Deadline, Pending, Request, Side};

    struct Told(mpsc::SyncSender<()>);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            // Woken twice is woken once; a test that has its outcome listens no more.
            let _ = self.0.try_send(());
        }
    }

    fn start(connection: &Connection, deadline: Deadline) -> Pending {
        let options = CallOptions { deadline, ..CallOptions::default() };
        let request = Request::new("never", Encoding::None, &[]).with_options(options);
        connection.start(request).unwrap()
    }

    #[test]
    fn a_link_has_one_alarm_however_many_calls_pass_their_deadlines() {
        let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
        let client = Connection::new(Box::new(ours), Side::Initiator, Default::default());
        let _server = Connection::serving(Box::new(theirs), Side::Acceptor, Default::default());
        let (sender, woken) = mpsc::sync_channel(1);
        let waker = Waker::from(Arc::new(Told(sender)));

        let mut long = start(&client, Deadline::After(Duration::from_secs(600)));
        assert!(long.poll_reply(&waker).is_pending());
        for _ in 0..20 {
            let mut short = start(&client, Deadline::After(Duration::from_millis(1)));
            while short.poll_reply(&waker).is_pending() {
                woken.recv_timeout(Duration::from_secs(60)).unwrap();
            }
        }
        let token = client.shared.standby.load(Ordering::Relaxed);
        let alarms = &standby().unwrap().lock().alarms;
        let own = alarms.iter().filter(|(_, other)| *other == token).count();
        assert!(own <= 1, "{own} alarms");
    }
}
