//! Going away without losing a call.

use procall_proto::{
    CallHeader, CallId, Config, Encoding, ErrorCode, Event, Executed, Flags, Message, Options,
    Reason,
};

use crate::pair::{Pair, Peer};
use crate::words::{MS, items_in, limits};

fn call(id: CallId) -> Message<'static> {
    let (method, encoding, flags) = ("m", Encoding::Raw, Flags::default());
    Message::Call(
        CallHeader { id, method, encoding, flags, total: None, timeout_ms: None, meta: &[] },
        b"",
    )
}

/// The next event but for the answer to the ping, which is nobody's business here.
fn event(peer: &mut Peer) -> Option<Event<'static>> {
    std::iter::from_fn(|| peer.event()).find(|event| !matches!(event, Event::Pong { .. }))
}

fn going_away(text: &'static str) -> Option<Event<'static>> {
    Some(Event::GoingAway { text: text.into() })
}

#[test]
fn a_drain_is_announced_and_sealed_behind_a_ping() {
    let mut pair = Pair::standard();
    pair.server.session.drain(pair.now, "update");
    pair.server_sends();
    assert_eq!(pair.server.take_sent(), ["goaway 1", "ping"]);
    assert_eq!(event(&mut pair.server), None, "calls may be on their way");
    pair.drive();
    assert_eq!(pair.server.take_sent(), ["goaway 2"]);
    assert_eq!((event(&mut pair.client), event(&mut pair.client)), (going_away("update"), None));
    assert_eq!(event(&mut pair.server), Some(Event::Drained));
    assert!(pair.server.session.is_draining() && pair.client.session.is_going_away());
    assert!(!pair.client.session.is_draining() && !pair.server.session.is_going_away());
}

#[test]
fn calls_that_were_sent_before_the_peer_knew_are_served() {
    let mut pair = Pair::standard();
    pair.latency = 10 * MS;
    let early = pair.open_call(Options::default());
    pair.server.session.drain(pair.now, "");
    pair.server_sends();
    let crossing = pair.client.call(pair.now, &[0; 200_000], Options::default());
    pair.drive();
    assert_eq!(pair.server.expect_call().id, crossing);
    pair.server.reply(pair.now, early, b"");
    pair.drive();
    assert_eq!(pair.server.events.iter().filter(|event| **event == Event::Drained).count(), 0);
    pair.server.reply(pair.now, crossing, b"");
    pair.drive();
    let drained: Vec<_> =
        std::iter::from_fn(|| pair.server.event()).filter(|e| *e == Event::Drained).collect();
    assert_eq!(drained.len(), 1);
    assert_eq!(event(&mut pair.client), going_away(""));
    assert_eq!((pair.client.expect_reply().0, pair.client.expect_reply().0), (early, crossing));
}

#[test]
fn a_peer_that_knows_refuses_its_own_calls() {
    let mut pair = Pair::standard();
    pair.server.session.drain(pair.now, "");
    pair.drive();
    let failure = pair.client.try_call(pair.now, b"", Options::default()).unwrap_err();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Unavailable, Executed::No));
}

#[test]
fn a_call_after_the_seal_is_refused() {
    let mut pair = Pair::standard();
    pair.server.session.drain(pair.now, "");
    pair.drive();
    assert_eq!(event(&mut pair.server), Some(Event::Drained));
    pair.server.inject(pair.now, &call(1)).unwrap();
    assert_eq!(event(&mut pair.server), None);
    pair.server_sends();
    match Message::decode(&pair.client.inbox[0].1) {
        Ok(Some(Message::Error { id: 1, code: 5, executed: 0, .. })) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_that_did_not_leave_before_the_seal_did_not_run() {
    let mut pair = Pair::standard();
    let sent = pair.open_call(Options::default());
    let unsent = pair.client.call(pair.now, b"", Options::default());
    let long = pair.client.call(pair.now, &[0; 100_000], Options::default());
    for step in [1, 2] {
        pair.client
            .inject(pair.now, &Message::Goaway { step, last_id: sent, text: "update" })
            .unwrap();
    }
    assert_eq!(event(&mut pair.client), going_away("update"));
    for id in [unsent, long] {
        let (of, failure) = pair.client.expect_failed();
        assert_eq!(
            (of, failure.code, failure.executed),
            (id, ErrorCode::Unavailable, Executed::No)
        );
        assert!(failure.message.contains("update"));
    }
    pair.client.take_sent();
    pair.drive();
    assert_eq!(pair.client.take_sent(), Vec::<String>::new(), "they stay here");
    assert_eq!(pair.client.session.calling(), 1);
}

#[test]
fn a_call_that_was_given_up_before_the_seal_keeps_its_outcome() {
    let mut pair = Pair::standard();
    let cancelled = pair.open_call(Options::default());
    let abandoned = pair.open_call(Options::default());
    pair.client.session.cancel(pair.now, cancelled);
    pair.client.session.abandon(abandoned);
    pair.client.inject(pair.now, &Message::Goaway { step: 2, last_id: 0, text: "" }).unwrap();
    assert_eq!(event(&mut pair.client), going_away(""));
    let (id, failure) = pair.client.expect_failed();
    assert_eq!(
        (id, failure.code, failure.executed),
        (cancelled, ErrorCode::Cancelled, Executed::No)
    );
    assert_eq!(event(&mut pair.client), Some(Event::Settled { id: abandoned, token: 2 }));
}

#[test]
fn both_sides_may_drain_at_once() {
    let mut pair = Pair::standard();
    let down = pair.open_call(Options::default());
    let up = pair.server.call(pair.now, b"", Options::default());
    pair.drive();
    pair.client.expect_call();
    pair.client.session.drain(pair.now, "");
    pair.server.session.drain(pair.now, "");
    pair.drive();
    pair.client.reply(pair.now, up, b"");
    pair.server.reply(pair.now, down, b"");
    pair.drive();
    for peer in [&mut pair.client, &mut pair.server] {
        let seen: Vec<_> = std::iter::from_fn(|| peer.event()).collect();
        assert_eq!(seen.iter().filter(|event| **event == Event::Drained).count(), 1, "{seen:?}");
        assert!(seen.iter().any(|event| matches!(event, Event::Reply { .. })), "{seen:?}");
    }
}

#[test]
fn a_side_that_drains_may_call_on() {
    let mut pair = Pair::standard();
    pair.server.session.drain(pair.now, "");
    pair.drive();
    pair.client.events.clear();
    let id = pair.server.call(pair.now, b"", Options::default());
    pair.drive();
    assert_eq!(pair.client.expect_call().id, id);
}

#[test]
fn a_second_drain_does_nothing() {
    let mut pair = Pair::standard();
    for _ in 0..3 {
        pair.server.session.drain(pair.now, "");
        pair.drive();
    }
    assert_eq!(pair.server.take_sent(), ["goaway 1", "ping", "goaway 2"]);
    assert_eq!((event(&mut pair.server), event(&mut pair.server)), (Some(Event::Drained), None));
    assert_eq!((event(&mut pair.client), event(&mut pair.client)), (going_away(""), None));
}

#[test]
fn a_drain_before_the_handshake_is_done_at_once_and_told_then() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let waiting = pair.client.call(pair.now, b"", Options::default());
    pair.server.session.drain(pair.now, "closing time");
    assert_eq!(event(&mut pair.server), Some(Event::Drained));
    pair.drive();
    assert_eq!(pair.server.take_sent(), ["welcome", "goaway 2"]);
    assert_eq!((event(&mut pair.server), event(&mut pair.server)), (Some(Event::Ready), None));
    assert_eq!(event(&mut pair.client), Some(Event::Ready));
    assert_eq!(event(&mut pair.client), going_away("closing time"));
    let (id, failure) = pair.client.expect_failed();
    assert_eq!(
        (id, failure.code, failure.executed),
        (waiting, ErrorCode::Unavailable, Executed::No)
    );
    assert_eq!(pair.client.take_sent(), ["hello"]);
}

#[test]
fn an_initiator_too_may_drain_before_the_handshake() {
    let mut pair = Pair::new(Config::default(), Config::default());
    pair.client.session.drain(pair.now, "");
    let waiting = pair.server.call(pair.now, b"", Options::default());
    pair.drive();
    assert_eq!(pair.client.take_sent(), ["hello", "goaway 2", &format!("error {waiting}")]);
    assert_eq!(event(&mut pair.server), Some(Event::Ready));
    assert_eq!(event(&mut pair.server), going_away(""));
    let (id, failure) = pair.server.expect_failed();
    assert_eq!(
        (id, failure.code, failure.executed),
        (waiting, ErrorCode::Unavailable, Executed::No)
    );
    let seen: Vec<_> = std::iter::from_fn(|| pair.client.event()).collect();
    assert_eq!(seen, [Event::Drained, Event::Ready]);
}

#[test]
fn a_request_that_is_still_arriving_holds_the_drain_up() {
    for cancelled in [false, true] {
        let mut pair = Pair::standard();
        let id = pair.client.call(pair.now, &[0; 100_000], Options::default());
        let header = pair.client.session.transmit().unwrap();
        pair.server.handle(pair.now, &header).unwrap();
        // The rest of the request is late, the answer to the ping is not.
        pair.server.session.drain(pair.now, "");
        pair.server.inject(pair.now, &Message::Pong { nonce: 1 }).unwrap();
        assert_eq!(event(&mut pair.server), None);
        if cancelled {
            pair.client.session.cancel(pair.now, id);
            pair.drive();
        } else {
            pair.drive();
            assert_eq!(pair.server.expect_call().id, id);
            assert_eq!(event(&mut pair.server), None);
            pair.server.reply(pair.now, id, b"");
        }
        assert_eq!(
            (event(&mut pair.server), event(&mut pair.server)),
            (Some(Event::Drained), None)
        );
    }
}

#[test]
fn a_request_that_is_refused_while_it_arrives_does_not_hold_the_drain_up() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_assembly = 80_000));
    pair.client.call(pair.now, &[0; 100_000], Options::default());
    pair.server.session.drain(pair.now, "");
    let header = pair.client.session.transmit().unwrap();
    pair.server.handle(pair.now, &header).unwrap();
    pair.server.inject(pair.now, &Message::Pong { nonce: 1 }).unwrap();
    pair.drive();
    assert_eq!((event(&mut pair.server), event(&mut pair.server)), (Some(Event::Drained), None));
}

#[test]
fn a_call_whose_item_is_too_long_does_not_hold_the_drain_up() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_body = 80_000));
    let id = pair.open_call(items_in());
    pair.server.session.drain(pair.now, "");
    pair.drive();
    pair.client.item(id, &[0; 100_000]);
    pair.drive();
    assert_eq!(event(&mut pair.server), Some(Event::Cancelled { id, reason: Reason::Cancelled }));
    assert_eq!((event(&mut pair.server), event(&mut pair.server)), (Some(Event::Drained), None));
}

#[test]
fn a_long_word_of_goodbye_is_cut() {
    let mut pair = Pair::standard();
    pair.server.session.drain(pair.now, &"x".repeat(2 << 20));
    pair.drive();
    assert!(
        matches!(event(&mut pair.client), Some(Event::GoingAway { text }) if text.len() == 1024)
    );
    assert!(!pair.client.session.is_ended());
}
