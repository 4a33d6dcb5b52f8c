//! Streams of items in both directions, and the credit that paces them.

use procall_proto::{
    Blocked, Body, Config, Encoding, ErrorCode, Event, Executed, Flags, Message, Options, Reason,
};

use crate::pair::Pair;
use crate::words::{error_map, items_in, items_out, limits, raw};

fn duplex() -> Options<'static> {
    Options { items_in: true, items_out: true, ..Options::default() }
}

#[test]
fn items_come_in_order_and_end_with_their_count() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    for item in 0..3 {
        pair.server.item(id, &[item]);
    }
    pair.server.session.end_stream(pair.now, id).unwrap();
    pair.drive();
    for item in 0..3 {
        assert_eq!(pair.client.expect_item(), (id, vec![item]));
    }
    assert_eq!(pair.client.event(), Some(Event::End { id, token: Some(1), count: 3 }));
    assert_eq!((pair.client.session.calling(), pair.server.session.serving()), (0, 0));
}

#[test]
fn a_caller_sends_items_and_gets_one_value() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_in());
    pair.client.item(id, b"a");
    pair.client.item(id, b"b");
    pair.client.session.end_stream(pair.now, id).unwrap();
    pair.drive();
    assert_eq!(
        (pair.server.expect_item().1, pair.server.expect_item().1),
        (b"a".to_vec(), b"b".to_vec())
    );
    assert_eq!(pair.server.event(), Some(Event::End { id, token: None, count: 2 }));
    pair.server.reply(pair.now, id, b"ab");
    pair.drive();
    assert_eq!(pair.client.expect_reply(), (id, b"ab".to_vec()));
}

#[test]
fn a_half_closed_stream_goes_on_in_the_other_direction() {
    let mut pair = Pair::standard();
    let id = pair.open_call(duplex());
    pair.client.item(id, b"ping");
    pair.client.session.end_stream(pair.now, id).unwrap();
    assert_eq!(pair.client.session.item(id, raw(b"more")), Err(Blocked::Over));
    assert_eq!(pair.client.session.end_stream(pair.now, id), Err(Blocked::Over));
    pair.drive();
    pair.server.item(id, b"pong");
    pair.server.session.end_stream(pair.now, id).unwrap();
    pair.drive();
    assert_eq!(pair.client.expect_item(), (id, b"pong".to_vec()));
    assert_eq!(pair.client.event(), Some(Event::End { id, token: Some(1), count: 1 }));
}

#[test]
fn streams_may_be_empty() {
    let mut pair = Pair::standard();
    let id = pair.open_call(duplex());
    pair.client.session.end_stream(pair.now, id).unwrap();
    pair.drive();
    assert_eq!(pair.server.event(), Some(Event::End { id, token: None, count: 0 }));
    pair.server.session.end_stream(pair.now, id).unwrap();
    pair.drive();
    assert_eq!(pair.client.event(), Some(Event::End { id, token: Some(1), count: 0 }));
}

#[test]
fn a_writer_has_credit_for_64_items() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    for _ in 0..64 {
        assert_eq!(pair.server.session.poll_writable(id), Ok(()));
        pair.server.item(id, b"");
    }
    assert_eq!(pair.server.session.item(id, raw(b"")), Err(Blocked::Credit));
    assert_eq!(pair.server.session.poll_writable(id), Err(Blocked::Credit));
    pair.drive();
    assert_eq!(pair.server.event(), None);
    pair.client.session.consumed(id, 31, 0);
    pair.drive();
    assert_eq!(pair.server.event(), None, "credit is given when half the window is free");
    pair.client.session.consumed(id, 1, 0);
    pair.drive();
    assert_eq!(pair.server.event(), Some(Event::Writable { id, token: None }));
    for _ in 0..32 {
        pair.server.item(id, b"");
    }
    assert_eq!(pair.server.session.item(id, raw(b"")), Err(Blocked::Credit));
}

#[test]
fn the_item_that_crosses_a_mebibyte_may_still_be_sent() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_in());
    let item = vec![0; 300 << 10];
    for _ in 0..4 {
        pair.client.item(id, &item);
    }
    assert_eq!(pair.client.session.item(id, raw(b"")), Err(Blocked::Credit));
    pair.drive();
    for _ in 0..4 {
        assert_eq!(pair.server.expect_item().1.len(), item.len());
    }
    pair.server.session.consumed(id, 2, 2 * item.len());
    pair.drive();
    assert_eq!(pair.client.event(), Some(Event::Writable { id, token: Some(1) }));
    pair.client.item(id, &item);
}

#[test]
fn an_item_without_credit_ends_the_session() {
    let item = |id| Message::Item {
        id,
        encoding: Encoding::Raw,
        flags: Flags::default(),
        total: None,
        body: b"",
    };
    let mut pair = Pair::ready(
        limits(|limits| limits.stream_items = 2),
        limits(|limits| limits.stream_items = 2),
    );
    let id = pair.open_call(duplex());
    for peer in [&mut pair.client, &mut pair.server] {
        peer.inject(pair.now, &item(id)).unwrap();
        peer.inject(pair.now, &item(id)).unwrap();
        assert_eq!(peer.inject(pair.now, &item(id)).unwrap_err().code, ErrorCode::ProtocolError);
    }
}

#[test]
fn a_slow_reader_slows_its_own_writer_only() {
    let mut pair = Pair::standard();
    let slow = pair.open_call(items_out());
    let quick = pair.open_call(items_out());
    for _ in 0..64 {
        pair.server.item(slow, b"");
    }
    for _ in 0..1000 {
        pair.server.item(quick, b"");
        pair.drive();
        pair.client.session.consumed(quick, 1, 0);
        pair.drive();
    }
    assert_eq!(pair.server.session.poll_writable(slow), Err(Blocked::Credit));
    let call = pair.open_call(Options::default());
    pair.server.reply(pair.now, call, b"");
}

#[test]
fn another_count_than_items_fails_the_call() {
    for count in [1, 3, u64::MAX] {
        let mut pair = Pair::standard();
        let id = pair.open_call(items_out());
        pair.server.item(id, b"");
        pair.server.item(id, b"");
        pair.drive();
        pair.client.events.clear();
        pair.client.inject(pair.now, &Message::End { id, count }).unwrap();
        let (_, failure) = pair.client.expect_failed();
        assert_eq!((failure.code, failure.executed), (ErrorCode::ProtocolError, Executed::Yes));
    }
}

#[test]
fn another_count_than_items_of_the_caller_ends_the_session() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_in());
    assert!(pair.server.inject(pair.now, &Message::End { id, count: 1 }).is_err());
}

#[test]
fn a_stream_that_is_cut_short_is_an_error() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    for _ in 0..3 {
        pair.server.item(id, b"");
    }
    pair.server.session.fail(id, ErrorCode::HandlerError, Executed::Yes, Body::empty()).unwrap();
    pair.drive();
    for _ in 0..3 {
        pair.client.expect_item();
    }
    assert_eq!(pair.client.expect_failed().1.code, ErrorCode::HandlerError);
}

#[test]
fn a_reader_that_leaves_silences_its_writer() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    pair.server.item(id, b"");
    pair.drive();
    pair.client.session.abandon(id);
    pair.client.events.clear();
    pair.drive();
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Cancelled }));
    assert_eq!(pair.server.session.poll_writable(id), Err(Blocked::Over));
    assert_eq!(pair.server.session.item(id, raw(b"")), Err(Blocked::Over));
    pair.server.take_sent();
    pair.drive();
    assert_eq!(pair.server.take_sent(), Vec::<String>::new());
    assert_eq!(pair.client.event(), None);
}

#[test]
fn a_cancelled_stream_is_told_of_no_credit() {
    let mut pair = Pair::ready(
        limits(|limits| limits.stream_items = 1),
        limits(|limits| limits.stream_items = 1),
    );
    let id = pair.open_call(duplex());
    pair.client.item(id, b"");
    pair.server.item(id, b"");
    assert_eq!(pair.client.session.poll_writable(id), Err(Blocked::Credit));
    assert_eq!(pair.server.session.poll_writable(id), Err(Blocked::Credit));
    pair.client.session.cancel(pair.now, id);
    assert_eq!(pair.client.session.poll_writable(id), Err(Blocked::Over));
    pair.client_sends();
    while !pair.server.inbox.is_empty() {
        pair.server.receive_one(pair.now);
    }
    pair.server.events.clear();
    let credit = Message::Credit { id, items: 1, bytes: 1 };
    pair.client.inject(pair.now, &credit).unwrap();
    pair.server.inject(pair.now, &credit).unwrap();
    assert_eq!((pair.client.event(), pair.server.event()), (None, None));
}

#[test]
fn a_stream_that_ended_is_told_of_no_credit() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.stream_items = 1));
    let id = pair.open_call(items_in());
    pair.client.item(id, b"");
    assert_eq!(pair.client.session.item(id, raw(b"")), Err(Blocked::Credit));
    pair.client.session.end_stream(pair.now, id).unwrap();
    pair.client.inject(pair.now, &Message::Credit { id, items: 1, bytes: 1 }).unwrap();
    assert_eq!(pair.client.event(), None);
}

#[test]
fn an_answer_ends_the_stream_of_the_caller() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_in());
    pair.client.item(id, b"");
    pair.server.reply(pair.now, id, b"enough");
    pair.drive();
    assert_eq!(pair.client.expect_reply(), (id, b"enough".to_vec()));
    assert_eq!(pair.client.session.item(id, raw(b"")), Err(Blocked::Over));
    assert_eq!(pair.server.event(), None, "an item that was on its way is for nobody");
    assert!(!pair.server.session.is_ended());
}

#[test]
fn a_stream_opened_before_the_welcome_gets_its_credit_then() {
    let mut pair = Pair::new(Config::default(), limits(|limits| limits.stream_items = 5));
    let id = pair.client.call(pair.now, b"", items_in());
    assert_eq!(pair.client.session.item(id, raw(b"")), Err(Blocked::Credit));
    pair.drive();
    assert_eq!(pair.client.event(), Some(Event::Ready));
    assert_eq!(pair.client.event(), Some(Event::Writable { id, token: Some(1) }));
    for _ in 0..5 {
        pair.client.item(id, b"");
    }
    assert_eq!(pair.client.session.item(id, raw(b"")), Err(Blocked::Credit));
    pair.drive();
    assert!(!pair.server.session.is_ended());
}

#[test]
fn a_value_where_a_stream_was_asked_for_fails_the_call() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    pair.server.reply(pair.now, id, b"one");
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::ProtocolError, Executed::Yes));
}

#[test]
fn a_stream_where_a_value_was_asked_for_fails_the_call() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    let (encoding, flags) = (Encoding::Raw, Flags::default());
    pair.client
        .inject(pair.now, &Message::Item { id, encoding, flags, total: None, body: b"" })
        .unwrap();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::ProtocolError, Executed::Yes));
    pair.drive();
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Cancelled }));
}

#[test]
fn an_item_above_the_limit_fails_its_call_and_promises_nothing() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_body = 100_000));
    let id = pair.open_call(items_in());
    pair.client.item(id, &[0; 100_001]);
    pair.drive();
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Cancelled }));
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::InvalidArgument, Executed::Maybe));
    assert!(error_map(&failure.body).0.contains("100001"));
    assert_eq!(pair.server.session.serving(), 0);
}

#[test]
fn an_item_above_the_limit_of_the_caller_fails_its_call() {
    let mut pair = Pair::ready(limits(|limits| limits.max_body = 100_000), Config::default());
    let id = pair.open_call(items_out());
    pair.server.item(id, &[0; 100_001]);
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::ResultTooLarge, Executed::Yes));
    assert_eq!(pair.server.event(), Some(Event::Cancelled { id, reason: Reason::Cancelled }));
}
