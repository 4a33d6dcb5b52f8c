//! How a worker goes: it finishes its calls, is told, is asked by signal, is killed.

use std::time::{Duration, Instant};

use procall::ErrorCode;
use rustix::process::Signal;

use super::worker::{Scene, Stage, VERDICT, Worker};
use crate::dispatch::Busyness;
use crate::output::Happening;

/// How long a worker whose channel was closed may take to exit by itself before it is asked by signal.
const LINGER: Duration = Duration::from_millis(500);

/// How long a worker that hangs may take to write its stack.
const STACK: Duration = Duration::from_secs(1);
/// How long it may be silent before the stack counts as written.
const STACK_END: Duration = Duration::from_millis(100);

/// What comes after it has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The restart policy decides.
    Verdict,
    /// It is started again at once, because somebody asked for that.
    Restart,
    /// The same, but what it kept for anybody is lost.
    Replace,
    /// It is started again after the first pause, because it went of its own accord.
    Renew,
    /// It stays down.
    Stop,
    /// Nobody takes its place until the load wants that.
    Spare,
}

impl Then {
    /// Whether what the worker kept is lost without anybody having asked for that: keys that are pinned to it learn of it.
    fn is_loss(self) -> bool {
        matches!(self, Self::Verdict | Self::Replace | Self::Renew | Self::Spare)
    }
}

/// A worker on its way out.
#[derive(Debug)]
pub(super) struct Leaving {
    /// Its calls may take until then; nothing once they are done or given up.
    finish_by: Option<Instant>,
    /// When its calls end, should the process still live.
    fail_at: Option<Instant>,
    term_at: Option<Instant>,
    kill_at: Option<Instant>,
    /// How long it may take to exit.
    exit: Duration,
    pub(super) then: Then,
    /// It was lost before somebody asked for what comes after.
    lost: bool,
    /// What it did, besides ending.
    pub(super) why: Option<String>,
    /// It was asked for its stack, which comes behind this place of its output.
    stack: Option<u64>,
}

impl Leaving {
    /// Its link has ended; its process usually follows in a moment.
    pub(super) fn lost(verdict: Instant, exit: Duration) -> Self {
        Self { fail_at: Some(verdict), ..Self::hurried(verdict, verdict + exit, Then::Verdict) }
    }

    /// It takes no more calls and finishes those it has.
    pub(super) fn finishing(finish_by: Instant, exit: Duration, then: Then) -> Self {
        Self {
            finish_by: Some(finish_by),
            fail_at: None,
            term_at: None,
            kill_at: None,
            exit,
            then,
            lost: false,
            why: None,
            stack: None,
        }
    }

    /// There is nothing to finish.
    pub(super) fn hurried(term_at: Instant, kill_at: Instant, then: Then) -> Self {
        Self {
            finish_by: None,
            fail_at: None,
            term_at: Some(term_at),
            kill_at: Some(kill_at),
            exit: Duration::ZERO,
            then,
            lost: false,
            why: None,
            stack: None,
        }
    }

    /// It hangs. If it was asked for its stack, that comes behind this place of its output, and it has a moment for it.
    pub(super) fn hung(now: Instant, exit: Duration, stack: Option<u64>) -> Self {
        let term_at = if stack.is_some() { now + STACK } else { now };
        Self { stack, ..Self::hurried(term_at, term_at + exit, Then::Replace) }
    }

    /// It wrote something: when that was its stack, little is left to wait for.
    pub(super) fn has_spoken(&mut self, now: Instant) {
        if let (Some(_), Some(term), Some(kill)) = (self.stack, self.term_at, self.kill_at) {
            let sooner = term.min(now + STACK_END);
            self.kill_at = Some(kill - (term - sooner));
            self.term_at = Some(sooner);
        }
    }

    /// Where its stack begins among its output, if it was asked for one.
    pub(super) fn stack(&self) -> Option<u64> {
        self.stack
    }

    /// Whether what the worker kept is lost; see [`Then::is_loss`].
    pub(super) fn is_loss(&self) -> bool {
        self.lost || self.then.is_loss()
    }

    pub(super) fn because(self, why: String) -> Self {
        Self { why: Some(why), ..self }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        [self.finish_by, self.fail_at, self.term_at, self.kill_at].into_iter().flatten().min()
    }
}

fn is_due(at: &mut Option<Instant>, now: Instant) -> bool {
    at.take_if(|at| *at <= now).is_some()
}

impl Worker {
    /// Has it go, from whatever it is doing.
    pub(super) fn dismiss(
        &mut self,
        scene: &mut Scene<'_>,
        then: Then,
        finish: Duration,
        exit: Duration,
    ) {
        let now = scene.now;
        match std::mem::replace(&mut self.stage, Stage::Stopped) {
            Stage::Ready => {
                self.set_busyness(scene, Busyness::Draining);
                scene.core.event(self.index, Happening::Draining);
                self.stage = Stage::Leaving(Leaving::finishing(now + finish, exit, then));
            }
            Stage::Starting(starting) => {
                starting.close(scene);
                self.set_busyness(scene, Busyness::Draining);
                self.stage = Stage::Leaving(Leaving::hurried(now + linger(exit), now + exit, then));
            }
            // It goes already; what comes after is what was asked for last.
            Stage::Leaving(mut leaving) => {
                leaving.lost = leaving.is_loss();
                leaving.then = then;
                leaving.exit = leaving.exit.min(exit);
                leaving.finish_by = leaving.finish_by.map(|by| by.min(now + finish));
                leaving.kill_at = leaving.kill_at.map(|at| at.min(now + exit));
                self.stage = Stage::Leaving(leaving);
            }
            // Nobody was there, so nothing happens.
            Stage::Spare if then == Then::Stop => self.set_busyness(scene, Busyness::Stopped),
            Stage::Backoff(_) | Stage::Failed | Stage::Stopped if then == Then::Stop => {
                self.be_stopped(scene)
            }
            Stage::Backoff(_) | Stage::Failed | Stage::Stopped | Stage::Spare => {
                if let Some(seat) = scene.core.dispatch.lock().seats.get_mut(self.index) {
                    seat.restarts += 1;
                }
                self.start(scene);
            }
        }
        self.go_on_leaving(scene);
    }

    /// Takes the steps that are due.
    pub(super) fn go_on_leaving(&mut self, scene: &mut Scene<'_>) {
        let now = scene.now;
        let (in_flight, done) = {
            let state = scene.core.dispatch.lock();
            let seat = state.seats.get(self.index);
            seat.map_or((0, true), |seat| (seat.in_flight(), seat.is_done()))
        };
        let Stage::Leaving(leaving) = &mut self.stage else { return };
        let gone = self.connection.as_ref().is_none_or(procall::Connection::is_closed);
        if let Some(by) = leaving.finish_by
            && (done || by <= now || gone)
        {
            leaving.finish_by = None;
            leaving.term_at = Some(now + linger(leaving.exit));
            leaving.kill_at = Some(now + leaving.exit);
            let then = leaving.then;
            if gone && in_flight > 0 {
                // It died while it finished its calls, which are told how in a moment.
                leaving.fail_at = Some(now + VERDICT);
            } else {
                self.bid_farewell(scene, then, in_flight > 0);
            }
        }
        let Stage::Leaving(leaving) = &mut self.stage else { return };
        let (fail, term, kill) = (
            is_due(&mut leaving.fail_at, now),
            is_due(&mut leaving.term_at, now),
            is_due(&mut leaving.kill_at, now),
        );
        if fail {
            leaving.why = Some("closed its channel".to_owned());
            let error = self.error(
                scene,
                ErrorCode::WorkerLost,
                "closed its channel while its process lived on",
            );
            if let Some(connection) = &self.connection {
                connection.fail_with(&error);
            }
        }
        let Some(process) = &self.process else { return };
        if kill {
            process.child.signal(Signal::KILL);
        } else if term {
            process.child.signal(Signal::TERM);
        }
    }

    /// Closes the channel: a worker's runtime then ends by itself, in good order.
    fn bid_farewell(&self, scene: &Scene<'_>, then: Then, unfinished: bool) {
        let Some(connection) = &self.connection else { return };
        connection.drain("the pool lets this worker go");
        if unfinished {
            let error = match then {
                Then::Stop => {
                    self.error(scene, ErrorCode::Closed, "was stopped before the call was done")
                }
                _ => self.error(
                    scene,
                    ErrorCode::WorkerLost,
                    "was restarted before the call was done",
                ),
            };
            connection.fail_with(&error.with_executed(procall::Executed::Maybe));
        }
        connection.close();
    }
}

fn linger(exit: Duration) -> Duration {
    LINGER.min(exit / 5)
}
