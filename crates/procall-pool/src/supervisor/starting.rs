//! From fork to ready: a worker is ready once it has registered and answered.

use std::os::fd::{AsFd, OwnedFd};
use std::task::Poll;
use std::time::Instant;

use procall::transport::Link;
use procall::{Config, Connection, Deadline, Encoding, Error, ErrorCode, Request, Side, Started};

use super::leaving::{Leaving, Then};
use super::watch::{Source, Watch};
use super::worker::{Scene, Stage, Worker, misfit};
use crate::dispatch::Busyness;
use crate::output::{Happening, Outlet, Pipe};
use crate::spawn::{self, Token, Way, Ways};

/// Peers that may have come through a door at once and not yet shown the token; for one more, the oldest of them has to go.
const MAX_UNPROVEN: usize = 8;
/// Output keeps a slow start alive, but not for longer than so many times the ready time-out.
const PATIENCE: u32 = 10;

/// A start that is under way.
pub(super) struct Starting {
    began: Instant,
    /// The last sign of life.
    progress: Instant,
    /// The inherited channel, and those who came through a door.
    candidates: Vec<Candidate>,
    /// The doors that are open, and their tokens in the watch.
    doors: Vec<(Way, u64)>,
    /// Why the user's own door was closed.
    door_failure: Option<std::io::Error>,
    /// What those who come through a door have to show.
    token: Option<Token>,
    /// The question that a ready worker answers, on the connection that registered.
    question: Option<(Connection, Started)>,
}

struct Candidate {
    connection: Connection,
    /// In the watch.
    token: u64,
    came: Came,
    /// A second name of our end of its socket, where it may become the lifeline.
    lifeline: Option<OwnedFd>,
}

/// How a candidate came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Inherited,
    Dialled,
    /// Over the user's transport.
    Own,
}

impl Candidate {
    fn close(self, watch: &mut Watch) {
        watch.remove(self.connection.readiness(), self.token);
        self.connection.close();
    }

    /// Anybody might be at the other end: the token was not shown yet.
    fn is_unproven(&self) -> bool {
        self.came != Came::Inherited && self.connection.peer().is_none()
    }

    /// Lets go of the connection without ending it: its other end is the worker's lifeline, for as long as ours is open.
    fn into_lifeline(self, watch: &mut Watch) -> Option<OwnedFd> {
        watch.remove(self.connection.readiness(), self.token);
        self.lifeline
    }
}

impl Starting {
    pub(super) fn progressed(&mut self, now: Instant) {
        self.progress = now;
    }

    pub(super) fn due(&self, scene: &Scene<'_>) -> Instant {
        let timeout = scene.core.settings.ready_timeout;
        (self.progress + timeout).min(self.began + timeout.saturating_mul(PATIENCE))
    }

    pub(super) fn is_late(&self, scene: &Scene<'_>) -> bool {
        self.due(scene) <= scene.now
    }

    /// How far it has come.
    fn words(&self) -> String {
        if self.question.is_some() {
            "it registered, but did not answer a ping".to_owned()
        } else if self.candidates.iter().any(|candidate| candidate.connection.peer().is_some()) {
            "it connected, but did not register a service".to_owned()
        } else if let Some(error) = &self.door_failure {
            format!("it never connected, and the pool's transport failed: {error}")
        } else {
            "it never connected; does it run a Procall service?".to_owned()
        }
    }

    /// Lets go of everything but the connection that was chosen.
    pub(super) fn close(self, scene: &mut Scene<'_>) {
        for (door, token) in self.doors {
            scene.watch.remove(door.as_fd(), token);
        }
        for candidate in self.candidates {
            candidate.close(scene.watch);
        }
    }
}

impl Worker {
    /// Starts a process.
    pub(super) fn start(&mut self, scene: &mut Scene<'_>) {
        self.unfit = false;
        self.set_busyness(scene, Busyness::Starting);
        match self.try_start(scene) {
            Ok(starting) => {
                self.stage = Stage::Starting(Box::new(starting));
                scene.core.event(self.index, Happening::Started);
                // Asks to be told when somebody else, such as the standby thread, reads the first message.
                self.go_on_starting(scene);
            }
            Err(error) => self.judge(scene, false, error.with_worker(&*self.name)),
        }
    }

    fn try_start(&mut self, scene: &mut Scene<'_>) -> Result<Starting, Error> {
        let scarce = |error: std::io::Error| {
            scene
                .launch
                .failed("this process has no descriptors to spare for it")
                .with_source(error)
        };
        let ways = Ways::open(scene.launch, &self.name)?;
        let spawned = spawn::spawn(scene.launch, &ways)?;
        let pid = spawned.child.pid();
        let (stdout, stderr) =
            (Pipe::new(spawned.stdout, Outlet::Stdout), Pipe::new(spawned.stderr, Outlet::Stderr));
        self.process =
            Some(self.watch_process(scene, spawned.child, stdout, stderr).map_err(scarce)?);
        if let Some(seat) = scene.core.dispatch.lock().seats.get_mut(self.index) {
            seat.pid = Some(pid);
        }
        let mut starting = Starting {
            began: scene.now,
            progress: scene.now,
            candidates: Vec::new(),
            doors: Vec::new(),
            door_failure: None,
            token: ways.token,
            question: None,
        };
        let (pool, index) = (scene.core.id, self.index);
        let own = ways.own.map(|opening| Way::Own(opening.door));
        for door in ways.dial.map(Way::Dial).into_iter().chain(own) {
            match scene.watch.add(door.as_fd(), pool, index, Source::Door) {
                Ok(token) => starting.doors.push((door, token)),
                Err(error) if door.is_own() => starting.door_failure = Some(error),
                // There is still the inherited channel.
                Err(_) => {}
            }
        }
        let lifeline = match scene.launch.transport {
            Some(_) => Some(spawned.link.socket().try_clone_to_owned().map_err(scarce)?),
            None => None,
        };
        // Without descriptors to watch it, the worker is late in the end, and that is told.
        let _ = self.add_candidate(
            scene,
            &mut starting,
            Box::new(spawned.link),
            Came::Inherited,
            lifeline,
        );
        Ok(starting)
    }

    fn add_candidate(
        &self,
        scene: &mut Scene<'_>,
        starting: &mut Starting,
        link: Box<dyn Link>,
        came: Came,
        lifeline: Option<OwnedFd>,
    ) -> std::io::Result<()> {
        let shown = match came {
            Came::Inherited => None,
            Came::Dialled | Came::Own => starting.token.as_ref().map(Token::bytes),
        };
        let config = config(scene, &self.name, shown);
        let connection = Connection::new(link, Side::Acceptor, config);
        let token =
            scene.watch.add(connection.readiness(), scene.core.id, self.index, Source::Channel)?;
        starting.candidates.push(Candidate { connection, token, came, lifeline });
        Ok(())
    }

    /// Takes the next step towards being ready, as far as there is one.
    pub(super) fn go_on_starting(&mut self, scene: &mut Scene<'_>) {
        let Stage::Starting(mut starting) = std::mem::replace(&mut self.stage, Stage::Stopped)
        else {
            return;
        };
        self.accept(scene, &mut starting);
        self.read_candidates(scene, &mut starting);
        let Some((connection, question)) = &mut starting.question else {
            self.stage = Stage::Starting(starting);
            return;
        };
        match question.poll_reply(&self.waker) {
            Poll::Pending => self.stage = Stage::Starting(starting),
            // Its end decides, which the pidfd tells, or else the time.
            Poll::Ready(_) if connection.is_closed() => {
                starting.question = None;
                self.stage = Stage::Starting(starting);
            }
            // Any answer will do, "no such method" included: somebody takes calls and answers them.
            Poll::Ready(_) => {
                let connection = connection.clone();
                if let Some(why) = misfit(scene, &connection) {
                    self.stage = Stage::Starting(starting);
                    return self.give_start_up(scene, why);
                }
                // From now on callers read it.
                let lifelines = starting.close_all_but(&connection, scene);
                if let Some(process) = &mut self.process {
                    process.child.keep(lifelines);
                }
                self.become_ready(scene, connection);
            }
        }
    }

    fn accept(&self, scene: &mut Scene<'_>, starting: &mut Starting) {
        // As many as may stay; if there are more, the door brings this thread back once these have been read.
        let mut left = MAX_UNPROVEN;
        let mut at = 0;
        while left > 0
            && let Some((door, _)) = starting.doors.get(at)
        {
            let came = if door.is_own() { Came::Own } else { Came::Dialled };
            match door.accept() {
                Ok(Some((link, lifeline))) => {
                    left -= 1;
                    // Whoever keeps silent must not keep the worker out: that one speaks at once.
                    starting.make_room(scene);
                    // Without descriptors to watch it, it is hung up on.
                    let _ = self.add_candidate(scene, starting, link, came, lifeline);
                }
                Ok(None) => at += 1,
                // It may be readable for ever, and would keep this thread busy; a socket of ours is worth another look.
                Err(error) if came == Came::Own => {
                    let (door, token) = starting.doors.remove(at);
                    scene.watch.remove(door.as_fd(), token);
                    starting.door_failure = Some(error);
                }
                Err(_) => at += 1,
            }
        }
    }

    /// Reads who has something to say; the first to register is the worker.
    fn read_candidates(&self, scene: &mut Scene<'_>, starting: &mut Starting) {
        let mut at = 0;
        while let Some(candidate) = starting.candidates.get(at) {
            let connection = candidate.connection.clone();
            connection.turn();
            if connection.is_closed() {
                if let Some(error) = connection.closed_reason()
                    && error.code() == ErrorCode::InvalidArgument
                {
                    starting.door_failure = Some(std::io::Error::other(error));
                }
                // A launcher that closed the channel, or a stranger without the token: the worker may still come another way.
                starting.candidates.remove(at).close(scene.watch);
                continue;
            }
            if starting.question.is_none()
                && connection.poll_peer_registration(&self.waker).is_ready()
            {
                let left = starting.due(scene).saturating_duration_since(scene.now);
                let mut request = Request::new("procall.ping", Encoding::None, &[]);
                request.options.deadline = Deadline::After(left);
                connection.ping();
                // A refusal means that it has just gone, which is seen the next time.
                starting.question =
                    connection.start(request).ok().map(|call| (connection, call.into()));
            }
            at += 1;
        }
    }

    /// It was not ready in time.
    pub(super) fn be_late(&mut self, scene: &mut Scene<'_>) {
        if let Stage::Starting(starting) = &self.stage {
            let timeout = scene.core.settings.ready_timeout;
            let why = format!("was not ready within {timeout:?}: {}", starting.words());
            self.give_start_up(scene, why);
        }
    }

    /// It will be of no use.
    fn give_start_up(&mut self, scene: &mut Scene<'_>, why: String) {
        let Stage::Starting(starting) = std::mem::replace(&mut self.stage, Stage::Stopped) else {
            return;
        };
        self.unfit = true;
        self.failure = Some(self.error(scene, ErrorCode::SpawnFailed, &why));
        starting.close(scene);
        self.stage =
            Stage::Leaving(Leaving::hurried(scene.now, scene.now, Then::Verdict).because(why));
        self.go_on_leaving(scene);
    }
}

impl Starting {
    /// Lets go of everything but the connection that was chosen; what comes back must stay open for as long as the worker lives.
    fn close_all_but(mut self, chosen: &Connection, scene: &mut Scene<'_>) -> Vec<OwnedFd> {
        let others = std::mem::take(&mut self.candidates);
        let (others, chosen): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|candidate| !candidate.connection.same(chosen));
        let own = chosen.iter().any(|candidate| candidate.came == Came::Own);
        for candidate in chosen {
            scene.watch.remove(candidate.connection.readiness(), candidate.token);
        }
        self.question = None;
        let mut lifelines = Vec::new();
        for candidate in others {
            // Over the user's own link comes the session only: whether we live, the worker sees by one of the others.
            if own && candidate.came != Came::Own {
                lifelines.extend(candidate.into_lifeline(scene.watch));
            } else {
                candidate.close(scene.watch);
            }
        }
        self.close(scene);
        lifelines
    }

    /// Sends the oldest of those who have not shown the token away, when they are many.
    fn make_room(&mut self, scene: &mut Scene<'_>) {
        let mut unproven = Vec::new();
        for (at, candidate) in self.candidates.iter().enumerate() {
            if candidate.is_unproven() {
                // It may have spoken since it was last looked at.
                candidate.connection.turn();
                unproven.extend(candidate.is_unproven().then_some(at));
            }
        }
        if unproven.len() >= MAX_UNPROVEN {
            self.candidates.remove(unproven[0]).close(scene.watch);
        }
    }
}

/// How the pool takes part in a worker's session.
fn config(scene: &Scene<'_>, name: &str, token: Option<Vec<u8>>) -> Config {
    let mut config = Config {
        name: name.to_owned(),
        pid: std::process::id(),
        token,
        heartbeat: scene.core.settings.heartbeat.clone(),
        compression: scene.core.settings.compression,
        ..Config::default()
    };
    // How long a start may take is decided here and not by the session: a worker may load a model before it says hello.
    config.limits.handshake = scene.core.settings.ready_timeout.saturating_mul(PATIENCE * 2);
    config
}
