//! One permanent thread per process that starts, watches and reaps every worker of every pool.
//!
//! It must be permanent, because a worker dies with the thread that started it. It never runs foreign code and never waits for anything
//! but its own set of descriptors: the death of a process, the end of a link, a line of output, a kick by somebody with a wish.

mod hang;
mod leaving;
mod listening;
mod room;
mod scale;
mod starting;
mod watch;
mod worker;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use procall::transport::readiness::{Kick, Set};
use procall::{Error, ErrorCode};

use crate::core::Core;
use crate::policy::Cause;
use crate::spawn::Launch;
use crate::step::Outcome;
use room::Room;
use watch::{KICK, Source, Watch};

/// What the supervisor is asked for.
pub(crate) enum Command {
    /// A new pool: start its workers. The outcome comes when all are ready.
    Start { core: Arc<Core>, launch: Box<Launch>, done: Outcome },
    /// Start workers anew, one after the other, without losing a call.
    Restart { pool: u64, workers: Vec<usize>, done: Outcome },
    /// Start a worker anew because of this, unless it is another process by now.
    Replace { pool: u64, index: usize, generation: u64, cause: Cause },
    /// Take no more calls; the outcome comes when none is left.
    Drain { pool: u64, done: Outcome },
    /// Drain for so long at most, then end the workers; each may take so long to exit.
    Stop { pool: u64, finish: Duration, exit: Duration, done: Outcome },
}

/// The way to the supervisor thread.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// The process it runs in: threads do not survive a fork.
    process: u32,
    set: Set,
    kick: Kick,
    mail: Mutex<Mail>,
}

struct Mail {
    /// Wishes of users, who wait for each of them: as many as threads.
    commands: Vec<Command>,
    /// Workers to look at; each at most once.
    nudges: Vec<(u64, usize)>,
    /// Something is due then that the thread may not know of.
    earliest: Option<Instant>,
    waiting: Waiting,
    thread: Option<ThreadId>,
}

#[derive(Clone, Copy)]
enum Waiting {
    /// It will look at its mail before it waits.
    No,
    Until(Option<Instant>),
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("commands", &self.commands.len()).finish_non_exhaustive()
    }
}

struct Nudge {
    supervisor: Arc<Supervisor>,
    pool: u64,
    worker: usize,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.supervisor.nudge(self.pool, self.worker);
    }
}

impl Supervisor {
    /// The supervisor of this process; started with the first pool, and never ended.
    pub(crate) fn current() -> Result<Arc<Self>, Error> {
        static CURRENT: Mutex<Option<Arc<Supervisor>>> = Mutex::new(None);
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some(supervisor) =
            current.as_ref().filter(|supervisor| supervisor.process == process)
        {
            return Ok(supervisor.clone());
        }
        let supervisor = Self::start(process).map_err(|error| {
            Error::new(
                ErrorCode::SpawnFailed,
                "there is no thread or descriptor left to supervise workers",
            )
            .with_source(error)
        })?;
        // After a fork, the parent's is kept open: its descriptors are the parent's epoll, which must not lose them.
        std::mem::forget(current.replace(supervisor.clone()));
        Ok(supervisor)
    }

    fn start(process: u32) -> std::io::Result<Arc<Self>> {
        let mail = Mail {
            commands: Vec::new(),
            nudges: Vec::new(),
            earliest: None,
            waiting: Waiting::No,
            thread: None,
        };
        let supervisor = Arc::new(Self {
            process,
            set: Set::new()?,
            kick: Kick::new()?,
            mail: Mutex::new(mail),
        });
        supervisor.set.add(supervisor.kick.as_fd(), KICK, false)?;
        let own = supervisor.clone();
        let thread =
            std::thread::Builder::new().name("procall-supervisor".to_owned()).spawn(move || {
                Thread { supervisor: own.clone(), rooms: HashMap::new(), watch: Watch::new(own) }
                    .run()
            })?;
        supervisor.lock().thread = Some(thread.thread().id());
        Ok(supervisor)
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it runs in this process: not in a forked child.
    pub(crate) fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    /// Whether the caller is the supervisor's own thread, which must not wait for itself.
    pub(crate) fn is_current_thread(&self) -> bool {
        self.lock().thread == Some(std::thread::current().id())
    }

    pub(crate) fn command(&self, command: Command) {
        let mut mail = self.lock();
        mail.commands.push(command);
        self.wake(mail);
    }

    /// Has it look at a worker.
    pub(crate) fn nudge(&self, pool: u64, worker: usize) {
        let mut mail = self.lock();
        if !mail.nudges.contains(&(pool, worker)) {
            mail.nudges.push((pool, worker));
        }
        self.wake(mail);
    }

    /// Has it look at the queues by then.
    pub(crate) fn wake_by(&self, due: Instant) {
        let mut mail = self.lock();
        mail.earliest = Some(mail.earliest.map_or(due, |earliest| earliest.min(due)));
        match mail.waiting {
            Waiting::Until(Some(until)) if until <= due => {}
            _ => self.wake(mail),
        }
    }

    fn wake(&self, mut mail: MutexGuard<'_, Mail>) {
        if matches!(std::mem::replace(&mut mail.waiting, Waiting::No), Waiting::Until(_)) {
            self.kick.kick();
        }
    }

    /// A waker that has it look at a worker.
    pub(crate) fn waker(self: &Arc<Self>, pool: u64, worker: usize) -> Waker {
        Waker::from(Arc::new(Nudge { supervisor: self.clone(), pool, worker }))
    }
}

/// What only the thread itself touches.
struct Thread {
    supervisor: Arc<Supervisor>,
    rooms: HashMap<u64, Room>,
    watch: Watch,
}

impl Thread {
    fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            self.read_mail();
            let next = self.do_what_is_due();
            if let Some(timeout) = self.prepare_wait(next) {
                // An interrupted wait is only a look too many; signals are for the threads of the program.
                let _ = self.supervisor.set.wait(timeout, &mut ready);
                self.supervisor.lock().waiting = Waiting::No;
            } else {
                let _ = self.supervisor.set.wait(Some(Duration::ZERO), &mut ready);
            }
            for token in ready.drain(..) {
                self.handle_ready(token);
            }
        }
    }

    fn read_mail(&mut self) {
        let (commands, nudges) = {
            let mut mail = self.supervisor.lock();
            mail.earliest = None;
            (std::mem::take(&mut mail.commands), std::mem::take(&mut mail.nudges))
        };
        let now = Instant::now();
        for command in commands {
            self.obey(command, now);
        }
        for (pool, worker) in nudges {
            if let Some(room) = self.rooms.get_mut(&pool) {
                room.handle_nudge(worker, &mut self.watch, now);
            }
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Start { core, launch, done } => {
                let room = Room::open(core, *launch, done, &mut self.watch, now);
                self.rooms.insert(room.id(), room);
            }
            Command::Restart { pool, workers, done } => {
                if let Some(room) = self.rooms.get_mut(&pool) {
                    room.restart(workers, done);
                }
            }
            Command::Replace { pool, index, generation, cause } => {
                if let Some(room) = self.rooms.get_mut(&pool) {
                    room.replace(index, generation, cause, &mut self.watch, now);
                }
            }
            Command::Drain { pool, done } => {
                if let Some(room) = self.rooms.get_mut(&pool) {
                    room.drain(done);
                }
            }
            Command::Stop { pool, finish, exit, done } => match self.rooms.get_mut(&pool) {
                Some(room) => room.stop(finish, exit, done, now),
                // It has stopped before, which is what was asked for.
                None => done.set(Ok(())),
            },
        }
    }

    fn do_what_is_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        self.rooms.retain(|_, room| {
            let due = room.handle_time(&mut self.watch, now);
            next = [next, due].into_iter().flatten().min();
            !room.is_over()
        });
        next
    }

    /// How long to wait; nothing when there is mail.
    fn prepare_wait(&self, next: Option<Instant>) -> Option<Option<Duration>> {
        let mut mail = self.supervisor.lock();
        if !mail.commands.is_empty() || !mail.nudges.is_empty() {
            return None;
        }
        let until = [next, mail.earliest].into_iter().flatten().min();
        mail.waiting = Waiting::Until(until);
        Some(until.map(|until| until.saturating_duration_since(Instant::now())))
    }

    fn handle_ready(&mut self, token: u64) {
        if token == KICK {
            self.supervisor.kick.drain();
            return;
        }
        // A token of something that was removed within this same batch.
        let Some((pool, worker, source)) = self.watch.source(token) else { return };
        let Some(room) = self.rooms.get_mut(&pool) else { return };
        let now = Instant::now();
        match source {
            Source::Exit => room.handle_exit(worker, &mut self.watch, now),
            Source::Output(outlet) => room.handle_output(worker, outlet, &mut self.watch, now),
            Source::Channel | Source::Door => room.handle_nudge(worker, &mut self.watch, now),
        }
    }
}
