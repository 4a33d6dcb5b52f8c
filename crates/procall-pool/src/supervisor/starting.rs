//! From fork to ready: a worker is ready once it has registered and answered.

use std::os::fd::AsFd;
use std::task::Poll;
use std::time::Instant;

use procall::transport::Link;
use procall::{Config, Connection, Deadline, Encoding, Error, ErrorCode, Request, Side, Started};

use super::leaving::{Leaving, Then};
use super::watch::{Source, Watch};
use super::worker::{Scene, Stage, Worker};
use crate::dispatch::Busyness;
use crate::output::{Happening, Outlet, Pipe};
use crate::spawn::{self, Dial};

/// Peers that may have dialled at once and not yet shown the token.
const MAX_DIALLED: usize = 8;
/// Output keeps a slow start alive, but not for longer than so many times the ready time-out.
const PATIENCE: u32 = 10;

/// A start that is under way.
pub(super) struct Starting {
    began: Instant,
    /// The last sign of life.
    progress: Instant,
    /// The inherited channel, and those who dialled.
    candidates: Vec<Candidate>,
    door: Option<(Dial, u64)>,
    /// The question that a ready worker answers, on the connection that registered.
    question: Option<(Connection, Started)>,
}

struct Candidate {
    connection: Connection,
    token: u64,
}

impl Candidate {
    fn close(self, watch: &mut Watch) {
        watch.remove(self.connection.readiness(), self.token);
        self.connection.close();
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
    fn words(&self) -> &'static str {
        if self.question.is_some() {
            "it registered, but did not answer a ping"
        } else if self.candidates.iter().any(|candidate| candidate.connection.peer().is_some()) {
            "it connected, but did not register a service"
        } else {
            "it never connected; does it run a Procall service?"
        }
    }

    /// Lets go of everything but the connection that was chosen.
    pub(super) fn close(self, scene: &mut Scene<'_>) {
        if let Some((dial, token)) = self.door {
            scene.watch.remove(dial.as_fd(), token);
        }
        for candidate in self.candidates {
            candidate.close(scene.watch);
        }
    }
}

impl Worker {
    /// Starts a process.
    pub(super) fn start(&mut self, scene: &mut Scene<'_>) {
        self.was_late = false;
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
        // Without a place for the socket there is still the inherited channel.
        let dial = Dial::new().ok();
        let spawned = spawn::spawn(scene.launch, dial.as_ref())?;
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
            door: None,
            question: None,
        };
        let (pool, index) = (scene.core.id, self.index);
        if let Some(dial) = dial
            && let Ok(token) = scene.watch.add(dial.as_fd(), pool, index, Source::Door)
        {
            starting.door = Some((dial, token));
        }
        // Without descriptors to watch it, the worker is late in the end, and that is told.
        let _ = self.add_candidate(scene, &mut starting, Box::new(spawned.link), None);
        Ok(starting)
    }

    fn add_candidate(
        &self,
        scene: &mut Scene<'_>,
        starting: &mut Starting,
        link: Box<dyn Link>,
        token: Option<Vec<u8>>,
    ) -> std::io::Result<()> {
        let config = config(scene, &self.name, token);
        let connection = Connection::new(link, Side::Acceptor, config);
        let token =
            scene.watch.add(connection.readiness(), scene.core.id, self.index, Source::Channel)?;
        starting.candidates.push(Candidate { connection, token });
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
                // From now on callers read it.
                starting.close_all_but(&connection, scene);
                self.become_ready(scene, connection);
            }
        }
    }

    fn accept(&self, scene: &mut Scene<'_>, starting: &mut Starting) {
        while starting.candidates.len() <= MAX_DIALLED {
            let Some((dial, _)) = &starting.door else { return };
            let Ok(Some(link)) = dial.accept() else { return };
            let token = Some(dial.token().to_vec());
            if self.add_candidate(scene, starting, Box::new(link), token).is_err() {
                return;
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
        let Stage::Starting(starting) = std::mem::replace(&mut self.stage, Stage::Stopped) else {
            return;
        };
        let why = format!(
            "was not ready within {:?}: {}",
            scene.core.settings.ready_timeout,
            starting.words()
        );
        self.was_late = true;
        self.failure = Some(self.error(scene, ErrorCode::SpawnFailed, &why));
        starting.close(scene);
        self.stage =
            Stage::Leaving(Leaving::hurried(scene.now, scene.now, Then::Verdict).because(why));
        self.go_on_leaving(scene);
    }
}

impl Starting {
    fn close_all_but(mut self: Box<Self>, chosen: &Connection, scene: &mut Scene<'_>) {
        self.candidates.retain(|candidate| {
            let is_chosen = candidate.connection.same(chosen);
            if is_chosen {
                scene.watch.remove(candidate.connection.readiness(), candidate.token);
            }
            !is_chosen
        });
        self.question = None;
        self.close(scene);
    }
}

/// How the pool takes part in a worker's session.
fn config(scene: &Scene<'_>, name: &str, token: Option<Vec<u8>>) -> Config {
    let mut config = Config {
        name: name.to_owned(),
        pid: std::process::id(),
        token,
        heartbeat: scene.core.settings.heartbeat.clone(),
        ..Config::default()
    };
    // How long a start may take is decided here and not by the session: a worker may load a model before it says hello.
    config.limits.handshake = scene.core.settings.ready_timeout.saturating_mul(PATIENCE * 2);
    config
}
