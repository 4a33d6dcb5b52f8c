//! One worker's life: started, ready, leaving, gone, started again.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use procall::{Connection, Error, ErrorCode, Registration};
use rustix::process::Signal;

use super::leaving::{Leaving, Then};
use super::starting::Starting;
use super::watch::{Source, Watch};
use crate::builder::FOREVER;
use crate::core::Core;
use crate::dispatch::{Author, Busyness, Outlets, SeatLease};
use crate::output::{Gulp, Happening, LAST_GULPS, Outlet, OutputLine, Pipe};
use crate::policy::{Cause, History, Verdict};
use crate::spawn::{self, Child, Exit, Launch, MemoryGroup};

/// How long the end of a link may wait for the end of its process, so that the error can say how the worker died.
pub(super) const VERDICT: Duration = Duration::from_millis(200);

/// How often a worker's memory is looked at.
const WEIGHING: Duration = Duration::from_secs(1);
/// How long a worker that is stuck may take to exit.
const STUCK: Duration = Duration::from_secs(1);

/// What a worker's life plays in.
pub(super) struct Scene<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) launch: &'a Launch,
    pub(super) watch: &'a mut Watch,
    pub(super) now: Instant,
}

/// A worker as the supervisor sees it.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) name: Arc<str>,
    /// Has the supervisor look at this worker. Always the same one, so that it is registered once wherever it is.
    pub(super) waker: Waker,
    pub(super) stage: Stage,
    pub(super) history: History,
    pub(super) process: Option<Process>,
    pub(super) connection: Option<Connection>,
    /// What it told last that it serves.
    registration: Option<Arc<Registration>>,
    /// Why it could not be started or has failed.
    pub(super) failure: Option<Error>,
    /// It was not ready in time.
    pub(super) was_late: bool,
    /// When its heartbeat wants to be looked at.
    next_beat: Option<Instant>,
    /// When its memory wants to be looked at.
    next_weighing: Option<Instant>,
    suspected: bool,
}

pub(super) enum Stage {
    Starting(Box<Starting>),
    Ready,
    Leaving(Leaving),
    Backoff(Instant),
    Failed,
    Stopped,
    /// Nobody is needed here now.
    Spare,
}

/// A process that has not been reaped, and what we watch of it.
pub(super) struct Process {
    pub(super) child: Child,
    exit: u64,
    pipes: [Option<(Pipe, u64)>; 2],
    pub(super) was_ready: bool,
    /// To tell whether the kernel killed it for its memory.
    memory: Option<MemoryGroup>,
}

impl Process {
    pub(super) fn new(child: Child, exit: u64, pipes: [Option<(Pipe, u64)>; 2]) -> Self {
        let memory = MemoryGroup::of(child.pid());
        Self { child, exit, pipes, was_ready: false, memory }
    }

    /// The pipes that are still open.
    fn outlets(&self) -> Outlets {
        self.pipes.each_ref().map(|pipe| pipe.as_ref().map(|(pipe, _)| pipe.fd()))
    }
}

impl Worker {
    pub(super) fn new(index: usize, name: Arc<str>, waker: Waker, stage: Stage) -> Self {
        Self {
            index,
            name,
            waker,
            stage,
            history: History::default(),
            process: None,
            connection: None,
            registration: None,
            failure: None,
            was_late: false,
            next_beat: None,
            next_weighing: None,
            suspected: false,
        }
    }

    pub(super) fn set_busyness(&self, scene: &Scene<'_>, busyness: Busyness) {
        if let Some(seat) = scene.core.dispatch.lock().seats.get_mut(self.index) {
            seat.set_busyness(busyness);
        }
    }

    /// The worker as errors name it: `calc/2 (pid 4131)`.
    fn label(&self) -> String {
        match &self.process {
            Some(process) => format!("{} (pid {})", self.name, process.child.pid()),
            None => self.name.to_string(),
        }
    }

    /// An error that names the worker and brings its last words.
    pub(super) fn error(&self, scene: &Scene<'_>, code: ErrorCode, what: &str) -> Error {
        let error = Error::new(code, format!("{} {what}", self.name)).with_worker(self.label());
        match &self.process {
            Some(process) => {
                error.with_trace(scene.core.last_words(self.index, process.child.pid()))
            }
            None => error,
        }
    }

    /// What to do about a start that failed, where its last words tell.
    fn advice(&self, scene: &Scene<'_>, exit: Exit) -> Option<String> {
        let process = self.process.as_ref()?;
        let words = scene.core.last_words(self.index, process.child.pid());
        spawn::advice(scene.launch, exit, &words)
    }

    /// It registered and answered.
    pub(super) fn become_ready(&mut self, scene: &mut Scene<'_>, connection: Connection) {
        let registration = connection.peer_registration();
        let slots = slots(scene, &connection, registration.as_deref());
        self.history.ready();
        self.failure = None;
        if let Some(process) = &mut self.process {
            process.was_ready = true;
            // It may have moved to a group of its own.
            process.memory = MemoryGroup::of(process.child.pid());
        }
        self.stage = Stage::Ready;
        self.connection = Some(connection.clone());
        self.registration.clone_from(&registration);
        self.suspected = false;
        self.next_beat = scene.core.settings.heartbeat.as_ref().map(|_| scene.now);
        self.next_weighing = scene.core.settings.recycle.max_memory.map(|_| scene.now + WEIGHING);
        connection.measure(scene.core.meter.clone());
        connection.lend_from(&scene.core.arena);
        connection.keep(self.waker.clone());
        let outlets = self.process.as_ref().map(Process::outlets).unwrap_or_default();
        scene.core.publish(&connection, || {
            let mut state = scene.core.dispatch.lock();
            state.registration = registration.clone().or(state.registration.take());
            if let Some(seat) = state.seats.get_mut(self.index) {
                let lease = SeatLease::new(scene.core, self.index, seat.generation);
                seat.occupy(connection.clone(), lease, slots, outlets);
            }
        });
        scene.core.event(self.index, Happening::Ready);
        scene.core.hand_over();
        self.look(scene);
    }

    /// Somebody says that there may be something to see.
    pub(super) fn look(&mut self, scene: &mut Scene<'_>) {
        match self.stage {
            Stage::Starting(_) => self.go_on_starting(scene),
            Stage::Ready => self.look_at_connection(scene),
            Stage::Leaving(_) => self.go_on_leaving(scene),
            Stage::Backoff(_) | Stage::Failed | Stage::Stopped | Stage::Spare => {}
        }
    }

    fn look_at_connection(&mut self, scene: &mut Scene<'_>) {
        let Some(connection) = self.connection.clone() else { return };
        // Asks to be told of the next change; what it is, is looked up below.
        let ended = connection.poll_closed(&self.waker).is_ready();
        if ended || connection.is_closed() {
            return self.lose(scene);
        }
        if connection.is_going_away() {
            return self.let_go(scene);
        }
        self.look_at_registration(scene, &connection);
        let suspected = connection.is_suspected();
        if let Some(seat) = scene.core.dispatch.lock().seats.get_mut(self.index) {
            seat.set_routed(!suspected);
        }
        if std::mem::replace(&mut self.suspected, suspected) != suspected {
            scene.core.event(
                self.index,
                if suspected { Happening::Suspected } else { Happening::Recovered },
            );
            if !suspected {
                scene.core.hand_over();
            }
        }
    }

    /// A worker may register anew, with other methods or room for more or fewer calls.
    fn look_at_registration(&mut self, scene: &mut Scene<'_>, connection: &Connection) {
        let registration = connection.peer_registration();
        let same = match (&registration, &self.registration) {
            (Some(new), Some(old)) => Arc::ptr_eq(new, old),
            (new, old) => new.is_none() && old.is_none(),
        };
        if same {
            return;
        }
        let slots = slots(scene, connection, registration.as_deref());
        self.registration.clone_from(&registration);
        {
            let mut state = scene.core.dispatch.lock();
            state.registration = registration;
            if let Some(seat) = state.seats.get_mut(self.index) {
                seat.set_slots(slots);
            }
        }
        scene.core.hand_over();
    }

    /// The link has ended. Usually the process has too, and its pidfd says so in a moment.
    fn lose(&mut self, scene: &mut Scene<'_>) {
        self.set_busyness(scene, Busyness::Draining);
        let verdict = scene.now + VERDICT;
        self.stage = Stage::Leaving(Leaving::lost(verdict, scene.core.settings.stop_timeout));
    }

    /// The worker itself wants to go: it finishes what it has, and another one takes its place.
    fn let_go(&mut self, scene: &mut Scene<'_>) {
        self.set_busyness(scene, Busyness::Draining);
        scene.core.event(self.index, Happening::Draining);
        let settings = &scene.core.settings;
        self.stage = Stage::Leaving(Leaving::finishing(
            scene.now + settings.finish_timeout,
            settings.stop_timeout,
            Then::Renew,
        ));
        self.go_on_leaving(scene);
    }

    /// Does what is due by time.
    pub(super) fn handle_time(&mut self, scene: &mut Scene<'_>) {
        match &self.stage {
            Stage::Starting(starting) if starting.is_late(scene) => self.be_late(scene),
            Stage::Leaving(_) => self.go_on_leaving(scene),
            Stage::Backoff(until) if *until <= scene.now => {
                if let Some(seat) = scene.core.dispatch.lock().seats.get_mut(self.index) {
                    seat.restarts += 1;
                }
                self.start(scene);
            }
            Stage::Ready => {
                if self.next_beat.is_some_and(|beat| beat <= scene.now) {
                    self.beat(scene);
                }
                if self.next_weighing.is_some_and(|due| due <= scene.now) {
                    self.weigh(scene);
                }
            }
            _ => {}
        }
    }

    /// Replaces a worker that has grown too large.
    fn weigh(&mut self, scene: &mut Scene<'_>) {
        self.next_weighing = Some(scene.now + WEIGHING);
        let limit = scene.core.settings.recycle.max_memory.unwrap_or(u64::MAX);
        let pid = self.process.as_ref().map(|process| process.child.pid());
        let Some(bytes) = pid.and_then(spawn::resident_memory).filter(|&bytes| bytes > limit)
        else {
            return;
        };
        let generation =
            scene.core.dispatch.lock().seats.get(self.index).map(|seat| seat.generation);
        if let Some(generation) = generation {
            self.next_weighing = None;
            scene.core.replace(self.index, generation, Cause::Memory(bytes));
        }
    }

    /// Has a new process take this worker's place; its calls may finish, a stuck one aside.
    pub(super) fn be_replaced(&mut self, scene: &mut Scene<'_>, cause: Cause) {
        let settings = &scene.core.settings;
        let (finish, exit) = (settings.finish_timeout, settings.stop_timeout);
        scene.core.event(self.index, Happening::Replacing { reason: cause.to_string() });
        match cause {
            Cause::Overrun => self.dismiss(scene, Then::Replace, finish, exit.min(STUCK)),
            Cause::Calls(_) | Cause::Memory(_) => {
                self.dismiss(scene, Then::Restart, finish, exit);
            }
        }
    }

    /// Nobody else moves an idle link's timers.
    fn beat(&mut self, scene: &mut Scene<'_>) {
        let (Some(connection), Some(heartbeat)) =
            (&self.connection, &scene.core.settings.heartbeat)
        else {
            return;
        };
        connection.turn();
        let next = connection.next_timeout().unwrap_or(heartbeat.interval).min(heartbeat.interval);
        // A call's timer may be due at once, but it is not ours: whoever waits for the call looks after it.
        let next = next.max(Duration::from_millis(50)).min(FOREVER);
        self.next_beat = Some(scene.now + next);
    }

    /// When something is due.
    pub(super) fn due(&self, scene: &Scene<'_>) -> Option<Instant> {
        match &self.stage {
            Stage::Starting(starting) => Some(starting.due(scene)),
            Stage::Leaving(leaving) => leaving.due(),
            Stage::Backoff(until) => Some(*until),
            Stage::Ready => [self.next_beat, self.next_weighing].into_iter().flatten().min(),
            Stage::Failed | Stage::Stopped | Stage::Spare => None,
        }
    }

    /// It printed something.
    pub(super) fn handle_output(&mut self, scene: &mut Scene<'_>, outlet: Outlet) {
        if let Stage::Starting(starting) = &mut self.stage {
            starting.progressed(scene.now);
        }
        let Some(process) = &mut self.process else { return };
        let pid = process.child.pid();
        let place = &mut process.pipes[outlet as usize];
        let Some((pipe, token)) = place else { return };
        let listening = Listening { name: &self.name, index: self.index, pid };
        if listening.hear(pipe, scene.core, &mut scene.watch.buffer) == Gulp::End {
            listening.hear_the_end(pipe, scene.core);
            scene.watch.remove(pipe.as_fd(), *token);
            *place = None;
        }
    }

    /// The process has ended.
    pub(super) fn handle_exit(&mut self, scene: &mut Scene<'_>) {
        let Some(process) = &mut self.process else { return };
        // Before anything else: a call that is started now would be lost.
        if let Some(seat) = scene.core.dispatch.lock().seats.get_mut(self.index) {
            seat.set_routed(false);
        }
        let Some(exit) = process.child.reap() else { return };
        let pid = process.child.pid();
        for place in &mut process.pipes {
            let Some((mut pipe, token)) = place.take() else { continue };
            let listening = Listening { name: &self.name, index: self.index, pid };
            for _ in 0..LAST_GULPS {
                let gulp = listening.hear(&mut pipe, scene.core, &mut scene.watch.buffer);
                if !matches!(gulp, Gulp::Some { .. }) {
                    break;
                }
            }
            listening.hear_the_end(&mut pipe, scene.core);
            scene.watch.remove(pipe.as_fd(), token);
        }
        scene.watch.remove(process.child.pidfd(), process.exit);
        let was_ready = process.was_ready;
        let mut reason = exit.to_string();
        if exit == Exit::Signal(Signal::KILL.as_raw())
            && let Some(likely) = process.memory.as_ref().and_then(MemoryGroup::likely)
        {
            reason = format!("{reason}, {likely}");
        }
        if let Stage::Leaving(Leaving { why: Some(why), .. }) = &self.stage {
            reason = format!("{why}, and then {reason}");
        }
        let lost = match &self.stage {
            Stage::Leaving(leaving) => leaving.is_loss(),
            _ => true,
        };
        self.vacate(scene, &reason, lost);
        scene.core.event_of(self.index, Some(pid), Happening::Exited { reason: reason.clone() });
        let stage = std::mem::replace(&mut self.stage, Stage::Stopped);
        let mut what = if was_ready { reason } else { format!("{reason} before it was ready") };
        if !was_ready && let Some(advice) = self.advice(scene, exit) {
            what = format!("{what}: {advice}");
        }
        let error = self.error(scene, ErrorCode::SpawnFailed, &what);
        if let Stage::Starting(starting) = stage {
            starting.close(scene);
            self.process = None;
            return self.judge(scene, false, error);
        }
        self.process = None;
        match stage {
            Stage::Leaving(Leaving { then: Then::Stop, .. }) => self.be_stopped(scene),
            Stage::Leaving(Leaving { then: Then::Spare, .. }) => self.be_spare(scene),
            Stage::Leaving(Leaving { then: Then::Restart | Then::Replace, .. }) => {
                if let Some(seat) = scene.core.dispatch.lock().seats.get_mut(self.index) {
                    seat.restarts += 1;
                }
                self.start(scene);
            }
            Stage::Leaving(Leaving { then: Then::Renew, .. }) => {
                self.back_off(scene, scene.core.settings.restart.backoff)
            }
            _ => self.judge(scene, was_ready, error),
        }
    }

    /// No more calls come here, and those that were here learn how it ended.
    fn vacate(&mut self, scene: &Scene<'_>, reason: &str, lost: bool) {
        {
            let mut state = scene.core.dispatch.lock();
            if let Some(seat) = state.seats.get_mut(self.index) {
                // First the seat, then the calls: a slot that they give back must not be given to the next call.
                drop(seat.vacate());
                seat.losses += u64::from(lost);
                seat.pid = None;
                seat.last_exit = Some(reason.to_owned());
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.fail_with(&self.error(scene, ErrorCode::WorkerLost, reason));
        }
        if lost {
            scene.core.flush_lost(self.index);
        }
    }

    /// Whether to start it again.
    pub(super) fn judge(&mut self, scene: &mut Scene<'_>, was_ready: bool, error: Error) {
        let (policy, now) = (&scene.core.settings.restart, scene.now);
        match self.history.gone(policy, was_ready, now, chance()) {
            Verdict::Again(pause) => {
                self.failure = Some(error);
                self.back_off(scene, pause);
            }
            Verdict::GiveUp(why) => {
                let reason = format!("{}; {why}", error.message());
                if let Some(seat) = scene.core.dispatch.lock().seats.get_mut(self.index) {
                    seat.fail(reason.clone(), error.trace().unwrap_or_default().to_owned());
                }
                self.failure = Some(error);
                self.stage = Stage::Failed;
                scene.core.event(self.index, Happening::Failed { reason });
                scene.core.flush_failed(self.index);
            }
        }
    }

    fn back_off(&mut self, scene: &Scene<'_>, pause: Duration) {
        self.stage = Stage::Backoff(scene.now + pause);
        self.set_busyness(scene, Busyness::Backoff);
        scene.core.event(self.index, Happening::Restarting { pause });
    }

    pub(super) fn be_stopped(&mut self, scene: &Scene<'_>) {
        self.stage = Stage::Stopped;
        self.set_busyness(scene, Busyness::Stopped);
        scene.core.event(self.index, Happening::Stopped);
        scene.core.flush_failed(self.index);
    }

    fn be_spare(&mut self, scene: &Scene<'_>) {
        self.stage = Stage::Spare;
        self.set_busyness(scene, Busyness::Spare);
        scene.core.event(self.index, Happening::Stopped);
        scene.core.flush_failed(self.index);
    }

    /// Watches the new process.
    pub(super) fn watch_process(
        &self,
        scene: &mut Scene<'_>,
        child: Child,
        stdout: Pipe,
        stderr: Pipe,
    ) -> std::io::Result<Process> {
        let (pool, index) = (scene.core.id, self.index);
        let mut tokens = Vec::with_capacity(3);
        let sources = [
            (child.pidfd(), Source::Exit),
            (stdout.as_fd(), Source::Output(Outlet::Stdout)),
            (stderr.as_fd(), Source::Output(Outlet::Stderr)),
        ];
        for (fd, source) in sources {
            match scene.watch.add(fd, pool, index, source) {
                Ok(token) => tokens.push((fd, token)),
                Err(error) => {
                    // All or nothing: what was added is taken out again, and the child ends with its owner.
                    tokens.into_iter().for_each(|(fd, token)| scene.watch.remove(fd, token));
                    return Err(error);
                }
            }
        }
        let [exit, out, err] = [tokens[0].1, tokens[1].1, tokens[2].1];
        Ok(Process::new(child, exit, [Some((stdout, out)), Some((stderr, err))]))
    }
}

/// How many calls a worker gets at once: what the pool says, or else the worker, but never more than its session takes.
fn slots(scene: &Scene<'_>, connection: &Connection, registration: Option<&Registration>) -> u32 {
    let told = registration.map_or(0, |registration| registration.concurrency);
    let most = connection.peer().map_or(usize::MAX, |peer| peer.max_calls);
    let slots = scene.core.settings.concurrency.unwrap_or(told);
    slots.min(u32::try_from(most).unwrap_or(u32::MAX)).max(1)
}

/// Whose output is read.
struct Listening<'a> {
    name: &'a Arc<str>,
    index: usize,
    pid: u32,
}

impl Listening<'_> {
    /// Reads what a pipe has, a gulp at most, and tells the lines.
    fn hear(&self, pipe: &mut Pipe, core: &Core, buffer: &mut Vec<u8>) -> Gulp {
        let outlet = pipe.outlet();
        let before = core.before_reading(self.index);
        let gulp = pipe.gulp(buffer);
        if let Gulp::Some { emptied } = gulp {
            let author = before.and_then(|before| core.author(self.index, outlet, before, emptied));
            pipe.cut(buffer, |text, unfinished| {
                core.line(self.index, self.line(outlet, text, unfinished, author.as_ref()));
            });
        }
        gulp
    }

    /// Tells what was begun and will not go on.
    fn hear_the_end(&self, pipe: &mut Pipe, core: &Core) {
        let outlet = pipe.outlet();
        let before = core.before_reading(self.index);
        let author = before.and_then(|before| core.author(self.index, outlet, before, false));
        pipe.end(|text, unfinished| {
            core.line(self.index, self.line(outlet, text, unfinished, author.as_ref()));
        });
    }

    fn line(
        &self,
        outlet: Outlet,
        text: &[u8],
        unfinished: bool,
        author: Option<&Author>,
    ) -> OutputLine {
        OutputLine {
            worker: self.name.clone(),
            pid: self.pid,
            outlet,
            text: String::from_utf8_lossy(text).into_owned(),
            unfinished,
            call: author.map(|author| author.id),
            method: author.map(|author| author.method.clone()),
            engine_call: author.and_then(|author| author.engine_call),
        }
    }
}

/// A random number from 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are merely regular.
    let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
