//! Calls that are given up, at every stage of their lives.

use procall_proto::{
    Blocked, Body, CallId, Config, ErrorCode, Event, Executed, Message, Options, Reason,
};

use crate::pair::Pair;
use crate::words::{MS, items_in, items_out, limits, raw};

/// A call of 300,000 bytes of which the header and two chunks have arrived.
fn half_sent() -> (Pair, CallId) {
    let mut pair = Pair::standard();
    let id = pair.client.call(pair.now, &[0; 300_000], Options::default());
    for _ in 0..3 {
        let message = pair.client.session.transmit().unwrap();
        pair.server.handle(pair.now, &message).unwrap();
    }
    (pair, id)
}

#[test]
fn a_call_that_is_cancelled_before_it_left_did_not_run() {
    let mut pair = Pair::standard();
    let id = pair.client.call(pair.now, b"", Options::default());
    pair.client.session.cancel(pair.now, id);
    let (of, failure) = pair.client.expect_failed();
    assert_eq!((of, failure.code, failure.executed), (id, ErrorCode::Cancelled, Executed::No));
    pair.drive();
    assert_eq!((pair.client.take_sent(), pair.server.event()), (vec![], None));
    assert_eq!(pair.client.session.calling(), 0);
    // The gap in the ids is no harm.
    pair.open_call(Options::default());
}

#[test]
fn a_call_that_is_cancelled_before_it_left_takes_its_stream_along() {
    for len in [0, 100_000] {
        let mut pair = Pair::standard();
        let other = pair.client.call(pair.now, b"", items_in());
        let id = pair.client.call(pair.now, &vec![0; len], items_in());
        pair.client.item(id, b"small");
        pair.client.item(id, &[0; 100_000]);
        pair.client.item(other, b"");
        pair.client.item(id, b"small");
        pair.client.session.end_stream(pair.now, id).unwrap();
        pair.client.session.cancel(pair.now, id);
        pair.drive();
        assert_eq!(pair.client.take_sent(), [format!("call {other}"), format!("item {other}")]);
        assert!(!pair.server.session.is_ended());
        assert_eq!(pair.client.session.queued(), 0);
    }
}

#[test]
fn a_call_that_is_cancelled_while_it_runs_has_the_verdict_of_the_peer() {
    for executed in [Executed::No, Executed::Maybe, Executed::Yes] {
        let mut pair = Pair::standard();
        let id = pair.open_call(Options::default());
        pair.client.session.cancel(pair.now, id);
        pair.client.session.cancel(pair.now, id);
        pair.drive();
        assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Cancelled }));
        assert_eq!(pair.server.event(), None);
        assert!(!pair.server.session.is_wanted(id));
        pair.server.session.fail(id, ErrorCode::Internal, executed, Body::empty()).unwrap();
        pair.drive();
        let (of, failure) = pair.client.expect_failed();
        assert_eq!((of, failure.code, failure.executed), (id, ErrorCode::Cancelled, executed));
    }
}

#[test]
fn a_call_that_is_cancelled_without_a_verdict_may_have_run() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.client.session.cancel(pair.now, id);
    pair.advance(7 * MS);
    assert_eq!(pair.client.event(), None);
    pair.advance(MS);
    let (of, failure) = pair.client.expect_failed();
    assert_eq!((of, failure.code, failure.executed), (id, ErrorCode::Cancelled, Executed::Maybe));
}

#[test]
fn a_request_that_is_cancelled_half_sent_did_not_run() {
    let (mut pair, id) = half_sent();
    pair.client.session.cancel(pair.now, id);
    let (of, failure) = pair.client.expect_failed();
    assert_eq!((of, failure.code, failure.executed), (id, ErrorCode::Cancelled, Executed::No));
    pair.drive();
    assert_eq!(pair.client.take_sent(), [format!("cancel {id}")], "the rest stays here");
    assert_eq!((pair.server.event(), pair.server.session.serving()), (None, 0));
    assert_eq!(pair.client.session.counters().late, 1, "the peer's own verdict");
}

#[test]
fn a_request_that_is_cancelled_while_it_arrives_frees_its_memory() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_assembly = 400_000));
    for _ in 0..10 {
        let id = pair.client.call(pair.now, &[0; 300_000], Options::default());
        for _ in 0..3 {
            let message = pair.client.session.transmit().unwrap();
            pair.server.handle(pair.now, &message).unwrap();
        }
        pair.client.session.cancel(pair.now, id);
        pair.drive();
    }
    pair.client.events.clear();
    pair.client.call(pair.now, &[0; 300_000], Options::default());
    pair.drive();
    assert_eq!(pair.server.expect_call().body.bytes().len(), 300_000);
}

#[test]
fn a_call_that_is_abandoned_has_no_outcome() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.client.session.abandon(id);
    pair.client.session.cancel(pair.now, id);
    pair.advance(100 * MS);
    assert_eq!(pair.client.event(), None);
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Cancelled }));
    pair.server.session.progress(pair.now, id, 1, None, "");
    pair.server.reply(pair.now, id, b"");
    pair.drive();
    assert_eq!(pair.client.event(), Some(Event::Settled { id, token: 1 }));
    assert_eq!((pair.client.event(), pair.client.session.calling()), (None, 0));
}

#[test]
fn a_call_that_is_abandoned_before_it_left_is_settled_at_once() {
    let mut pair = Pair::standard();
    let id = pair.client.call(pair.now, b"", Options::default());
    pair.client.session.abandon(id);
    assert_eq!(pair.client.event(), Some(Event::Settled { id, token: 1 }));
    pair.drive();
    assert_eq!(pair.client.take_sent(), Vec::<String>::new());
}

#[test]
fn what_is_over_cannot_be_cancelled() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, b"");
    pair.drive();
    pair.client.expect_reply();
    pair.client.take_sent();
    for id in [id, 2, 3, 0] {
        pair.client.session.cancel(pair.now, id);
        pair.client.session.abandon(id);
    }
    pair.advance(100 * MS);
    assert_eq!((pair.client.event(), pair.client.take_sent()), (None, vec![]));
}

#[test]
fn a_long_result_that_nobody_wants_stops() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, &[0; 1_000_000]);
    for _ in 0..3 {
        let message = pair.server.session.transmit().unwrap();
        pair.client.handle(pair.now, &message).unwrap();
    }
    pair.client.session.cancel(pair.now, id);
    let (_, failure) = pair.client.expect_failed();
    assert_eq!(
        (failure.code, failure.executed),
        (ErrorCode::Cancelled, Executed::Yes),
        "an answer is a verdict"
    );
    pair.client_sends();
    pair.server.receive_one(pair.now);
    pair.server_sends();
    assert_eq!((pair.server.take_sent(), pair.server.session.queued()), (vec![], 0));
    assert_eq!(pair.client.session.calling(), 0);
}

#[test]
fn a_stream_whose_end_waits_behind_a_long_item_is_settled_all_the_same() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    pair.server.item(id, &[0; 1_000_000]);
    pair.server.session.end_stream(pair.now, id).unwrap();
    for _ in 0..3 {
        let message = pair.server.session.transmit().unwrap();
        pair.client.handle(pair.now, &message).unwrap();
    }
    pair.client.session.cancel(pair.now, id);
    pair.client_sends();
    pair.server.receive_one(pair.now);
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Cancelled, Executed::Yes));
    assert_eq!(
        (pair.server.take_sent(), pair.client.session.calling()),
        (vec![format!("error {id}")], 0)
    );
}

#[test]
fn a_long_item_that_nobody_wants_stops() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    pair.server.item(id, &[0; 1_000_000]);
    pair.client.session.cancel(pair.now, id);
    pair.client_sends();
    pair.server.receive_one(pair.now);
    assert_eq!(pair.server.session.item(id, raw(b"")), Err(Blocked::Over));
    pair.server.session.fail(id, ErrorCode::Cancelled, Executed::Yes, Body::empty()).unwrap();
    pair.drive();
    assert_eq!(pair.server.take_sent(), [format!("item {id}"), format!("error {id}")]);
    assert_eq!(pair.client.expect_failed().1.executed, Executed::Yes);
}

#[test]
fn a_cancel_of_no_call_ends_the_session() {
    for id in [2, 3, 101] {
        let mut pair = Pair::standard();
        pair.open_call(Options::default());
        assert!(
            pair.server.inject(pair.now, &Message::Cancel { id, reason: 0 }).is_err(),
            "id {id}"
        );
    }
}

#[test]
fn a_cancel_that_crosses_the_answer_is_nothing() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, b"");
    pair.server_sends();
    pair.client.session.cancel(pair.now, id);
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Cancelled, Executed::Yes));
    assert_eq!((pair.server.event(), pair.server.take_sent()), (None, vec![format!("reply {id}")]));
}
