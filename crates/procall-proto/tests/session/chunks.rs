//! Long bodies: how they are cut, how they share the wire, and what a receiver holds.

use procall_proto::{Config, ErrorCode, Event, Executed, Options};

use crate::pair::Pair;
use crate::words::{items_in, items_out, limits, raw};

const CHUNK: usize = 64 << 10;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
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
    assert_eq!(
        pair.server.take_sent(),
        ["item 1", "reply 3", "chunk 1", "chunk 3", "last 1", "last 3"]
    );
    assert_eq!(
        (pair.client.expect_item(), pair.client.expect_reply()),
        ((1, body.clone()), (3, body))
    );
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
    assert_eq!(
        wire,
        [
            "call 1", "call 3", "call 5", "chunk 1",
            "chunk 3", // then comes the ping, and a small call
            "ping", "call 7", "chunk 5", "chunk 1", "chunk 3", "chunk 5", "last 1", "last 3",
            "last 5",
        ]
    );
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
    let turns: Vec<_> =
        sent.iter().enumerate().filter(|(_, what)| !what.starts_with("call")).collect();
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
        let mut pair = Pair::ready(
            limits(|limits| limits.chunk = client),
            limits(|limits| limits.chunk = server),
        );
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
    assert_eq!(
        (of, failure.code, failure.executed),
        (id, ErrorCode::InvalidArgument, Executed::No)
    );
    pair.drive();
    assert_eq!((pair.client.take_sent(), pair.client.session.queued()), (vec![], 0));
}
