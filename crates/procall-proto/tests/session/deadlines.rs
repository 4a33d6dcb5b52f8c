//! Deadlines: when they fall, who is told, and what they say about the handler.

use std::time::Duration;

use procall_proto::{
    Body, CallHeader, CallId, Config, Encoding, ErrorCode, Event, Executed, Flags, Message,
    Options, Reason, Time,
};

use crate::pair::Pair;
use crate::words::{MS, NANO, SECOND, items_in, items_out, raw, timeout};

/// A served call with 50 ms to live, one millisecond of latency, at the moment when the server has heard that they are over.
fn overdue() -> (Pair, CallId) {
    let mut pair = Pair::standard();
    pair.latency = MS;
    let id = pair.open_call(timeout(50 * MS));
    pair.advance(50 * MS);
    assert_eq!(pair.now, Time::ZERO + 51 * MS);
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Deadline }));
    assert_eq!(pair.client.event(), None, "the peer has a moment to say whether the handler ran");
    (pair, id)
}

#[test]
fn a_request_that_never_left_fails_at_its_deadline_and_did_not_run() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let id = pair.client.call(pair.now, b"", timeout(50 * MS));
    assert_eq!(pair.client.session.poll_timeout(), Time::ZERO + 50 * MS);
    pair.client.session.handle_timeout(Time::from_nanos(49_999_999));
    assert_eq!(pair.client.event(), None);
    pair.client.session.handle_timeout(Time::from_nanos(50_000_000));
    let (of, failure) = pair.client.expect_failed();
    assert_eq!(
        (of, failure.code, failure.executed),
        (id, ErrorCode::DeadlineExceeded, Executed::No)
    );
    pair.drive();
    assert_eq!(pair.client.take_sent(), ["hello"]);
}

#[test]
fn the_peer_says_whether_an_overdue_handler_ran() {
    for executed in [Executed::No, Executed::Yes] {
        let (mut pair, id) = overdue();
        pair.server.session.fail(id, ErrorCode::Cancelled, executed, Body::empty()).unwrap();
        pair.drive();
        assert_eq!(pair.now, Time::ZERO + 52 * MS);
        let (of, failure) = pair.client.expect_failed();
        assert_eq!(
            (of, failure.code, failure.executed),
            (id, ErrorCode::DeadlineExceeded, executed)
        );
    }
}

#[test]
fn a_reply_after_the_deadline_proves_only_that_the_handler_ran() {
    for len in [0, 200_000] {
        let (mut pair, id) = overdue();
        pair.server.reply(pair.now, id, &vec![0; len]);
        pair.drive();
        let (of, failure) = pair.client.expect_failed();
        assert_eq!(
            (of, failure.code, failure.executed),
            (id, ErrorCode::DeadlineExceeded, Executed::Yes)
        );
        assert_eq!((pair.client.event(), pair.client.session.counters().late), (None, 1));
    }
}

#[test]
fn a_silent_peer_leaves_the_call_undecided_after_the_slack() {
    let (mut pair, id) = overdue();
    assert_eq!(pair.client.session.poll_timeout(), Time::ZERO + 58 * MS);
    pair.advance(7 * MS - NANO);
    assert_eq!(pair.client.event(), None);
    pair.advance(NANO);
    let (of, failure) = pair.client.expect_failed();
    assert_eq!(
        (of, failure.code, failure.executed),
        (id, ErrorCode::DeadlineExceeded, Executed::Maybe)
    );
    // Late is dropped and counted; only that the peer is free again is told.
    assert!(pair.client.session.is_outstanding(id));
    pair.server.reply(pair.now, id, b"late");
    pair.drive();
    assert_eq!(pair.client.event(), Some(Event::Settled { id, token: 1 }));
    assert_eq!((pair.client.event(), pair.client.session.counters().late), (None, 1));
    assert_eq!(pair.client.session.calling(), 0);
}

#[test]
fn a_driver_that_comes_late_does_not_make_the_outcome_later() {
    let mut pair = Pair::standard();
    pair.open_call(timeout(50 * MS));
    pair.client.session.handle_timeout(Time::ZERO + 55 * MS);
    assert_eq!(pair.client.session.poll_timeout(), Time::ZERO + 58 * MS);
    pair.client.session.handle_timeout(Time::ZERO + 58 * MS);
    assert_eq!(pair.client.expect_failed().1.executed, Executed::Maybe);
}

#[test]
fn an_answer_on_time_is_the_outcome() {
    let mut pair = Pair::standard();
    let id = pair.open_call(timeout(50 * MS));
    pair.advance(50 * MS - NANO);
    pair.server.reply(pair.now, id, b"");
    pair.drive();
    assert_eq!(pair.client.expect_reply().0, id);
    pair.advance(SECOND);
    assert_eq!((pair.client.event(), pair.server.event()), (None, None));
}

#[test]
fn a_call_without_time_is_never_started() {
    let mut pair = Pair::standard();
    pair.client.call(pair.now, b"", timeout(Duration::ZERO));
    pair.drive();
    assert_eq!(pair.client.expect_failed().1.executed, Executed::No);
    assert_eq!((pair.client.take_sent(), pair.server.event()), (vec![], None));
}

#[test]
fn a_call_without_time_that_left_is_never_started() {
    let mut pair = Pair::standard();
    pair.client.call(pair.now, b"", timeout(Duration::ZERO));
    pair.client_sends();
    pair.server.receive_one(pair.now);
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::DeadlineExceeded, Executed::No));
    assert_eq!(pair.server.event(), None);
}

#[test]
fn a_request_that_expires_while_it_arrives_is_never_started() {
    let mut pair = Pair::standard();
    let header = CallHeader {
        id: 1,
        method: "m",
        encoding: Encoding::Raw,
        flags: Flags::MORE,
        total: Some(2),
        timeout_ms: Some(50),
        meta: &[],
    };
    pair.server.inject(pair.now, &Message::Call(header, &[1])).unwrap();
    let last = Message::Chunk { id: 1, last: true, body: &[2] };
    pair.server.inject(pair.now + 50 * MS, &last).unwrap();
    assert_eq!(pair.server.event(), None);
    pair.server_sends();
    assert_eq!(pair.server.take_sent(), ["error 1"]);
    let (_, refusal) = pair.client.inbox.pop_front().unwrap();
    let expected =
        (u64::from(ErrorCode::DeadlineExceeded.number()), u64::from(Executed::No.number()));
    match Message::decode(&refusal) {
        Ok(Some(Message::Error { code, executed, .. })) => assert_eq!((code, executed), expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_is_told_at_the_deadline_and_once() {
    let mut pair = Pair::standard();
    let id = pair.open_call(timeout(50 * MS));
    assert!(pair.server.session.is_wanted(id));
    // The caller's own message does not come.
    pair.server.session.handle_timeout(Time::ZERO + 50 * MS);
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Deadline }));
    assert!(!pair.server.session.is_wanted(id));
    pair.server.inject(Time::ZERO + 51 * MS, &Message::Cancel { id, reason: 1 }).unwrap();
    pair.server.session.handle_timeout(Time::ZERO + 52 * MS);
    assert_eq!(pair.server.event(), None);
    assert_eq!(pair.server.session.serving(), 1, "it must still be answered");
}

#[test]
fn a_handler_that_was_stopped_at_the_deadline_fails_with_the_deadline() {
    let mut pair = Pair::standard();
    let id = pair.open_call(timeout(50 * MS));
    // This side's clock is a little ahead: the caller has not given up yet.
    pair.server.session.handle_timeout(Time::ZERO + 50 * MS);
    let (code, executed) = (ErrorCode::Cancelled, Executed::Yes);
    pair.server.session.fail(id, code, executed, Body::empty()).unwrap();
    pair.server_sends();
    pair.client.receive_one(Time::ZERO + 49 * MS);
    let failure = pair.client.expect_failed().1;
    assert_eq!((failure.code, failure.executed), (ErrorCode::DeadlineExceeded, Executed::Yes));
}

#[test]
fn a_call_may_have_no_deadline() {
    let mut pair = Pair::standard();
    let id = pair.client.call(pair.now, b"", Options { timeout: None, ..Options::default() });
    pair.drive();
    assert_eq!(pair.server.expect_call().deadline, Time::NEVER);
    assert_eq!(pair.client.session.poll_timeout(), Time::NEVER);
    pair.advance(1_000_000 * SECOND);
    pair.server.reply(pair.now, id, b"");
    pair.drive();
    pair.client.expect_reply();
}

#[test]
fn a_deadline_beyond_all_time_is_none() {
    let mut pair = Pair::standard();
    pair.client.call(pair.now, b"", timeout(Duration::MAX));
    pair.drive();
    assert_eq!(pair.server.expect_call().deadline, Time::NEVER);
}

#[test]
fn the_remaining_time_is_rounded_up() {
    let mut pair = Pair::standard();
    pair.client.call(pair.now, b"", timeout(Duration::from_nanos(1_000_001)));
    pair.client_sends();
    pair.server.receive_one(pair.now);
    assert_eq!(pair.server.expect_call().deadline, Time::ZERO + 2 * MS);
}

#[test]
fn a_nested_call_has_what_is_left() {
    let mut pair = Pair::standard();
    pair.client.call(pair.now, b"", timeout(80 * MS));
    pair.drive();
    let outer = pair.server.expect_call();
    pair.advance(30 * MS);
    let left = outer.deadline - pair.now;
    assert_eq!(left, 50 * MS);
    pair.server.call(pair.now, b"", timeout(left));
    pair.drive();
    assert_eq!(pair.client.expect_call().deadline, outer.deadline);
}

#[test]
fn calls_that_are_due_together_fail_in_the_order_of_their_ids() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let ids: Vec<_> = (0..100).map(|_| pair.client.call(pair.now, b"", timeout(MS))).collect();
    pair.client.session.handle_timeout(Time::ZERO + MS);
    let failed: Vec<_> = (0..100).map(|_| pair.client.expect_failed().0).collect();
    assert_eq!(failed, ids);
}

#[test]
fn the_time_of_a_stream_covers_its_opening() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options { timeout: Some(50 * MS), ..items_out() });
    pair.advance(40 * MS);
    pair.server.item(id, b"first");
    pair.advance(3600 * SECOND);
    pair.server.item(id, b"second");
    pair.drive();
    assert_eq!(pair.server.event(), None);
    assert_eq!(
        (pair.client.expect_item().1, pair.client.expect_item().1),
        (b"first".into(), b"second".into())
    );
    assert_eq!(pair.client.event(), None);
}

#[test]
fn a_stream_that_does_not_open_in_time_fails() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options { timeout: Some(50 * MS), ..items_out() });
    pair.advance(50 * MS);
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Deadline }));
    pair.advance(8 * MS);
    assert_eq!(pair.client.expect_failed().1.code, ErrorCode::DeadlineExceeded);
}

#[test]
fn the_time_may_cover_a_whole_stream() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options { timeout: Some(50 * MS), whole: true, ..items_out() });
    pair.server.item(id, b"first");
    pair.advance(50 * MS);
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Deadline }));
    pair.client.expect_item();
    pair.advance(8 * MS);
    assert_eq!(pair.client.expect_failed().1.code, ErrorCode::DeadlineExceeded);
}

#[test]
fn the_time_of_an_opening_rests_while_the_caller_sends() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options { timeout: Some(50 * MS), ..items_in() });
    pair.advance(40 * MS);
    pair.client.item(id, b"");
    pair.advance(10 * SECOND);
    pair.client.item(id, b"");
    pair.drive();
    pair.server.expect_item();
    pair.server.expect_item();
    assert_eq!((pair.client.event(), pair.server.event()), (None, None));
    // It starts anew when all is sent.
    pair.client.session.end_stream(pair.now, id).unwrap();
    pair.advance(50 * MS - NANO);
    assert_eq!(pair.server.event(), Some(Event::End { id, token: None, count: 2 }));
    assert_eq!((pair.client.event(), pair.server.event()), (None, None));
    pair.advance(NANO);
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Deadline }));
    pair.advance(8 * MS);
    assert_eq!(pair.client.expect_failed().1.code, ErrorCode::DeadlineExceeded);
}

#[test]
fn a_handler_knows_by_itself_that_the_opening_started_anew() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options { timeout: Some(50 * MS), ..items_in() });
    pair.client.item(id, b"");
    pair.advance(SECOND);
    pair.client.session.end_stream(pair.now, id).unwrap();
    pair.drive();
    pair.server.events.clear();
    pair.server.session.handle_timeout(pair.now + (50 * MS - NANO));
    assert_eq!(pair.server.event(), None);
    pair.server.session.handle_timeout(pair.now + 50 * MS);
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Deadline }));
}

#[test]
fn a_caller_that_sends_nothing_has_only_its_opening() {
    let mut pair = Pair::standard();
    pair.open_call(Options { timeout: Some(50 * MS), ..items_in() });
    pair.advance(58 * MS);
    assert_eq!(pair.client.expect_failed().1.code, ErrorCode::DeadlineExceeded);
}

#[test]
fn the_end_of_the_caller_does_not_bring_back_an_opening_that_is_over() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options { timeout: Some(50 * MS), items_in: true, ..items_out() });
    pair.client.item(id, b"");
    pair.server.item(id, b"");
    pair.drive();
    pair.client.session.end_stream(pair.now, id).unwrap();
    pair.drive();
    pair.server.events.clear();
    pair.client.events.clear();
    pair.advance(SECOND);
    assert_eq!((pair.client.event(), pair.server.event()), (None, None));
    assert_eq!(pair.server.session.item(id, raw(b"")), Ok(()));
}
