//! Long bodies as their receiver sees them: what it checks, and what it holds.

use procall_proto::{
    Body, CallHeader, CallId, Config, Encoding, ErrorCode, Event, Executed, Flags, Message,
    NotifyHeader, Options,
};

use crate::pair::Pair;
use crate::words::{error_map, items_in, items_out, limits};

fn call_head(id: CallId, total: u64) -> CallHeader<'static> {
    CallHeader {
        id,
        method: "m",
        encoding: Encoding::Raw,
        flags: Flags::MORE,
        total: Some(total),
        timeout_ms: None,
        meta: &[],
    }
}

#[test]
fn what_breaks_the_rules_of_chunks_ends_the_session() {
    let start = |total, first| Message::Call(call_head(1, total), first);
    let chunk = |last, body| Message::Chunk { id: 1, last, body };
    let cases: [(&str, Vec<Message<'_>>); 7] = [
        ("complete with its first part", vec![start(3, b"abc")]),
        ("longer than its total with its first part", vec![start(3, b"abcd")]),
        ("empty in chunks", vec![start(0, b"")]),
        ("a small chunk that is not the last", vec![start(1000, b""), chunk(false, &[0; 255])]),
        ("longer than its total", vec![start(300, b""), chunk(true, &[0; 301])]),
        ("shorter than its total", vec![start(300, b""), chunk(true, &[0; 299])]),
        ("complete without its last chunk", vec![start(300, b""), chunk(false, &[0; 300])]),
    ];
    for (what, mut messages) in cases {
        let mut pair = Pair::standard();
        let last = messages.pop().unwrap();
        for message in messages {
            pair.server.inject(pair.now, &message).expect(what);
        }
        let fault = pair.server.inject(pair.now, &last).expect_err(what);
        assert_eq!(fault.code, ErrorCode::ProtocolError, "{what}");
    }
}

#[test]
fn chunks_of_256_bytes_are_long_enough() {
    let mut pair = Pair::standard();
    pair.server.inject(pair.now, &Message::Call(call_head(1, 513), b"")).unwrap();
    for (last, body) in [(false, &[0; 256][..]), (false, &[0; 256]), (true, &[0; 1])] {
        pair.server.inject(pair.now, &Message::Chunk { id: 1, last, body }).unwrap();
    }
    assert_eq!(pair.server.expect_call().body.bytes().len(), 513);
}

#[test]
fn an_item_may_not_overtake_the_one_before_it() {
    let item = |total| Message::Item {
        id: 1,
        encoding: Encoding::Raw,
        flags: more(total),
        total,
        body: b"",
    };
    for second in [None, Some(1000)] {
        let mut pair = Pair::standard();
        pair.open_call(Options { items_in: true, ..items_out() });
        for peer in [&mut pair.client, &mut pair.server] {
            peer.inject(pair.now, &item(Some(1000))).unwrap();
            assert!(peer.inject(pair.now, &item(second)).is_err());
        }
    }
}

#[test]
fn an_end_before_a_long_item_is_complete_is_wrong() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    let total = Some(1000);
    let item = Message::Item { id, encoding: Encoding::Raw, flags: more(total), total, body: b"" };
    pair.client.inject(pair.now, &item).unwrap();
    pair.client.inject(pair.now, &Message::End { id, count: 1 }).unwrap();
    assert_eq!(pair.client.expect_failed().1.code, ErrorCode::ProtocolError);
}

#[test]
fn chunks_that_nobody_waits_for_are_counted() {
    let mut pair = Pair::standard();
    for id in [0, 1, 2, u64::MAX] {
        let message = Message::Chunk { id, last: false, body: &[7; 256] };
        pair.client.inject(pair.now, &message).unwrap();
    }
    assert_eq!((pair.client.session.counters().stray_chunks, pair.client.event()), (4, None));
}

#[test]
fn a_tiny_chunk_ends_the_session_even_when_nobody_waits_for_it() {
    let mut pair = Pair::standard();
    let message = Message::Chunk { id: 1, last: false, body: &[7; 255] };
    let fault = pair.client.inject(pair.now, &message).unwrap_err();
    assert_eq!(fault.code, ErrorCode::ProtocolError);
}

#[test]
fn a_body_may_claim_to_be_long_but_only_what_arrived_takes_memory() {
    let config = || {
        limits(|limits| {
            limits.max_body = 1 << 60;
            limits.max_assembly = 2000;
        })
    };
    let mut pair = Pair::ready(config(), config());
    for id in (1..40).step_by(2) {
        pair.server.inject(pair.now, &Message::Call(call_head(id, 1 << 59), &[0; 100])).unwrap();
    }
    pair.server_sends();
    assert_eq!(pair.server.take_sent(), Vec::<String>::new(), "none is refused");
    pair.server.inject(pair.now, &Message::Call(call_head(41, 1 << 59), &[0])).unwrap();
    pair.server_sends();
    assert_eq!(pair.server.take_sent(), ["error 41"]);
}

#[test]
fn unfinished_requests_beyond_the_bound_are_refused() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_assembly = 250_000));
    let ids: Vec<_> =
        (0..2).map(|_| pair.client.call(pair.now, &[0; 200_000], Options::default())).collect();
    pair.drive();
    let (of, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Overloaded, Executed::No));
    assert_eq!(error_map(&failure.body).1, Some(100));
    assert_eq!(ids.iter().sum::<u64>() - of, pair.server.expect_call().id, "the other one arrived");
    // The memory is free again.
    pair.client.call(pair.now, &[0; 200_000], Options::default());
    pair.drive();
    pair.server.expect_call();
}

#[test]
fn an_unfinished_result_beyond_the_bound_fails_its_call() {
    let mut pair = Pair::ready(limits(|limits| limits.max_assembly = 100_000), Config::default());
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, &[0; 200_000]);
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::ResultTooLarge, Executed::Yes));
    assert_eq!(pair.client.session.calling(), 0);
}

#[test]
fn a_result_that_claims_too_much_fails_its_call() {
    let mut pair = Pair::ready(limits(|limits| limits.max_body = 100_000), Config::default());
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, &[0; 100_001]);
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::ResultTooLarge, Executed::Yes));
    assert!(!pair.client.session.is_ended());
}

#[test]
fn an_answer_frees_what_was_arriving_for_its_call() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_assembly = 250_000));
    for round in 0..10 {
        let id = pair.open_call(items_in());
        pair.client.item(id, &[0; 200_000]);
        for _ in 0..3 {
            let message = pair.client.session.transmit().unwrap();
            pair.server.handle(pair.now, &message).unwrap();
        }
        if round % 2 == 0 {
            pair.server.reply(pair.now, id, b"enough");
        } else {
            pair.server
                .session
                .fail(id, ErrorCode::HandlerError, Executed::Yes, Body::empty())
                .unwrap();
        }
        pair.drive();
        assert!(pair.client.event().is_some());
    }
    pair.client.call(pair.now, &[0; 200_000], Options::default());
    pair.drive();
    assert_eq!(pair.server.expect_call().body.bytes().len(), 200_000);
}

#[test]
fn a_reply_frees_what_was_arriving_before_it() {
    let mut pair = Pair::ready(limits(|limits| limits.max_assembly = 250_000), Config::default());
    let total = Some(300_000);
    for _ in 0..10 {
        let id = pair.open_call(Options::default());
        let long =
            |body| Message::Reply { id, encoding: Encoding::Raw, flags: more(total), total, body };
        pair.client.inject(pair.now, &long(&[0; 200_000])).unwrap();
        let reply = Message::Reply {
            id,
            encoding: Encoding::Raw,
            flags: more(None),
            total: None,
            body: b"",
        };
        pair.client.inject(pair.now, &reply).unwrap();
        assert_eq!(pair.client.expect_reply().0, id);
    }
}

#[test]
fn unfinished_notifications_are_bounded_in_number() {
    let mut pair = Pair::standard();
    for at in 0..2000 {
        let header = NotifyHeader {
            id: 2 * at + 1,
            method: "m",
            encoding: Encoding::Raw,
            flags: Flags::MORE,
            total: Some(1000),
            meta: &[],
        };
        pair.server.inject(pair.now, &Message::Notify(header, b"")).unwrap();
    }
    assert_eq!(pair.server.session.counters().dropped, 2000 - 1024);
    // Those that were taken arrive.
    pair.server.inject(pair.now, &Message::Chunk { id: 1, last: true, body: &[0; 1000] }).unwrap();
    assert!(matches!(pair.server.event(), Some(Event::Notify { .. })));
}

/// The flags of a value with such a total.
fn more(total: Option<u64>) -> Flags {
    Flags::default().with(Flags::MORE, total.is_some())
}
