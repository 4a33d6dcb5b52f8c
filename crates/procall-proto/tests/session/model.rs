//! What two honest sessions promise, written a second time and simply: every event is held against it.

use std::collections::BTreeMap;

use procall_proto::{CallId, Config, ErrorCode, Event, Executed, Failure, Reason, Time};

use crate::pair::{Pair, Peer};
use crate::words::{MS, limits};

/// A call as its caller sees it.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) token: u64,
    pub(crate) items_in: bool,
    pub(crate) items_out: bool,
    pub(crate) len: usize,
    /// Known for calls without streams.
    pub(crate) deadline: Option<Time>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) cancelled: bool,
    pub(crate) abandoned: bool,
    pub(crate) settled: bool,
    pub(crate) progress: u64,
    pub(crate) stream: Stream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Value,
    Stream,
    Failed(Executed),
}

/// A call as its handler sees it.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) items_out: bool,
    pub(crate) answered: bool,
    pub(crate) cancelled: bool,
    gone: bool,
    ended: bool,
    pub(crate) reply_len: Option<usize>,
    pub(crate) progress: u64,
    pub(crate) stream: Stream,
}

/// What one side has sent and got on the streams of a call.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) sent: Vec<usize>,
    pub(crate) ended: bool,
    pub(crate) blocked: bool,
    got: usize,
    pub(crate) unread: (u32, usize),
}

#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) made: BTreeMap<CallId, Made>,
    pub(crate) served: BTreeMap<CallId, Served>,
    pub(crate) draining: bool,
    pub(crate) drained: bool,
}

/// Two sessions and what is known of them; side 0 is the client.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pair: Pair,
    pub(crate) sides: [Side; 2],
    pub(crate) linked: bool,
    pub(crate) tokens: u64,
}

/// The bytes that a body must have: of this call, or with this token, and with this number.
pub(crate) fn pattern(of: u64, number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at + 7 * number) as u8 ^ of as u8).collect()
}

impl World {
    pub(crate) fn new() -> Self {
        let config = || -> Config {
            limits(|limits| {
                limits.max_calls = 5;
                limits.chunk = 256;
                limits.stream_items = 3;
                limits.stream_bytes = 600;
                limits.max_body = 1500;
                limits.max_assembly = 3000;
            })
        };
        Self {
            pair: Pair::new(config(), config()),
            sides: Default::default(),
            linked: true,
            tokens: 0,
        }
    }

    pub(crate) fn peer(&mut self, side: usize) -> &mut Peer {
        if side == 0 { &mut self.pair.client } else { &mut self.pair.server }
    }

    /// Puts one message on the wire.
    pub(crate) fn transmit(&mut self, side: usize) -> bool {
        let now = self.pair.now;
        let message = self.peer(side).session.transmit();
        let any = message.is_some();
        let linked = self.linked;
        self.peer(1 - side).inbox.extend(message.filter(|_| linked).map(|message| (now, message)));
        any
    }

    /// Takes one message off the wire.
    pub(crate) fn deliver(&mut self, side: usize) -> bool {
        let now = self.pair.now;
        let any = !self.peer(side).inbox.is_empty();
        self.peer(side).receive_one(now);
        any
    }

    /// The stream that this side sends on a call, and whether it may send items.
    pub(crate) fn stream(&mut self, side: usize, own: bool, id: CallId) -> (&mut Stream, bool) {
        let linked = self.linked;
        if own {
            let made = self.sides[side].made.get_mut(&id).unwrap();
            let over = made.outcome.is_some() || made.cancelled || made.abandoned;
            let open = linked && made.items_in && !over && !made.stream.ended;
            (&mut made.stream, open)
        } else {
            let served = self.sides[side].served.get_mut(&id).unwrap();
            let open = linked && served.items_out && !served.answered && !served.cancelled;
            (&mut served.stream, open)
        }
    }

    /// Holds every new event against what is known.
    pub(crate) fn check(&mut self) {
        for side in [0, 1] {
            while let Some(event) = self.peer(side).event() {
                self.check_event(side, event);
            }
            let now = self.pair.now;
            for (id, made) in &self.sides[side].made {
                let over = made.outcome.is_some() || made.abandoned;
                let latest = made.deadline.map_or(Time::NEVER, |deadline| deadline + 8 * MS);
                assert!(over || now < latest, "call {id} has no outcome long after its deadline");
            }
        }
    }

    fn check_event(&mut self, side: usize, event: Event<'static>) {
        let now = self.pair.now;
        let [first, second] = &mut self.sides;
        let (own, other) = if side == 0 { (first, second) } else { (second, first) };
        match event {
            Event::Ready | Event::Notify { .. } | Event::Pong { .. } | Event::GoingAway { .. } => {}
            Event::Call(call) => {
                let made = &other.made[&call.id];
                assert_ne!(
                    made.outcome,
                    Some(Outcome::Failed(Executed::No)),
                    "call {} did run",
                    call.id
                );
                assert_eq!(call.body.bytes(), pattern(made.token, 0, made.len));
                let served = Served { items_out: call.items_out, ..Served::default() };
                assert!(own.served.insert(call.id, served).is_none(), "call {} ran twice", call.id);
            }
            Event::Reply { id, token, body, .. } => {
                let made = own.made.get_mut(&id).unwrap();
                made.finish(token, Outcome::Value);
                assert!(!made.cancelled && !made.items_out);
                assert_eq!(body.bytes(), pattern(id, 0, other.served[&id].reply_len.unwrap()));
            }
            Event::End { id, token: Some(token), count } => {
                let made = own.made.get_mut(&id).unwrap();
                made.finish(token, Outcome::Stream);
                assert!(!made.cancelled && other.served[&id].stream.ended);
                assert_eq!(
                    (made.stream.got, other.served[&id].stream.sent.len()),
                    (count as usize, count as usize)
                );
            }
            Event::Failed { id, token, failure } => {
                let made = own.made.get_mut(&id).unwrap();
                made.finish(token, Outcome::Failed(failure.executed));
                made.check_failure(now, &failure);
                if failure.executed == Executed::No {
                    assert!(!other.served.contains_key(&id), "call {id} did run, {failure}");
                }
            }
            Event::Settled { id, token } => {
                let made = own.made.get_mut(&id).unwrap();
                assert!(made.abandoned || made.outcome.is_some());
                assert!(!std::mem::replace(&mut made.settled, true), "call {id} was settled twice");
                assert_eq!(token, made.token);
            }
            Event::Item { id, token: Some(_), body, .. } => {
                let made = own.made.get_mut(&id).unwrap();
                made.assert_open();
                made.stream.get(id, body.bytes(), &other.served[&id].stream);
            }
            Event::Progress { id, done, .. } => {
                let made = own.made.get_mut(&id).unwrap();
                made.assert_open();
                assert!(done > made.progress);
                made.progress = done;
            }
            Event::Writable { id, token: Some(_) } => {
                let made = own.made.get_mut(&id).unwrap();
                made.assert_open();
                assert!(std::mem::take(&mut made.stream.blocked) && !made.stream.ended);
            }
            Event::Item { id, token: None, body, .. } => {
                let served = own.served.get_mut(&id).unwrap();
                served.assert_open();
                served.stream.get(id, body.bytes(), &other.made[&id].stream);
            }
            Event::End { id, token: None, count } => {
                let served = own.served.get_mut(&id).unwrap();
                served.assert_open();
                assert!(other.made[&id].stream.ended);
                assert_eq!(
                    (served.stream.got, other.made[&id].stream.sent.len()),
                    (count as usize, count as usize)
                );
                served.ended = true;
            }
            Event::Writable { id, token: None } => {
                let served = own.served.get_mut(&id).unwrap();
                assert!(!served.answered && !served.cancelled);
                assert!(std::mem::take(&mut served.stream.blocked));
            }
            Event::Cancelled { id, reason } => {
                let served = own.served.get_mut(&id).unwrap();
                assert!(!served.answered && !served.gone);
                if reason == Reason::Gone {
                    assert!(!self.linked);
                    served.gone = true;
                    served.answered = true;
                } else {
                    assert!(
                        !std::mem::replace(&mut served.cancelled, true),
                        "call {id} was cancelled twice"
                    );
                }
            }
            Event::Drained => {
                assert!(own.draining && !std::mem::replace(&mut own.drained, true));
                assert_eq!(self.peer(side).session.serving(), 0);
            }
            event => panic!("between honest peers there is no {event:?}"),
        }
    }
}

impl Made {
    /// Every call has one outcome.
    fn finish(&mut self, token: u64, outcome: Outcome) {
        assert_eq!(
            (self.token, self.outcome.replace(outcome), self.abandoned),
            (token, None, false)
        );
    }

    fn assert_open(&self) {
        assert!(
            self.outcome.is_none() && !self.cancelled && !self.abandoned,
            "an event after the outcome"
        );
    }

    fn check_failure(&self, now: Time, failure: &Failure) {
        if self.cancelled {
            assert!(
                matches!(failure.code, ErrorCode::Cancelled | ErrorCode::DeadlineExceeded),
                "{failure}"
            );
        }
        if failure.code == ErrorCode::DeadlineExceeded {
            assert!(self.deadline.is_none_or(|deadline| now >= deadline), "{failure} too early");
        }
    }
}

impl Served {
    fn assert_open(&self) {
        assert!(!self.answered && !self.cancelled && !self.ended, "an event after the answer");
    }
}

impl Stream {
    /// Items come in order without gaps.
    fn get(&mut self, id: CallId, body: &[u8], of: &Self) {
        assert_eq!(body, pattern(id, self.got, of.sent[self.got]));
        self.got += 1;
        self.unread.0 += 1;
        self.unread.1 += body.len();
    }
}
