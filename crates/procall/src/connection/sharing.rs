//! How a connection over a Unix link moves to shared memory, and what its drivers then do before they wait.

use std::sync::Once;

use procall_proto::{Config, ErrorCode, Fault};
use procall_transport::Link;
use procall_transport::shm::{Choice, Look, Progress};
use procall_transport::unix::UnixLink;

use super::Side;
use super::after::After;
use super::state::State;
use crate::surroundings;

/// Named among the features of a peer that can move to shared memory on this link.
const FEATURE: &str = "shm";

/// What happens where nothing else is said.
const DEFAULT: Choice = Choice::Unix;

/// Looks in vain after which only one wait in [`SPARSE`] begins with a look.
const PATIENCE: u32 = 8;
const SPARSE: u32 = 16;

/// What a connection knows of shared memory below it.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    /// What this side insists on, or takes.
    choice: Option<Choice>,
    /// This side has told that it can.
    offered: bool,
    /// Both sides can, so the link is on its way or has arrived.
    on: bool,
    /// It has arrived, and this is the way to look for news.
    look: Option<Look>,
    /// Something went either way since the last look.
    flowing: bool,
    /// Looks in vain since one found something.
    vain: u32,
    /// The standby thread looks after the link every few milliseconds, whoever leaves it.
    pub(super) watched: bool,
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
            unix.prepare();
        } else if wanted == Choice::Shm {
            return Err(unfulfilled("the other side is a process of another user"));
        }
        Ok(Self { choice, offered, ..Self::default() })
    }

    /// Whether the handshake is all that there is to wait for.
    pub(super) fn is_settled(&self) -> bool {
        self.choice != Some(Choice::Shm) || self.look.is_some()
    }

    /// What to do before a wait: look, when that is worth while, or else wait at once.
    pub(super) fn next_look(&mut self) -> Option<Look> {
        let look = self.look.as_ref()?;
        if !std::mem::take(&mut self.flowing) || !look.pays() {
            return None;
        }
        if self.vain >= PATIENCE && !(self.vain - PATIENCE).is_multiple_of(SPARSE) {
            self.vain += 1;
            return None;
        }
        Some(look.clone())
    }

    pub(super) fn looked(&mut self, found: bool) {
        self.vain = if found { 0 } else { self.vain.saturating_add(1) };
    }

    pub(super) fn flows(&mut self) {
        self.flowing = true;
    }
}

impl State {
    /// The handshake is done: both sides know whether both can.
    pub(super) fn begin_sharing(&mut self, side: Side, after: &mut After) {
        let peer = self.session.peer();
        let wanted = peer.is_some_and(|peer| peer.features.iter().any(|name| name == FEATURE));
        if !self.sharing.offered || !wanted {
            if self.sharing.choice == Some(Choice::Shm) {
                let why = "the other side does not take it: it is older, or was not told PROCALL_TRANSPORT=auto";
                self.end(unfulfilled(why), after);
            }
            return;
        }
        if let Some(unix) = self.link.unix() {
            unix.share(side == Side::Initiator);
            unix.attended(true);
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
                after.wake_all(&mut self.watchers);
            }
            Progress::Failed(why) => {
                self.sharing.on = false;
                if self.sharing.choice == Some(Choice::Shm) {
                    self.end(unfulfilled(&why), after);
                } else {
                    tell(&why);
                }
            }
            _ => {}
        }
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
