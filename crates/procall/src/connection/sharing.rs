//! How a connection over a Unix link moves to shared memory, and what its drivers then do before they wait.

#[cfg(feature = "tokio")]
use std::os::fd::OwnedFd;
#[cfg(feature = "tokio")]
use std::sync::Arc;
use std::sync::Once;
use std::time::Duration;

use procall_proto::{Config, ErrorCode, Fault, Time};
use procall_transport::Link;
use procall_transport::shm::{Choice, LOOK, Look, Progress};
use procall_transport::unix::UnixLink;

use super::Side;
use super::after::After;
use super::lending;
use super::state::State;
use crate::{clock, surroundings};

/// Named among the features of a peer that can move to shared memory on this link.
const FEATURE: &str = "shm";

/// What happens where nothing else is said.
const DEFAULT: Choice = Choice::Auto;

/// Looks in vain after which only one wait in [`SPARSE`] begins with a look, and none in the middle of a message.
const PATIENCE: u32 = 8;
const SPARSE: u32 = 16;
/// While the other side sleeps a look is in vain: to be woken across processors takes it longer. But two sides that never look find each other
/// asleep for ever. So one wait in [`SPARSE`], and ever fewer up to one in so many while that does not help, begins with a look that lasts until
/// the other side was woken: it then finds this one awake, and looks as well.
const SELDOM: u32 = 256;
const PATIENT: Duration = Duration::from_micros(100);

/// Messages that leave together when two processors share the work on many.
pub(super) const PIECE: u32 = 16;

/// Messages either way, one shortly after the other, after which a link moves: what is said to a peer that waits for work, its heartbeats too,
/// comes to less, and takes no memory.
const FLOW: u32 = 32;
/// What "shortly" means: the count begins anew when so much time has passed since it did.
const SHORTLY: Duration = Duration::from_secs(1);

/// What a connection knows of shared memory below it.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    /// What this side insists on, or takes.
    choice: Option<Choice>,
    /// This side has told that it can.
    offered: bool,
    /// Both sides can, so the link is on its way or has arrived, or may be asked.
    on: bool,
    /// Neither side has asked yet: messages since `since`.
    flow: u32,
    since: Time,
    /// It has arrived, and this is the way to look for news.
    look: Option<Look>,
    /// Something went either way since the last look.
    flowing: bool,
    /// The driver hears the bell itself, and looks before it sleeps.
    #[cfg(feature = "tokio")]
    heard: bool,
    /// It is at it.
    #[cfg(feature = "tokio")]
    looking: bool,
    /// Looks in vain since one found something.
    vain: u32,
    /// Waits without a look since the last patient one, and how many there are to be.
    missed: u32,
    gap: u32,
    /// What the last look was.
    kind: Kind,
    /// Looks in the middle of a message in vain since one found something.
    stuck: u32,
    /// The standby thread looks after the link every few milliseconds, whoever leaves it.
    pub(super) watched: bool,
}

/// What a look is for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An answer that may come at once.
    #[default]
    Short,
    /// The other side, which sleeps, to find this one awake.
    Patient,
    /// The next piece of a message that is longer than the ring, or room for it. The other side is at it, and each sleep would cost more than
    /// the piece takes.
    Midway,
}

/// What comes before the sleep of a driver or a hub.
#[derive(Debug)]
pub(crate) enum Before {
    /// Nothing: the link rests.
    Sleep,
    /// There is something to read.
    Read,
    /// A look, as long as it may take.
    Look(Look, Duration),
}

impl Sharing {
    /// Says in the handshake that this side can, if it can.
    pub(super) fn offer(link: &mut dyn Link, config: &mut Config) -> Result<Self, Fault> {
        let Some(unix) = link.unix() else { return Ok(Self::default()) };
        let choice = match unix.choice() {
            None => surroundings::transport().map_err(|error| refusal(error.message()))?,
            choice => choice,
        };
        let wanted = choice.unwrap_or(DEFAULT);
        let offered = wanted != Choice::Unix && unix.may_share();
        if offered {
            config.features.push(FEATURE.to_owned());
            config.features.push(lending::FEATURE.to_owned());
        } else if wanted == Choice::Shm {
            return Err(unfulfilled("the other side is a process of another user"));
        }
        Ok(Self { choice, offered, ..Self::default() })
    }

    /// Whether the handshake is all that there is to wait for.
    pub(super) fn is_settled(&self) -> bool {
        self.choice != Some(Choice::Shm) || self.look.is_some()
    }

    /// What to do before a wait, `midway` through a message or not: look, when that is worth while, or else wait at once.
    fn next_look(&mut self, midway: bool) -> Option<(Look, Duration)> {
        let look = self.look.as_ref()?;
        let flowing = std::mem::take(&mut self.flowing);
        let midway = midway && self.stuck < PATIENCE;
        if !(flowing || midway) || !look.pays() {
            return None;
        }
        if midway {
            self.kind = Kind::Midway;
            return Some((look.clone(), PATIENT));
        }
        let awake = look.finds_them_awake();
        if !self.is_time(awake) {
            *(if awake { &mut self.vain } else { &mut self.missed }) += 1;
            return None;
        }
        let look = look.clone();
        self.kind = if awake { Kind::Short } else { Kind::Patient };
        if awake {
            return Some((look, LOOK));
        }
        self.missed = 0;
        self.gap = (2 * self.gap).clamp(SPARSE, SELDOM);
        Some((look, PATIENT))
    }

    /// Whether this wait is one that begins with a look.
    fn is_time(&self, awake: bool) -> bool {
        match awake {
            true => self.vain < PATIENCE || (self.vain - PATIENCE).is_multiple_of(SPARSE),
            false => self.missed >= self.gap,
        }
    }

    /// Whether a message that could wait for others had better leave now, being one of many: the other side works on them on its own processor
    /// meanwhile, and is rung no more than once.
    pub(super) fn leaves_in_pieces(&self) -> bool {
        self.flow.is_multiple_of(PIECE) && self.look.as_ref().is_some_and(Look::pays)
    }

    /// Whether a driver that sleeps had better look for the answer to what was just sent.
    #[cfg(feature = "tokio")]
    pub(super) fn calls_for_a_look(&self) -> bool {
        let pays = |look: &Look| look.pays() && self.is_time(look.finds_them_awake());
        self.heard && !self.looking && self.look.as_ref().is_some_and(pays)
    }

    pub(super) fn looked(&mut self, found: bool) {
        if self.kind == Kind::Midway {
            self.stuck = if found { 0 } else { self.stuck + 1 };
            return;
        }
        if found {
            self.vain = 0;
        }
        match self.kind {
            Kind::Short if found => self.gap = SPARSE,
            Kind::Short => self.vain = self.vain.saturating_add(1),
            Kind::Patient | Kind::Midway => {}
        }
    }

    pub(super) fn flows(&mut self) {
        self.flowing = true;
        self.stuck = 0;
        self.flow = self.flow.saturating_add(1);
    }

    /// Whether so much was said lately that moving is worth its memory.
    fn is_worth_it(&mut self) -> bool {
        if self.choice == Some(Choice::Shm) {
            return true;
        }
        if self.flow < FLOW {
            return false;
        }
        let now = clock::now();
        let shortly = now - self.since < SHORTLY;
        (self.flow, self.since) = (0, now);
        shortly
    }
}

impl State {
    /// The handshake is done: both sides know whether both can.
    pub(super) fn begin_sharing(&mut self, side: Side, after: &mut After) {
        let peer = self.session.peer();
        let wanted = peer.is_some_and(|peer| peer.features.iter().any(|name| name == FEATURE));
        if !self.sharing.offered || !wanted {
            if self.sharing.choice == Some(Choice::Shm) {
                let why = "the other side does not take it: it is older, speaks JSON, or was told PROCALL_TRANSPORT=unix";
                self.end(unfulfilled(why), after);
            }
            return;
        }
        if let Some(unix) = self.link.unix() {
            unix.prepare(side == Side::Initiator);
            unix.attended(true);
            if peer.is_some_and(|peer| peer.features.iter().any(|name| name == lending::FEATURE)) {
                unix.lends();
                self.lending.may_begin(unix.arrivals());
            }
            self.sharing.on = true;
        }
    }

    /// Takes note of how far the link is.
    pub(super) fn go_on_sharing(&mut self, after: &mut After) {
        if !self.sharing.on || self.sharing.look.is_some() || self.is_over() {
            return;
        }
        let Some(unix) = self.link.unix() else { return };
        match unix.shared() {
            Progress::Done => {
                self.sharing.look = unix.look();
                self.lending.begin();
                after.wake_all(&mut self.watchers);
            }
            // Only after all that the session had to say before, the word that both can in particular.
            Progress::Unasked if self.sharing.is_worth_it() => {
                unix.ask();
                self.flush(after);
            }
            Progress::Failed(why) => {
                self.sharing.on = false;
                if self.sharing.choice == Some(Choice::Shm) {
                    self.end(unfulfilled(&why), after);
                } else {
                    tell(&why);
                }
            }
            Progress::Declined => {
                self.sharing.on = false;
                if self.sharing.choice == Some(Choice::Shm) {
                    self.end(unfulfilled("the other side has no memory for it"), after);
                }
            }
            _ => {}
        }
    }

    /// What to do before a wait: look, when that is worth while, or else wait at once.
    pub(super) fn next_look(&mut self) -> Option<(Look, Duration)> {
        let midway = self.shared_memory().is_some_and(|unix| unix.is_midway());
        self.sharing.next_look(midway)
    }

    /// Before a hub's wait: a look, where the standby thread would find a link that is left awake.
    pub(super) fn before_wait(&mut self) -> Before {
        let looks = self.sharing.watched;
        self.look_or(looks, Self::rest)
    }

    fn look_or(&mut self, looks: bool, come_to_rest: impl FnOnce(&mut Self) -> bool) -> Before {
        if looks && let Some((look, time)) = self.next_look() {
            self.attend();
            return Before::Look(look, time);
        }
        if come_to_rest(self) { Before::Sleep } else { Before::Read }
    }

    /// This thread is awake and looks again by itself.
    pub(super) fn attend(&mut self) {
        if let Some(unix) = self.shared_memory() {
            unix.attend();
        }
    }

    /// Before a wait in the link's readiness, which was woken and found nothing, or may have been. False: something is there already, or
    /// wrong, and is to be read first.
    pub(super) fn rest(&mut self) -> bool {
        self.shared_memory().is_none_or(UnixLink::rest)
    }

    /// The same where nothing was woken, and before nobody attends to the link any more. Cheap when the link rests already.
    pub(super) fn retire(&mut self) -> bool {
        self.shared_memory().is_none_or(UnixLink::retire)
    }

    /// What a driver has to hear beside the socket from now on, if it does not yet.
    #[cfg(feature = "tokio")]
    pub(super) fn unheard_bell(&mut self) -> Option<Arc<OwnedFd>> {
        if self.sharing.heard {
            return None;
        }
        self.shared_memory()?.bell()
    }

    /// The driver hears it.
    #[cfg(feature = "tokio")]
    pub(super) fn bell_is_heard(&mut self) -> std::io::Result<()> {
        self.sharing.heard = true;
        self.shared_memory().map_or(Ok(()), UnixLink::heard)
    }

    /// The socket of a link in shared memory has something to say.
    #[cfg(feature = "tokio")]
    pub(super) fn socket_tells(&mut self) {
        if let Some(unix) = self.shared_memory() {
            unix.tell();
        }
    }

    /// What a driver that hears the bell does before it sleeps.
    #[cfg(feature = "tokio")]
    pub(super) fn before_sleep(&mut self) -> Before {
        if !self.sharing.heard || self.is_over() {
            return Before::Sleep;
        }
        let before = self.look_or(true, Self::rest);
        self.sharing.looking = matches!(before, Before::Look(..));
        before
    }

    /// The driver's look is over.
    #[cfg(feature = "tokio")]
    pub(super) fn has_looked(&mut self, found: bool) {
        self.sharing.looking = false;
        self.sharing.looked(found);
    }

    fn shared_memory(&mut self) -> Option<&mut UnixLink> {
        if !self.sharing.on || self.is_over() {
            return None;
        }
        self.link.unix()
    }
}

fn refusal(message: &str) -> Fault {
    Fault { code: ErrorCode::InvalidArgument, message: message.to_owned(), remote: false }
}

fn unfulfilled(why: &str) -> Fault {
    refusal(&format!(
        "shared memory was asked for and is not to be had: {why}; use the transport \"auto\", which goes on over the socket"
    ))
}

/// Says once for a process that its links stay slower than they could be.
fn tell(why: &str) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| eprintln!("procall: no shared memory, so calls go over sockets: {why}"));
}
