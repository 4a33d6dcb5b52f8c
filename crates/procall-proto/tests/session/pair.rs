//! Two sessions and the wire between them. Nothing happens by itself: a test moves time and messages.

use std::collections::VecDeque;
use std::time::Duration;

use procall_proto::{
    CallId, Config, Event, Failure, Fault, IncomingCall, Message, Options, Session, Time,
};

use crate::words::{describe, encoded, own, raw};

/// One side: its session, what is on its way to it, and what it said and saw.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) session: Session,
    /// Messages on their way to this side, and when they arrive.
    pub(crate) inbox: VecDeque<(Time, Vec<u8>)>,
    /// Every message that this side has put on the wire.
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) events: VecDeque<Event<'static>>,
    tokens: u64,
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    pub(crate) now: Time,
    /// Time that a message takes.
    pub(crate) latency: Duration,
}

impl Pair {
    /// A client that has not yet greeted its server.
    pub(crate) fn new(client: Config, server: Config) -> Self {
        let now = Time::ZERO;
        Self {
            client: Peer::new(Session::initiator(client, now)),
            server: Peer::new(Session::acceptor(server, now)),
            now,
            latency: Duration::ZERO,
        }
    }

    /// A pair that has shaken hands.
    pub(crate) fn ready(client: Config, server: Config) -> Self {
        let mut pair = Self::new(client, server);
        pair.greet();
        pair.client.sent.clear();
        pair.server.sent.clear();
        pair
    }

    /// A pair with default limits that has shaken hands.
    pub(crate) fn standard() -> Self {
        Self::ready(Config::default(), Config::default())
    }

    /// Shakes hands; the messages of it stay in what was sent.
    pub(crate) fn greet(&mut self) {
        self.drive();
        assert_eq!(self.client.event(), Some(Event::Ready));
        assert_eq!(self.server.event(), Some(Event::Ready));
    }

    /// Puts all that the client has to say on the wire.
    pub(crate) fn client_sends(&mut self) {
        self.client.flush(&mut self.server.inbox, self.now + self.latency);
    }

    /// Puts all that the server has to say on the wire.
    pub(crate) fn server_sends(&mut self) {
        self.server.flush(&mut self.client.inbox, self.now + self.latency);
    }

    /// Carries messages, and lets as much time pass as they take, until nothing is on the wire.
    pub(crate) fn drive(&mut self) {
        while let Some(arrival) = self.settle() {
            self.go(arrival.min(self.due()));
        }
    }

    /// Lets time pass: messages arrive and time-outs fire at their moments.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let arrival = self.settle().unwrap_or(Time::NEVER);
            let next = arrival.min(self.due());
            if next > until || next == Time::NEVER {
                break;
            }
            self.go(next);
        }
        self.now = until;
    }

    /// Does all that can be done now; says when the next message arrives.
    fn settle(&mut self) -> Option<Time> {
        self.fire();
        self.client_sends();
        self.server_sends();
        let arrivals =
            [&self.client, &self.server].map(|peer| peer.inbox.front().map(|(at, _)| *at));
        arrivals.into_iter().flatten().min()
    }

    fn due(&self) -> Time {
        self.client.session.poll_timeout().min(self.server.session.poll_timeout())
    }

    fn go(&mut self, next: Time) {
        self.now = self.now.max(next);
        self.client.receive(self.now);
        self.server.receive(self.now);
    }

    /// Fires the time-outs that are due now; each asks for a later one or none.
    fn fire(&mut self) {
        for peer in [&mut self.client, &mut self.server] {
            if peer.session.poll_timeout() <= self.now {
                peer.session.handle_timeout(self.now);
                peer.poll();
                assert!(
                    peer.session.poll_timeout() > self.now,
                    "a time-out that was handled is still due"
                );
            }
        }
    }

    /// The link is gone, with all that was on it.
    pub(crate) fn drop_link(&mut self) {
        for peer in [&mut self.client, &mut self.server] {
            peer.inbox.clear();
            peer.session.handle_closed();
            peer.poll();
        }
    }

    /// A call from the client whose server has seen it and not answered.
    pub(crate) fn open_call(&mut self, options: Options<'_>) -> CallId {
        let id = self.client.call(self.now, b"params", options);
        self.drive();
        assert_eq!(self.server.expect_call().id, id);
        id
    }
}

impl Peer {
    fn new(session: Session) -> Self {
        Self {
            session,
            inbox: VecDeque::new(),
            sent: Vec::new(),
            events: VecDeque::new(),
            tokens: 0,
        }
    }

    /// Makes a call named `m`.
    pub(crate) fn call(&mut self, now: Time, body: &[u8], options: Options<'_>) -> CallId {
        self.try_call(now, body, options).expect("the call is admitted")
    }

    pub(crate) fn try_call(
        &mut self,
        now: Time,
        body: &[u8],
        options: Options<'_>,
    ) -> Result<CallId, Failure> {
        self.tokens += 1;
        self.session.call(now, "m", raw(body), options, self.tokens)
    }

    pub(crate) fn reply(&mut self, now: Time, id: CallId, body: &[u8]) {
        self.session.reply(now, id, raw(body)).expect("the call is open");
    }

    pub(crate) fn item(&mut self, id: CallId, body: &[u8]) {
        self.session.item(id, raw(body)).expect("the stream has credit");
    }

    /// Handles a message as if the other side had sent it.
    pub(crate) fn inject(&mut self, now: Time, message: &Message<'_>) -> Result<(), Fault> {
        self.handle(now, &encoded(message))
    }

    pub(crate) fn handle(&mut self, now: Time, bytes: &[u8]) -> Result<(), Fault> {
        let event = self.session.handle_message(now, bytes).map(|event| event.map(own));
        let result = event.map(|event| self.events.extend(event));
        self.poll();
        result
    }

    /// Handles what has arrived.
    fn receive(&mut self, now: Time) {
        while self.inbox.front().is_some_and(|(at, _)| *at <= now) {
            self.receive_one(now);
        }
    }

    /// Handles the next message, arrived or not.
    pub(crate) fn receive_one(&mut self, now: Time) {
        if let Some((_, bytes)) = self.inbox.pop_front() {
            // A fault is an event too.
            _ = self.handle(now, &bytes);
        }
    }

    /// Collects the events that no message brought.
    pub(crate) fn poll(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.events.push_back(event);
        }
    }

    /// Puts what the session has to say on the wire. Every message survives decoding and encoding byte for byte.
    fn flush(&mut self, to: &mut VecDeque<(Time, Vec<u8>)>, arrival: Time) {
        self.poll();
        while let Some(bytes) = self.session.transmit() {
            let message =
                Message::decode(&bytes).expect("it is well formed").expect("it is of a known kind");
            assert_eq!(encoded(&message), bytes);
            self.sent.push(bytes.clone());
            to.push_back((arrival, bytes));
        }
    }

    pub(crate) fn event(&mut self) -> Option<Event<'static>> {
        self.poll();
        self.events.pop_front()
    }

    pub(crate) fn expect_call(&mut self) -> IncomingCall<'static> {
        match self.event() {
            Some(Event::Call(call)) => call,
            other => panic!("a call was expected, not {other:?}"),
        }
    }

    /// The call and the bytes of its result.
    pub(crate) fn expect_reply(&mut self) -> (CallId, Vec<u8>) {
        match self.event() {
            Some(Event::Reply { id, body, .. }) => (id, body.into_vec()),
            other => panic!("a reply was expected, not {other:?}"),
        }
    }

    pub(crate) fn expect_failed(&mut self) -> (CallId, Failure) {
        match self.event() {
            Some(Event::Failed { id, failure, .. }) => (id, failure),
            other => panic!("a failure was expected, not {other:?}"),
        }
    }

    pub(crate) fn expect_item(&mut self) -> (CallId, Vec<u8>) {
        match self.event() {
            Some(Event::Item { id, body, .. }) => (id, body.into_vec()),
            other => panic!("an item was expected, not {other:?}"),
        }
    }

    pub(crate) fn expect_ended(&mut self) -> Fault {
        match self.event() {
            Some(Event::Ended(fault)) => fault,
            other => panic!("the end was expected, not {other:?}"),
        }
    }

    /// What was sent since the last look, in short: `call 1`, `chunk 1`, `last 1`, `ping`.
    pub(crate) fn take_sent(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|bytes| describe(&bytes)).collect()
    }
}
