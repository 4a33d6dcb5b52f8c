//! Workers that go on with a call although nobody waits for it any more: those that ignore a cancel, and those that hang.

use std::task::Poll;
use std::time::{Duration, Instant};

use procall::{Deadline, Encoding, ErrorCode, Request, Started};

use super::leaving::Leaving;
use super::worker::{Scene, Stage, Worker};
use crate::dispatch::{Busyness, Ignored, Seat};
use crate::output::Happening;
use crate::policy::{Cause, OnCancel, seconds};
use crate::spawn::{Activity, ask_for_stack};

/// Pings of a worker that answers them: so many within the time after which its silence would count, but not more often than that.
const PINGS: u32 = 4;
const OFTEN: Duration = Duration::from_millis(50);
/// Longest stack in an error, in bytes. All of it is among the worker's output.
const MAX_STACK: usize = 2048;

/// What is known of a worker that is busy with a call which its caller gave up.
pub(super) struct Vigil {
    /// A ping that was not answered yet.
    ping: Option<Started>,
    /// When the last ping was sent.
    sent: Instant,
    /// What the process was doing then.
    activity: Option<Activity>,
}

impl Worker {
    /// Looks after calls that were given up and that the worker goes on with.
    pub(super) fn look_at_ignored(&mut self, scene: &mut Scene<'_>) {
        let settings = &scene.core.settings;
        if !settings.minds_ignored_calls() {
            return;
        }
        let Some(call) = self.seat(scene, |seat| seat.longest_ignored()).flatten() else {
            self.vigil = None;
            return;
        };
        let waited = scene.now.saturating_duration_since(call.since);
        if settings.on_cancel == OnCancel::Kill && waited >= settings.cancel_grace {
            self.seat(scene, Seat::give_ignored_up);
            return self.be_replaced(scene, Cause::Ignored(call.code, waited));
        }
        if let Some(timeout) = settings.hang_timeout {
            self.ping(scene, timeout);
            let silent = self.silence(scene.now);
            if waited >= timeout && silent.is_some_and(|silent| silent >= timeout) {
                self.end_hung(scene, call, silent.unwrap_or_default());
            }
        }
    }

    /// When calls that were given up want to be looked at again.
    pub(super) fn ignored_due(&self, scene: &Scene<'_>) -> Option<Instant> {
        let settings = &scene.core.settings;
        if !settings.minds_ignored_calls() {
            return None;
        }
        let call = self.seat(scene, |seat| seat.longest_ignored()).flatten()?;
        let kill =
            (settings.on_cancel == OnCancel::Kill).then(|| call.since + settings.cancel_grace);
        let hang =
            settings.hang_timeout.zip(self.vigil.as_ref()).map(|(timeout, vigil)| {
                match vigil.ping {
                    Some(_) => call.since.max(vigil.sent) + timeout,
                    None => vigil.sent + pause(timeout),
                }
            });
        [kill, hang].into_iter().flatten().min()
    }

    /// How long it has not answered a ping; nothing when it has answered the last one.
    fn silence(&self, now: Instant) -> Option<Duration> {
        let vigil = self.vigil.as_ref()?;
        vigil.ping.as_ref().map(|_| now.saturating_duration_since(vigil.sent))
    }

    /// Asks for a sign of life of whatever takes calls at the worker. The session's own pings are answered by a thread that does nothing else.
    fn ping(&mut self, scene: &Scene<'_>, timeout: Duration) {
        if let Some(vigil) = &mut self.vigil {
            if let Some(ping) = &mut vigil.ping {
                if let Poll::Ready(answer) = ping.poll_reply(&self.waker) {
                    // Any answer of the worker's will do, and one that this side made up for it is none.
                    let _ = answer;
                    vigil.ping = None;
                }
                return;
            }
            if scene.now < vigil.sent + pause(timeout) {
                return;
            }
        }
        let Some(connection) = &self.connection else { return };
        let mut request = Request::new("procall.ping", Encoding::None, &[]);
        request.options.deadline = Deadline::Never;
        // Refused when it has just gone, or when nothing more fits on the link: the next look tries again.
        let mut ping = connection.start_uncounted(request).ok().map(Started::from);
        if let Some(started) = &mut ping
            && started.poll_reply(&self.waker).is_ready()
        {
            ping = None;
        }
        let pid = self.process.as_ref().map(|process| process.child.pid());
        let activity = pid.and_then(Activity::of);
        self.vigil = Some(Vigil { ping, sent: scene.now, activity });
    }

    /// It answers nothing, and nobody waits any more for what it does.
    fn end_hung(&mut self, scene: &mut Scene<'_>, call: Ignored, silent: Duration) {
        let Some(process) = &self.process else { return };
        let pid = process.child.pid();
        let (now, vigil) = (Activity::of(pid), self.vigil.take());
        let doing = now.map_or("gone", |now| {
            now.since(vigil.as_ref().and_then(|vigil| vigil.activity.as_ref()))
        });
        let waited = scene.now.saturating_duration_since(call.since);
        let overrun = match call.code {
            ErrorCode::DeadlineExceeded => {
                format!("its call is {} past its deadline", seconds(waited))
            }
            _ => format!("its call was cancelled {} ago", seconds(waited)),
        };
        let why = format!(
            "was hung: no answer to pings for {}, {overrun}, and its process is {doing}",
            seconds(silent)
        );
        let place = scene.core.ring(self.index).map(|ring| ring.end());
        let peer = self.connection.as_ref().and_then(procall::Connection::peer);
        // What is stopped writes nothing before it goes on.
        let asked = !now.is_some_and(|now| now.is_stopped())
            && peer.is_some_and(|peer| ask_for_stack(&peer.runtime, peer.pid, pid));
        self.set_busyness(scene, Busyness::Draining);
        scene.core.event(self.index, Happening::Replacing { reason: format!("it {why}") });
        let exit = scene.core.settings.stop_timeout;
        let leaving = Leaving::hung(scene.now, exit, place.filter(|_| asked)).because(why);
        self.stage = Stage::Leaving(leaving);
        self.go_on_leaving(scene);
    }

    /// What a worker that hung wrote when it was asked where it is, as the end of a sentence; empty for all others.
    pub(super) fn last_stack(&self, scene: &Scene<'_>, pid: u32) -> String {
        let Stage::Leaving(leaving) = &self.stage else { return String::new() };
        let Some(place) = leaving.stack() else { return String::new() };
        let Some(ring) = scene.core.ring(self.index) else { return String::new() };
        let mut stack = String::new();
        for line in ring.since(place, pid).map(str::trim).filter(|line| !line.is_empty()) {
            stack.push_str(if stack.is_empty() { "; last stack: " } else { "; " });
            stack.push_str(line);
            if stack.len() > MAX_STACK {
                stack.truncate(stack.floor_char_boundary(MAX_STACK - "…".len()));
                stack.push('…');
                break;
            }
        }
        stack
    }
}

/// How long after a ping that was answered the next one is sent.
fn pause(timeout: Duration) -> Duration {
    (timeout / PINGS).max(OFTEN)
}
