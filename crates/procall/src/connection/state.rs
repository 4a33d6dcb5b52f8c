//! Session and link joined, under one lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use procall_proto::{
    CallId, ErrorCode, Event, Failure, Fault, IncomingCall, Reason, Session, Time,
};
use procall_transport::{Link, LinkError};
use slab::Slab;
use smallvec::SmallVec;

use super::Side;
use super::after::After;
use super::inbox::Batch;
use super::lending::{Lending, Loans, arrived};
use super::line::Line;
#[cfg(feature = "tokio")]
use super::sharing::PIECE;
use super::sharing::Sharing;
use super::slot::{Encoded, Outcome, Progress, Slot};
use super::standing::Serves;
use crate::clock;
use crate::error::Error;
use crate::metrics::Meter;
use crate::registration::Registration;

/// Messages handled in one go before the lock is given up once, so that callers on other threads get a turn.
const BURST: usize = 1024;

/// What a connection keeps for a call of the peer's while somebody follows it: a stream, or a handler that wants to hear of a cancel.
#[derive(Default)]
pub(crate) struct Served {
    pub(crate) cancelled: Option<Reason>,
    /// The metadata, where they name calls that wait for this one.
    pub(crate) chained: Option<Box<[u8]>>,
    pub(crate) items: VecDeque<Encoded>,
    pub(crate) ended: bool,
    pub(crate) waker: Option<Waker>,
    pub(crate) send_waker: Option<Waker>,
    /// The dispatcher's task, and handlers that asked on others.
    pub(crate) cancel_wakers: SmallVec<[Waker; 1]>,
}

/// A registration of the peer's by its number, or why it is none.
pub(crate) type Asked = (CallId, Result<Registration, String>);

pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) link: Box<dyn Link>,
    pub(crate) slots: Slab<Slot>,
    side: Side,
    /// What this side is called in chains.
    pub(crate) mark: String,
    /// Shared memory below the link.
    pub(crate) sharing: Sharing,
    /// Memory that it lends and is lent.
    pub(super) lending: Lending,
    /// Calls of ours for which the session has no room yet.
    pub(super) line: Line,
    pub(crate) served: HashMap<CallId, Served>,
    pub(crate) inbox: Batch,
    pub(crate) serves: Serves,
    pub(crate) dropped_notifications: u64,
    /// The last burst ended before the link had nothing more.
    pub(crate) more: bool,
    /// Who takes from the inbox.
    pub(crate) inbox_waker: Option<Waker>,
    /// Who waits for the handshake, a registration, a drain or the end.
    pub(crate) watchers: Vec<Waker>,
    /// The task or hub that drives this connection; woken when its timer is too late.
    pub(crate) driver: Option<Waker>,
    /// The moment for which the driver has set its timer.
    pub(crate) driver_timer: Time,
    /// The driver knows that bytes are unsent for want of room.
    pub(crate) driver_told: bool,
    /// The moment at which the standby thread will look at the timers.
    pub(crate) alarm: Time,
    /// Messages wait for the driver's next turn, so that a burst of calls leaves in one write.
    pub(crate) unflushed: bool,
    /// The peer takes no more: what is queued stays.
    pub(super) mute: bool,
    /// A waiting thread reads the link for everybody.
    pub(crate) leading: bool,
    /// The leader's kick is raised.
    pub(crate) kicked: bool,
    /// Threads that could lead when the leader leaves.
    pub(crate) followers: VecDeque<Waker>,
    pub(crate) peer_registration: Option<Arc<Registration>>,
    /// It came for a service that the peer, an engine, knows of.
    pub(crate) wants: bool,
    pub(crate) registered: Option<Result<(), Failure>>,
    /// What is to be registered once the registration under way is answered.
    pub(crate) next_registration: Option<Vec<u8>>,
    /// A registration of the peer's that nobody has decided about yet.
    pub(crate) asked: Option<Asked>,
    /// A drain has no call left to wait for.
    pub(crate) answered: bool,
    /// So has the link nothing left to send.
    pub(crate) drained: bool,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) last_pong: Option<Instant>,
    /// Counts our calls.
    pub(crate) meter: Arc<Meter>,
    /// Who is told when the link fails, and then ends the connection with a better reason.
    pub(crate) keeper: Option<Waker>,
    /// The link has failed and the keeper has not yet said why.
    pub(crate) lost: bool,
    /// Why the connection ended; set once.
    pub(crate) ended: Option<Fault>,
}

/// The parts of a state, borrowed field by field: a message may be borrowed from the link at the same time.
macro_rules! parts {
    ($state:expr) => {
        Parts {
            slots: &mut $state.slots,
            served: &mut $state.served,
            inbox: &mut $state.inbox,
            serves: $state.serves,
            dropped_notifications: &mut $state.dropped_notifications,
            inbox_waker: &mut $state.inbox_waker,
            watchers: &mut $state.watchers,
            peer_registration: &mut $state.peer_registration,
            registered: &mut $state.registered,
            next_registration: &mut $state.next_registration,
            asked: &mut $state.asked,
            answered: &mut $state.answered,
            round_trip: &mut $state.round_trip,
            last_pong: &mut $state.last_pong,
            meter: &$state.meter,
            session: &mut $state.session,
        }
    };
}

impl State {
    pub(crate) fn new(
        session: Session,
        link: Box<dyn Link>,
        serves: Serves,
        side: Side,
        sharing: Sharing,
    ) -> Self {
        Self {
            session,
            link,
            side,
            sharing,
            lending: Lending::default(),
            slots: Slab::new(),
            line: Line::default(),
            mark: String::new(),
            served: HashMap::new(),
            inbox: Batch::new(),
            serves,
            dropped_notifications: 0,
            more: false,
            inbox_waker: None,
            watchers: Vec::new(),
            driver: None,
            driver_timer: Time::NEVER,
            driver_told: false,
            alarm: Time::NEVER,
            unflushed: false,
            mute: false,
            leading: false,
            kicked: false,
            followers: VecDeque::new(),
            peer_registration: None,
            wants: false,
            registered: None,
            next_registration: None,
            asked: None,
            answered: false,
            drained: false,
            round_trip: None,
            last_pong: None,
            meter: Arc::default(),
            keeper: None,
            lost: false,
            ended: None,
        }
    }

    /// Takes what the link has, as far as one burst goes; true when there may be more.
    pub(crate) fn pump(&mut self, now: Time, after: &mut After) -> bool {
        self.more = self.burst(BURST, now, after);
        self.settle(after);
        self.more
    }

    /// The same for no more than a few messages, whose answers are then on their way while the next are read.
    #[cfg(feature = "tokio")]
    pub(crate) fn pump_piece(&mut self, now: Time, after: &mut After) -> bool {
        self.more = self.burst(PIECE as usize, now, after);
        self.settle(after);
        self.more
    }

    fn burst(&mut self, most: usize, now: Time, after: &mut After) -> bool {
        for _ in 0..most {
            if self.is_over() {
                return false;
            }
            match self.link.receive() {
                Ok(Some(message)) => {
                    self.sharing.flows();
                    let loans = self.lending.take_loans();
                    match self.session.handle_message(now, message) {
                        Ok(Some(Event::Ready)) => {
                            Self::handle(&mut parts!(self), Event::Ready, loans, after);
                            // Before the next message: it may be the first word of the way there.
                            self.begin_sharing(self.side, after);
                        }
                        Ok(Some(event)) => Self::handle(&mut parts!(self), event, loans, after),
                        Ok(None) => {}
                        Err(fault) => self.end(fault, after),
                    }
                }
                Ok(None) => return false,
                Err(error) => {
                    self.link_failed(&error, after);
                    return false;
                }
            }
        }
        true
    }

    /// Does what is due by time.
    pub(crate) fn tick(&mut self, now: Time, after: &mut After) {
        if now >= self.session.poll_timeout() {
            self.session.handle_timeout(now);
        }
        if now >= self.line.next_due() {
            self.expire_line(now, after);
        }
        self.settle(after);
    }

    /// Passes on what the session has to say; the fault, when it says that it has ended by one.
    pub(super) fn pass_on(&mut self, after: &mut After) -> Option<Fault> {
        let mut fault = None;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Ended(found) => fault = Some(found),
                event => Self::handle(&mut parts!(self), event, Vec::new(), after),
            }
        }
        // What has ended made room.
        if !self.line.is_empty() && !self.session.is_ended() {
            self.advance_line(clock::now(), after);
        }
        fault
    }

    pub(super) fn end_if_ended(&mut self, fault: Option<Fault>, after: &mut After) {
        if self.session.is_ended() && self.ended.is_none() {
            let closed = || Fault {
                code: ErrorCode::Closed,
                message: "the connection was closed on this side".to_owned(),
                remote: false,
            };
            self.end(fault.unwrap_or_else(closed), after);
        }
    }

    pub(super) fn link_failed(&mut self, error: &LinkError, after: &mut After) {
        if self.is_over() {
            return;
        }
        if let Some(keeper) = &self.keeper {
            self.lost = true;
            self.link.close();
            after.wakes.push(keeper.clone());
            // A thread that leads leaves the link by itself; the others look at their timers again.
            after.wakes.extend(self.followers.drain(..));
            return;
        }
        let lost = ErrorCode::ConnectionLost;
        let (code, message) = match error {
            LinkError::Closed => (lost, "the other side closed the connection".to_owned()),
            LinkError::Tls(error) => crate::tls::fault(error),
            error => (lost, format!("the connection broke: {error}")),
        };
        self.session.handle_closed();
        self.end(Fault { code, message, remote: false }, after);
    }

    /// Takes what has arrived, then ends the connection with an error of somebody who knows better why.
    pub(crate) fn fail_with(&mut self, error: &Error, after: &mut After) {
        /// More bursts than a socket's buffer can hold: a peer that still sends cannot keep us here.
        const BURSTS: usize = 64;
        for _ in 0..BURSTS {
            if !self.pump(clock::now(), after) {
                break;
            }
        }
        if self.ended.is_some() {
            return;
        }
        self.session.handle_closed();
        let map = error.encoded();
        while let Some(mut event) = self.session.poll_event() {
            if let Event::Failed { failure, .. } = &mut event
                && failure.code == ErrorCode::ConnectionLost
            {
                failure.code = error.code();
                failure.encoding = procall_proto::Encoding::Msgpack;
                failure.body.clone_from(&map);
                // What the session thinks of it is not to stand beside the better reason.
                failure.message.clear();
            }
            Self::handle(&mut parts!(self), event, Vec::new(), after);
        }
        let fault =
            Fault { code: error.code(), message: error.message().to_owned(), remote: false };
        self.end(fault, after);
    }

    /// The connection is over: everybody who waits for anything hears of it.
    pub(crate) fn end(&mut self, fault: Fault, after: &mut After) {
        if self.ended.is_some() {
            return;
        }
        while let Some(event) = self.session.poll_event() {
            Self::handle(&mut parts!(self), event, Vec::new(), after);
        }
        if !self.line.is_empty() {
            self.clear_line(fault.code, &fault.message, after);
        }
        self.ended = Some(fault);
        // The fault message, if there is one, leaves as far as the kernel takes it.
        while let Some(len) = self.session.transmit_len() {
            let Ok(Some(buffer)) = self.link.buffer(len) else { break };
            self.session.transmit_into(buffer);
            self.link.commit();
        }
        // Best effort: the peer learns of the end by end-of-file in any case.
        let _ = self.link.flush();
        self.link.close();
        after.wake_all(&mut self.watchers);
        after.wake(&mut self.inbox_waker);
        after.wakes.extend(self.driver.clone());
        after.wakes.extend(self.followers.drain(..));
    }

    fn handle(parts: &mut Parts<'_>, event: Event<'_>, loans: Loans, after: &mut After) {
        match event {
            Event::Reply { token, encoding, body, .. } => {
                let outcome = Outcome::Reply(arrived(encoding, body, loans));
                parts.finish(token, outcome, true, after);
            }
            Event::Failed { id, token, failure } => {
                let settled = !parts.session.is_outstanding(id);
                parts.finish(token, Outcome::Failed(Box::new(failure)), settled, after);
            }
            Event::End { token: Some(token), .. } => parts.finish(token, Outcome::End, true, after),
            Event::Settled { token, .. } => parts.settled(token, after),
            Event::Item { token: Some(token), encoding, body, .. } => {
                if let Some(slot) = parts.slots.get_mut(token as usize).filter(|slot| !slot.dropped)
                {
                    slot.items.push_back(arrived(encoding, body, loans));
                    after.wake(&mut slot.waker);
                }
            }
            Event::Writable { token: Some(token), .. } => {
                if let Some(slot) = parts.slots.get_mut(token as usize) {
                    after.wake(&mut slot.send_waker);
                }
            }
            Event::Progress { token, done, total, text, .. } => {
                if let Some(slot) = parts.slots.get_mut(token as usize).filter(|slot| !slot.dropped)
                {
                    slot.progress = Some(Progress { done, total, text: text.into_owned() });
                    after.wake(&mut slot.waker);
                }
            }
            Event::Call(call) => parts.call(call, loans, after),
            Event::Notify { method, encoding, body, meta } => {
                if parts.serves != Serves::Nothing
                    && parts.inbox.push_notification(&method, encoding, body, &meta, loans)
                {
                    after.wake(parts.inbox_waker);
                } else {
                    *parts.dropped_notifications += 1;
                }
            }
            Event::Item { id, token: None, encoding, body } => {
                if let Some(served) = parts.served.get_mut(&id) {
                    served.items.push_back(arrived(encoding, body, loans));
                    after.wake(&mut served.waker);
                }
            }
            Event::End { id, token: None, .. } => {
                if let Some(served) = parts.served.get_mut(&id) {
                    served.ended = true;
                    after.wake(&mut served.waker);
                }
            }
            Event::Writable { id, token: None } => {
                if let Some(served) = parts.served.get_mut(&id) {
                    after.wake(&mut served.send_waker);
                }
            }
            Event::Cancelled { id, reason } => {
                if let Some(served) = parts.served.get_mut(&id) {
                    served.cancelled = Some(reason);
                    after.wake(&mut served.waker);
                    after.wake(&mut served.send_waker);
                    after.wakes.extend(served.cancel_wakers.drain(..));
                }
            }
            Event::Registration { id, encoding, body } => {
                if parts.serves == Serves::Raw {
                    // Whoever serves decides; see `Connection::take_registration`.
                    if parts.asked.is_some() {
                        let message = "a registration is under way already";
                        let refusal = (ErrorCode::InvalidArgument, message, &[][..]);
                        return parts.session.registered(id, Err(refusal));
                    }
                    *parts.asked = Some((id, Registration::decode(encoding, body.bytes())));
                    return;
                }
                match Registration::decode(encoding, body.bytes()) {
                    Ok(registration) => {
                        *parts.peer_registration = Some(Arc::new(registration));
                        parts.session.registered(id, Ok(()));
                    }
                    Err(message) => {
                        let refusal = (ErrorCode::InvalidArgument, &*message, &[][..]);
                        parts.session.registered(id, Err(refusal));
                    }
                }
                after.wake_all(parts.watchers);
            }
            Event::Registered { result } => {
                *parts.registered = Some(result);
                if let Some(bytes) = parts.next_registration.take() {
                    // It was short enough when it was handed in, or is told to those who ask for `procall.methods`.
                    let _ = parts.session.register(procall_proto::Body::msgpack(&bytes));
                    *parts.registered = None;
                }
                after.wake_all(parts.watchers);
            }
            Event::Pong { round_trip, .. } => {
                *parts.round_trip = Some(round_trip);
                *parts.last_pong = Some(Instant::now());
                parts.meter.beat(round_trip);
                after.wake_all(parts.watchers);
            }
            Event::Drained => {
                // The last answers may still wait for the link; see `flush`.
                *parts.answered = true;
            }
            Event::Suspected => {
                parts.meter.miss();
                after.wake_all(parts.watchers);
            }
            Event::Ready | Event::GoingAway { .. } | Event::Recovered => {
                after.wake_all(parts.watchers);
            }
            // A fault reaches everybody through `end`.
            Event::Ended(_) => {}
        }
    }

    /// A call of ours has its outcome, and the session is done with it.
    pub(super) fn finish(&mut self, token: usize, outcome: Outcome, after: &mut After) {
        parts!(self).finish(token as u64, outcome, true, after);
    }

    /// Frees the slot once neither the handle nor the session needs it.
    pub(crate) fn free_slot(&mut self, token: usize) {
        if self.slots.get(token).is_some_and(|slot| slot.dropped && slot.settled) {
            self.slots.remove(token);
        }
    }
}

/// The state without its link, from which a message may still be borrowed.
struct Parts<'a> {
    slots: &'a mut Slab<Slot>,
    served: &'a mut HashMap<CallId, Served>,
    inbox: &'a mut Batch,
    serves: Serves,
    dropped_notifications: &'a mut u64,
    inbox_waker: &'a mut Option<Waker>,
    watchers: &'a mut Vec<Waker>,
    peer_registration: &'a mut Option<Arc<Registration>>,
    registered: &'a mut Option<Result<(), Failure>>,
    next_registration: &'a mut Option<Vec<u8>>,
    asked: &'a mut Option<Asked>,
    answered: &'a mut bool,
    round_trip: &'a mut Option<Duration>,
    last_pong: &'a mut Option<Instant>,
    meter: &'a Meter,
    session: &'a mut Session,
}

impl Parts<'_> {
    fn finish(&mut self, token: u64, outcome: Outcome, settled: bool, after: &mut After) {
        let Some(slot) = self.slots.get_mut(token as usize) else { return };
        if !slot.dropped {
            self.meter.end(clock::now() - slot.began, outcome.ending());
            if !settled && let (Some(lease), Outcome::Failed(failure)) = (&slot.lease, &outcome) {
                after.given_up.push((lease.clone(), failure.code));
            }
            slot.outcome = Some(outcome);
            after.wake(&mut slot.waker);
            after.wake(&mut slot.send_waker);
        }
        if settled {
            self.settled(token, after);
        }
    }

    fn settled(&mut self, token: u64, after: &mut After) {
        let Some(slot) = self.slots.get_mut(token as usize) else { return };
        slot.settled = true;
        if let Some(lease) = slot.lease.take() {
            after.leases.push(lease);
        }
        if slot.dropped {
            self.slots.remove(token as usize);
        }
    }

    fn call(&mut self, call: IncomingCall<'_>, loans: Loans, after: &mut After) {
        if self.serves == Serves::Nothing {
            let error = Error::new(
                ErrorCode::NotFound,
                format!(
                    "there is no method \"{}\": this side of the connection serves nothing",
                    call.method
                ),
            );
            // The call is outstanding, so the answer cannot be refused.
            let _ = error.send(self.session, call.id);
            return;
        }
        if call.items_in || call.items_out {
            self.served.insert(call.id, Served::default());
        }
        if crate::chain::is_chained(&call.meta) {
            self.served.entry(call.id).or_default().chained = Some((*call.meta).into());
        }
        self.inbox.push_call(call, loans);
        after.wake(self.inbox_waker);
    }
}
