//! Long bodies: how they are cut, how they share the wire, and what a receiver holds.

use procall_proto::{
    Body, CallHeader, CallId, Config, Encoding, ErrorCode, Event, Executed, Flags, Message, NotifyHeader, Options,
};

use crate::pair::{Pair, error_map, items_in, items_out, limits, raw};

const CHUNK: usize = 64 << 10;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

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
fn a_body_of_exactly_a_chunk_goes_whole() {
    let mut pair = Pair::standard();
    pair.client.call(pair.now, &pattern(CHUNK), Options::default());
    pair.drive();
    assert_eq!(pair.client.take_sent(), ["call 1"]);
    assert_eq!(pair.server.expect_call().body.bytes(), pattern(CHUNK));
}

#[test]
fn a_body_of_one_byte_more_goes_in_chunks() {
    let mut pair = Pair::standard();
    let body = pattern(CHUNK + 1);
    pair.client.call(pair.now, &body, items_out());
    pair.client.call(pair.now, b"", Options::default());
    pair.drive();
    assert_eq!(pair.client.take_sent(), ["call 1", "call 3", "chunk 1", "last 1"]);
    assert_eq!(pair.server.expect_call().id, 3);
    assert_eq!(pair.server.expect_call().body.bytes(), body);
    pair.server.item(1, &body);
    pair.server.reply(pair.now, 3, &body);
    pair.drive();
    assert_eq!(pair.server.take_sent(), ["item 1", "reply 3", "chunk 1", "chunk 3", "last 1", "last 3"]);
    assert_eq!((pair.client.expect_item(), pair.client.expect_reply()), ((1, body.clone()), (3, body)));
}

#[test]
fn long_bodies_take_turns_and_nothing_waits_behind_more_than_a_chunk() {
    let mut pair = Pair::standard();
    for _ in 0..3 {
        pair.client.call(pair.now, &[0; 3 * CHUNK], Options::default());
    }
    let mut wire = Vec::new();
    let mut transmit = |pair: &mut Pair| {
        let message = pair.client.session.transmit()?;
        pair.client.sent.push(message);
        wire.extend(pair.client.take_sent());
        Some(())
    };
    for _ in 0..5 {
        transmit(&mut pair);
    }
    pair.client.call(pair.now, b"small", Options::default());
    pair.client.session.ping(pair.now).unwrap();
    while transmit(&mut pair).is_some() {}
    assert_eq!(wire, [
        "call 1", "call 3", "call 5", "chunk 1", "chunk 3", // then comes the ping, and a small call
        "ping", "call 7", "chunk 5", "chunk 1", "chunk 3", "chunk 5", "last 1", "last 3", "last 5",
    ]);
}

#[test]
fn small_messages_do_not_starve_a_long_body() {
    let mut pair = Pair::standard();
    pair.client.call(pair.now, &[0; 2 * CHUNK], Options::default());
    for _ in 0..20 {
        pair.client.call(pair.now, &[0; 10_000], Options::default());
    }
    pair.drive();
    let sent = pair.client.take_sent();
    let turns: Vec<_> = sent.iter().enumerate().filter(|(_, what)| !what.starts_with("call")).collect();
    assert_eq!(turns, [(8, &"chunk 1".to_owned()), (16, &"last 1".to_owned())]);
}

#[test]
fn ids_rise_on_the_wire_although_small_calls_overtake_long_bodies() {
    let mut pair = Pair::standard();
    for len in [100_000, 0, 200_000, 0, 300_000] {
        pair.client.call(pair.now, &pattern(len), Options::default());
        pair.client.session.notify("m", raw(&pattern(len)), &[]).unwrap();
    }
    pair.drive();
    assert!(!pair.server.session.is_ended());
    assert_eq!(pair.server.session.serving(), 5);
    assert_eq!(pair.server.events.len(), 10);
}

#[test]
fn items_keep_their_order_whatever_their_length() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    let lens = [0, 100_000, 1, 2, 200_000, 70_000, 3];
    for len in lens {
        pair.server.item(id, &pattern(len));
    }
    pair.server.session.end_stream(pair.now, id).unwrap();
    pair.drive();
    for len in lens {
        assert_eq!(pair.client.expect_item(), (id, pattern(len)));
    }
    assert_eq!(pair.client.event(), Some(Event::End { id, token: Some(1), count: 7 }));
}

#[test]
fn a_long_item_does_not_overtake_its_call() {
    for len in [0, 100_000] {
        let mut pair = Pair::standard();
        for _ in 0..20 {
            pair.client.call(pair.now, &[0; 10_000], Options::default());
        }
        let id = pair.client.call(pair.now, &pattern(len), items_in());
        pair.client.item(id, &pattern(100_000));
        pair.client.item(id, b"short");
        pair.client.session.end_stream(pair.now, id).unwrap();
        pair.drive();
        assert!(!pair.server.session.is_ended());
        assert_eq!(pair.server.events.drain(..20).count(), 20);
        assert_eq!(pair.server.expect_call().body.bytes(), pattern(len));
        assert_eq!(pair.server.expect_item(), (id, pattern(100_000)));
        assert_eq!(pair.server.expect_item(), (id, b"short".to_vec()));
        assert_eq!(pair.server.event(), Some(Event::End { id, token: None, count: 2 }));
    }
}

#[test]
fn chunks_have_the_size_of_the_more_modest_side() {
    for (client, server) in [(1000, 4000), (4000, 1000)] {
        let mut pair = Pair::ready(limits(|limits| limits.chunk = client), limits(|limits| limits.chunk = server));
        let id = pair.open_call(Options::default());
        pair.server.reply(pair.now, id, &pattern(2500));
        pair.drive();
        assert_eq!(pair.server.sent.iter().map(Vec::len).max(), Some(1010));
        assert_eq!(pair.client.expect_reply(), (id, pattern(2500)));
    }
}

#[test]
fn a_body_that_was_queued_before_the_handshake_keeps_to_what_the_peer_takes() {
    let mut pair = Pair::new(Config::default(), limits(|limits| limits.chunk = 500));
    pair.client.call(pair.now, &pattern(1200), Options::default());
    pair.greet();
    assert_eq!(pair.server.expect_call().body.bytes(), pattern(1200));
    assert_eq!(pair.client.take_sent(), ["hello", "call 1", "chunk 1", "chunk 1", "last 1"]);
}

#[test]
fn a_refused_request_stops() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_body = 500_000));
    let id = pair.client.call(pair.now, &[0; 500_001], Options::default());
    let header = pair.client.session.transmit().unwrap();
    pair.server.handle(pair.now, &header).unwrap();
    pair.server_sends();
    pair.client.receive_one(pair.now);
    let (of, failure) = pair.client.expect_failed();
    assert_eq!((of, failure.code, failure.executed), (id, ErrorCode::InvalidArgument, Executed::No));
    pair.drive();
    assert_eq!((pair.client.take_sent(), pair.client.session.queued()), (vec![], 0));
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
    let item =
        |total| Message::Item { id: 1, encoding: Encoding::Raw, flags: more(total), total, body: b"" };
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
        pair.client.inject(pair.now, &Message::Chunk { id, last: false, body: b"" }).unwrap();
    }
    assert_eq!((pair.client.session.counters().stray_chunks, pair.client.event()), (4, None));
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
    let ids: Vec<_> = (0..2).map(|_| pair.client.call(pair.now, &[0; 200_000], Options::default())).collect();
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
            pair.server.session.fail(id, ErrorCode::HandlerError, Executed::Yes, Body::empty()).unwrap();
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
        let long = |body| Message::Reply { id, encoding: Encoding::Raw, flags: more(total), total, body };
        pair.client.inject(pair.now, &long(&[0; 200_000])).unwrap();
        let reply = Message::Reply { id, encoding: Encoding::Raw, flags: more(None), total: None, body: b"" };
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
