//! The end of a session, by choice, by loss and by fault: every call has its outcome, then silence.

use procall_proto::{
    Blocked, Body, CallId, Config, ErrorCode, Event, Executed, Failure, Message, Options, Reason,
};

use crate::pair::Pair;
use crate::words::{items_out, raw};

/// A client with a call in every stage: unsent, half sent, sent, given up, abandoned; and one that it serves.
fn busy() -> (Pair, [CallId; 6]) {
    let mut pair = Pair::standard();
    let now = pair.now;
    let served = pair.server.call(now, b"", Options::default());
    let sent = pair.open_call(Options::default());
    let given_up = pair.open_call(Options::default());
    let abandoned = pair.open_call(Options::default());
    pair.client.session.cancel(now, given_up);
    pair.client.session.abandon(abandoned);
    pair.client_sends();
    let half_sent = pair.client.call(now, &[0; 300_000], Options::default());
    pair.client.session.transmit().unwrap();
    pair.client.session.transmit().unwrap();
    let unsent = pair.client.call(now, b"", Options::default());
    pair.client.events.clear();
    (pair, [unsent, half_sent, sent, given_up, abandoned, served])
}

fn check_outcomes(pair: &mut Pair, ids: [CallId; 6], code: ErrorCode) {
    let [unsent, half_sent, sent, given_up, abandoned, served] = ids;
    let failed: Vec<_> = std::iter::from_fn(|| pair.client.event())
        .map(|event| match event {
            Event::Failed { id, failure, .. } => (id, Some((failure.code, failure.executed))),
            Event::Settled { id, .. } => (id, None),
            Event::Cancelled { id, reason: Reason::Gone } => (id, None),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        failed,
        [
            (sent, Some((code, Executed::Maybe))),
            (given_up, Some((ErrorCode::Cancelled, Executed::Maybe))),
            (abandoned, None),
            (half_sent, Some((code, Executed::No))),
            (unsent, Some((code, Executed::No))),
            (served, None),
        ]
    );
    assert_eq!((pair.client.session.calling(), pair.client.session.serving()), (0, 0));
}

#[test]
fn a_lost_link_is_no_for_what_never_left_and_maybe_for_the_rest() {
    let (mut pair, ids) = busy();
    pair.drop_link();
    check_outcomes(&mut pair, ids, ErrorCode::ConnectionLost);
}

#[test]
fn a_side_that_closes_says_closed() {
    let (mut pair, ids) = busy();
    pair.client.session.close();
    check_outcomes(&mut pair, ids, ErrorCode::Closed);
    let failure = pair.client.try_call(pair.now, b"", Options::default()).unwrap_err();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Closed, Executed::No));
}

#[test]
fn a_call_on_a_lost_link_says_lost() {
    let mut pair = Pair::standard();
    pair.drop_link();
    let failure = pair.client.try_call(pair.now, b"", Options::default()).unwrap_err();
    assert_eq!((failure.code, failure.executed), (ErrorCode::ConnectionLost, Executed::No));
}

#[test]
fn the_last_chunk_makes_the_difference() {
    let mut pair = Pair::standard();
    pair.client.call(pair.now, &[0; 100_000], Options::default());
    pair.client.call(pair.now, &[0; 100_000], Options::default());
    // Two headers, two chunks, and the last chunk of one of the two.
    for _ in 0..5 {
        pair.client.session.transmit().unwrap();
    }
    pair.drop_link();
    assert_eq!(pair.client.expect_failed().1.executed, Executed::Maybe);
    assert_eq!(pair.client.expect_failed().1.executed, Executed::No);
}

#[test]
fn a_fault_is_known_to_both_sides() {
    let mut pair = Pair::standard();
    let down = pair.open_call(Options::default());
    let up = pair.server.call(pair.now, b"", Options::default());
    pair.drive();
    pair.client.expect_call();
    let fault = pair.server.handle(pair.now, b"garbage").unwrap_err();
    assert_eq!((fault.code, fault.remote), (ErrorCode::ProtocolError, false));
    pair.drive();
    for (peer, own, other, remote) in
        [(&mut pair.server, up, down, false), (&mut pair.client, down, up, true)]
    {
        let (id, failure) = peer.expect_failed();
        assert_eq!(
            (id, failure.code, failure.executed),
            (own, ErrorCode::ConnectionLost, Executed::Maybe)
        );
        assert_eq!(peer.event(), Some(Event::Cancelled { id: other, reason: Reason::Gone }));
        let ended = peer.expect_ended();
        assert_eq!(
            (ended.code, &ended.message, ended.remote),
            (fault.code, &fault.message, remote)
        );
        assert_eq!(peer.event(), None);
        assert!(peer.session.is_ended());
    }
}

#[test]
fn a_fault_is_the_last_thing_said() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    let now = pair.now;
    let registration = pair.client.session.register(Body::empty());
    assert!(registration.is_ok());
    pair.drive();
    let Some(Event::Registration { id: registration, .. }) = pair.server.event() else {
        panic!("no registration")
    };
    // Of every lane something waits.
    pair.server.inject(now, &Message::Ping { nonce: 1 }).unwrap();
    pair.server.item(id, b"");
    pair.server.item(id, &[0; 100_000]);
    pair.server.handle(now, b"garbage").unwrap_err();
    let server = &mut pair.server.session;
    assert_eq!(server.item(id, raw(b"")), Err(Blocked::Over));
    assert_eq!(server.reply(now, id, raw(b"")), Err(Blocked::Over));
    assert_eq!(server.end_stream(now, id), Err(Blocked::Over));
    server.registered(registration, Ok(()));
    server.consumed(id, 64, 1 << 20);
    server.progress(now, id, 1, None, "");
    server.drain(now, "");
    assert_eq!(server.ping(now), None);
    let lost = |failure: Failure| (failure.code, failure.executed);
    let expected = (ErrorCode::ConnectionLost, Executed::No);
    assert_eq!(lost(server.register(Body::empty()).unwrap_err()), expected);
    assert_eq!(lost(server.notify("m", Body::empty(), &[]).unwrap_err()), expected);
    pair.server.take_sent();
    pair.server_sends();
    assert_eq!(pair.server.take_sent(), ["fault"]);
}

#[test]
fn a_session_that_is_over_hears_nothing() {
    let mut pair = Pair::standard();
    pair.server.session.close();
    assert_eq!(pair.server.handle(pair.now, b"garbage"), Ok(()));
    pair.server.inject(pair.now, &Message::Ping { nonce: 1 }).unwrap();
    pair.server_sends();
    assert_eq!((pair.server.event(), pair.server.take_sent()), (None, vec![]));
    assert_eq!(pair.server.session.poll_timeout(), procall_proto::Time::NEVER);
}

#[test]
fn the_end_is_told_once() {
    let mut pair = Pair::standard();
    pair.server.handle(pair.now, b"garbage").unwrap_err();
    pair.server.session.close();
    pair.server.session.handle_closed();
    pair.server.expect_ended();
    assert_eq!(pair.server.event(), None);
}

#[test]
fn a_registration_under_way_fails_with_its_session() {
    let mut pair = Pair::standard();
    pair.client.session.register(Body::empty()).unwrap();
    pair.drop_link();
    match pair.client.event() {
        Some(Event::Registered { result: Err(failure) }) => {
            assert_eq!(failure.code, ErrorCode::ConnectionLost)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fault_of_the_handshake_fails_what_waits_and_nothing_ran() {
    let config = Config { token: Some(b"secret".to_vec()), ..Config::default() };
    let mut pair = Pair::new(Config::default(), config);
    pair.client.call(pair.now, b"", Options::default());
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::ConnectionLost, Executed::No));
    assert_eq!(pair.client.expect_ended().code, ErrorCode::Unauthenticated);
}
