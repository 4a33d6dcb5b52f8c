//! Two sessions that talk, and somebody who says things in their place: one outcome for each call, bounded memory, no panic.

use std::collections::HashSet;
use std::time::Duration;

use procall_proto::{
    Body, CallId, Config, ErrorCode, Event, Executed, Fault, Options, Session, Time,
};

use crate::input::Input;

/// What is queued at most for a peer that reads nothing: one window of each call, and what answers them.
const MAX_QUEUED: usize = 64 << 20;

struct Side {
    session: Session,
    calls: Vec<CallId>,
    served: Vec<CallId>,
    /// Calls that had their outcome.
    over: HashSet<CallId>,
    tokens: u64,
}

impl Side {
    fn new(session: Session) -> Self {
        Self { session, calls: Vec::new(), served: Vec::new(), over: HashSet::new(), tokens: 0 }
    }

    fn handle(&mut self, now: Time, bytes: &[u8]) {
        let event =
            self.session.handle_message(now, bytes).map(|event| event.map(Event::into_owned));
        let event: Result<_, Fault> = event;
        if let Ok(Some(event)) = event {
            self.note(event);
        }
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.note(event);
        }
        assert!(self.session.queued() <= MAX_QUEUED, "{} bytes queued", self.session.queued());
    }

    /// Time that went by at once can be due for several things, one after the other.
    fn pass_time(&mut self, now: Time) {
        for _ in 0..8 {
            self.session.handle_timeout(now);
            self.poll();
            if self.session.poll_timeout() > now {
                return;
            }
        }
        panic!("a time-out that was handled is still due");
    }

    fn note(&mut self, event: Event<'static>) {
        match event {
            Event::Call(call) => self.served.push(call.id),
            Event::Reply { id, .. }
            | Event::Failed { id, .. }
            | Event::End { id, token: Some(_), .. } => {
                assert!(self.calls.contains(&id), "an outcome of a call that nobody made");
                assert!(self.over.insert(id), "two outcomes of one call");
            }
            _ => {}
        }
    }

    fn act(&mut self, now: Time, input: &mut Input<'_>) {
        let (what, pick) = (input.byte(), usize::from(input.byte()));
        let own = self.calls.get(pick % self.calls.len().max(1)).copied().unwrap_or(1);
        let served = self.served.get(pick % self.served.len().max(1)).copied().unwrap_or(2);
        let body = Body::msgpack(input.piece());
        match what % 12 {
            0 | 1 => self.call(now, body, pick),
            2 => _ = self.session.reply(now, served, body),
            3 => _ = self.session.fail(served, ErrorCode::HandlerError, Executed::Yes, body),
            4 => _ = self.session.item(own, body),
            5 => _ = self.session.item(served, body),
            6 => _ = self.session.end_stream(now, if pick % 2 == 0 { own } else { served }),
            7 => self.session.cancel(now, own),
            8 => self.session.abandon(own),
            9 => self.session.consumed(own, 1, pick),
            10 => _ = self.session.notify("n", body, &[]),
            _ if pick < 8 => self.session.drain(now, "over"),
            _ => _ = self.session.ping(now),
        }
    }

    fn call(&mut self, now: Time, body: Body<'_>, choice: usize) {
        self.tokens += 1;
        let options = Options {
            timeout: (choice & 1 == 0).then_some(Duration::from_millis(choice as u64)),
            whole: choice & 2 != 0,
            items_in: choice & 4 != 0,
            items_out: choice & 8 != 0,
            idempotent: choice & 16 != 0,
            meta: &[],
        };
        if let Ok(id) = self.session.call(now, "m", body, options, self.tokens) {
            self.calls.push(id);
        }
    }
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let start = input.byte();
    let features = if start & 2 == 0 { Vec::new() } else { vec!["lz4".to_owned()] };
    let config =
        || Config { compression: start & 2 != 0, features: features.clone(), ..Config::default() };
    let mut now = Time::ZERO;
    let mut sides =
        [Side::new(Session::initiator(config(), now)), Side::new(Session::acceptor(config(), now))];
    if start & 1 != 0 {
        carry(&mut sides, now);
    }
    while !input.is_empty() {
        let what = input.byte();
        let (side, other) = (usize::from(what & 1), usize::from(what & 1) ^ 1);
        match what >> 1 & 7 {
            // What the other side says, said by somebody else.
            0..=2 => {
                let message = input.piece();
                sides[side].handle(now, message);
            }
            3 | 4 => sides[side].act(now, &mut input),
            5 => carry(&mut sides, now),
            6 => {
                // One message of its own goes lost.
                let _ = sides[other].session.transmit();
            }
            _ => {
                now = now + Duration::from_millis(u64::from(input.number() % 40_000));
                sides.iter_mut().for_each(|one| one.pass_time(now));
            }
        }
    }
    for one in &mut sides {
        one.session.handle_closed();
        one.poll();
        for id in &one.calls {
            assert!(!one.session.is_outstanding(*id), "a call outlives its connection");
        }
    }
}

fn carry(sides: &mut [Side; 2], now: Time) {
    loop {
        let [first, second] = sides;
        let said = [first.session.transmit(), second.session.transmit()];
        if said == [None, None] {
            return;
        }
        if let Some(message) = &said[0] {
            second.handle(now, message);
        }
        if let Some(message) = &said[1] {
            first.handle(now, message);
        }
    }
}
