//! Random sequences of everything that both sides and the wire can do, held against the model.

use procall_proto::{Blocked, Body, CallId, ErrorCode, Executed, Options};
use proptest::prelude::*;

use crate::model::{Made, World, pattern};
use crate::words::{MS, raw};

/// One thing that happens. `usize` picks a call among those made or served so far.
#[derive(Debug, Clone)]
enum Op {
    Call { items_in: bool, items_out: bool, len: usize, timeout_ms: Option<u32> },
    Reply(usize, usize),
    Fail(usize, bool),
    Item { own: bool, pick: usize, len: usize },
    End { own: bool, pick: usize },
    Consumed { own: bool, pick: usize },
    Cancel(usize),
    Abandon(usize),
    Progress(usize),
    Notify(usize),
    Ping,
    Drain,
    Transmit(usize),
    Deliver(usize),
    Advance(u32),
    Carry,
    DropLink,
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0_usize..10, 2 => 250_usize..260, 3 => 257_usize..1500]
}

fn op() -> impl Strategy<Value = Op> {
    let timeout = prop_oneof![Just(None), (0_u32..30).prop_map(Some), Just(Some(30_000))];
    prop_oneof![
        12 => (any::<bool>(), any::<bool>(), len(), timeout)
            .prop_map(|(items_in, items_out, len, timeout_ms)| Op::Call { items_in, items_out, len, timeout_ms }),
        8 => (any::<usize>(), len()).prop_map(|(pick, len)| Op::Reply(pick, len)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(pick, ran)| Op::Fail(pick, ran)),
        24 => (any::<bool>(), any::<usize>(), len()).prop_map(|(own, pick, len)| Op::Item { own, pick, len }),
        6 => (any::<bool>(), any::<usize>()).prop_map(|(own, pick)| Op::End { own, pick }),
        10 => (any::<bool>(), any::<usize>()).prop_map(|(own, pick)| Op::Consumed { own, pick }),
        3 => any::<usize>().prop_map(Op::Cancel),
        2 => any::<usize>().prop_map(Op::Abandon),
        2 => any::<usize>().prop_map(Op::Progress),
        3 => len().prop_map(Op::Notify),
        1 => Just(Op::Ping),
        1 => Just(Op::Drain),
        24 => (1_usize..6).prop_map(Op::Transmit),
        24 => (1_usize..6).prop_map(Op::Deliver),
        4 => (0_u32..12).prop_map(Op::Advance),
        8 => Just(Op::Carry),
        1 => Just(Op::DropLink),
    ]
}

impl World {
    fn apply(&mut self, side: usize, op: &Op) {
        let now = self.pair.now;
        match *op {
            Op::Call { items_in, items_out, len, timeout_ms } => {
                self.call(side, Made { items_in, items_out, len, ..Made::default() }, timeout_ms);
            }
            Op::Reply(pick, len) => {
                let Some(id) = self.pick(side, false, pick) else { return };
                if !self.sides[side].served[&id].items_out {
                    let result = self.peer(side).session.reply(now, id, raw(&pattern(id, 0, len)));
                    self.answered(side, id, result);
                    if result.is_ok() {
                        self.sides[side].served.get_mut(&id).unwrap().reply_len = Some(len);
                    }
                }
            }
            Op::Fail(pick, ran) => {
                let Some(id) = self.pick(side, false, pick) else { return };
                let executed = if ran { Executed::Yes } else { Executed::Maybe };
                let result = self.peer(side).session.fail(
                    id,
                    ErrorCode::HandlerError,
                    executed,
                    Body::empty(),
                );
                self.answered(side, id, result);
            }
            Op::Item { own, pick, len } => self.item(side, own, pick, len),
            Op::End { own, pick } => {
                let Some(id) = self.pick(side, own, pick) else { return };
                let result = self.peer(side).session.end_stream(now, id);
                let (stream, open) = self.stream(side, own, id);
                stream.ended |= result.is_ok();
                if own {
                    assert!(open || result.is_err());
                } else if self.sides[side].served[&id].items_out {
                    self.answered(side, id, result);
                }
            }
            Op::Consumed { own, pick } => {
                let Some(id) = self.pick(side, own, pick) else { return };
                let (items, bytes) = std::mem::take(&mut self.stream(side, own, id).0.unread);
                self.peer(side).session.consumed(id, items, bytes);
            }
            Op::Cancel(pick) => {
                let Some(id) = self.pick(side, true, pick) else { return };
                self.peer(side).session.cancel(now, id);
                self.sides[side].made.get_mut(&id).unwrap().cancelled = true;
            }
            Op::Abandon(pick) => {
                let Some(id) = self.pick(side, true, pick) else { return };
                self.peer(side).session.abandon(id);
                let made = self.sides[side].made.get_mut(&id).unwrap();
                made.abandoned |= made.outcome.is_none();
            }
            Op::Progress(pick) => {
                let Some(id) = self.pick(side, false, pick) else { return };
                let served = self.sides[side].served.get_mut(&id).unwrap();
                served.progress += 1;
                let done = served.progress;
                self.peer(side).session.progress(now, id, done, Some(3), "");
            }
            Op::Notify(len) => _ = self.peer(side).session.notify("n", raw(&vec![0; len]), &[]),
            Op::Ping => _ = self.peer(side).session.ping(now),
            Op::Drain => {
                self.sides[side].draining |= !self.peer(side).session.is_ended();
                self.peer(side).session.drain(now, "");
            }
            Op::Transmit(count) => _ = (0..count).all(|_| self.transmit(side)),
            Op::Deliver(count) => _ = (0..count).all(|_| self.deliver(side)),
            Op::Advance(ms) => {
                for _ in 0..ms {
                    self.pair.now = self.pair.now + MS;
                    self.pair.client.session.handle_timeout(self.pair.now);
                    self.pair.server.session.handle_timeout(self.pair.now);
                }
            }
            Op::Carry => while self.transmit(side) | self.deliver(1 - side) {},
            Op::DropLink => {
                self.linked = false;
                self.pair.drop_link();
            }
        }
    }

    fn call(&mut self, side: usize, made: Made, timeout_ms: Option<u32>) {
        let now = self.pair.now;
        let Made { items_in, items_out, .. } = made;
        let timeout = timeout_ms.map(|ms| ms * MS);
        let options = Options { timeout, items_in, items_out, ..Options::default() };
        self.tokens += 1;
        let token = self.tokens;
        let params = pattern(token, 0, made.len);
        match self.peer(side).session.call(now, "m", raw(&params), options, token) {
            Ok(id) => {
                let deadline =
                    timeout.filter(|_| !items_in && !items_out).map(|timeout| now + timeout);
                self.sides[side].made.insert(id, Made { token, deadline, ..made });
            }
            Err(failure) => {
                assert_eq!(failure.executed, Executed::No);
                let codes =
                    [ErrorCode::Overloaded, ErrorCode::Unavailable, ErrorCode::ConnectionLost];
                assert!(codes.contains(&failure.code), "{failure}");
            }
        }
    }

    fn item(&mut self, side: usize, own: bool, pick: usize, len: usize) {
        let Some(id) = self.pick(side, own, pick) else { return };
        let at = self.stream(side, own, id).0.sent.len();
        let writable = self.peer(side).session.poll_writable(id);
        let result = self.peer(side).session.item(id, raw(&pattern(id, at, len)));
        assert_eq!(writable, result);
        let (stream, open) = self.stream(side, own, id);
        assert!(open || result == Err(Blocked::Over));
        stream.blocked |= result == Err(Blocked::Credit);
        if result.is_ok() {
            stream.sent.push(len);
        }
    }

    /// Answers what is open, carries everything, lets time pass: in the end nothing may be left.
    fn finish(&mut self) {
        for _ in 0..20 {
            for side in [0, 1] {
                let open: Vec<_> = self.sides[side].served.keys().copied().collect();
                for id in open {
                    let result = self.peer(side).session.fail(
                        id,
                        ErrorCode::HandlerError,
                        Executed::Yes,
                        Body::empty(),
                    );
                    self.answered(side, id, result);
                }
                self.apply(side, &Op::Carry);
                self.check();
            }
            self.apply(0, &Op::Advance(1));
            self.check();
        }
        for side in [0, 1] {
            let session = &self.peer(side).session;
            assert_eq!((session.calling(), session.serving(), session.queued()), (0, 0, 0));
            let side = &self.sides[side];
            assert!(!self.linked || side.drained == side.draining, "the drain is not done");
            for (id, made) in &side.made {
                assert!(made.outcome.is_some() || made.abandoned, "call {id} has no outcome");
            }
        }
    }

    /// A call that this side made or serves.
    fn pick(&self, side: usize, own: bool, pick: usize) -> Option<CallId> {
        let side = &self.sides[side];
        // Old calls are of little interest.
        let among = |ids: Vec<CallId>| ids.iter().rev().nth(pick % ids.len().clamp(1, 6)).copied();
        if own {
            among(side.made.keys().copied().collect())
        } else {
            among(side.served.keys().copied().collect())
        }
    }

    fn answered(&mut self, side: usize, id: CallId, result: Result<(), Blocked>) {
        let served = self.sides[side].served.get_mut(&id).unwrap();
        match result {
            Ok(()) => assert!(
                !std::mem::replace(&mut served.answered, true),
                "call {id} was answered twice"
            ),
            // The session itself answers when an item of the caller is too much for it.
            Err(_) => assert!(served.answered || served.cancelled),
        }
        served.answered = true;
    }
}

fn run(ops: &[(bool, Op)]) {
    let mut world = World::new();
    for (side, op) in ops {
        world.apply(usize::from(*side), op);
        world.check();
    }
    world.finish();
}

proptest! {
    #[test]
    fn whatever_happens_every_call_has_one_outcome(ops in prop::collection::vec((any::<bool>(), op()), 1..250)) {
        run(&ops);
    }
}
