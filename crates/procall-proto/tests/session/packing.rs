//! Compression: agreed upon in the handshake, message by message, and no way to hurt anybody.

use procall_proto::{Body, Config, ErrorCode, Message, Options};
use serde_json::Value;

use crate::pair::Pair;
use crate::words::items_out;

fn packing() -> Config {
    Config { compression: true, ..Config::default() }
}

fn agreed() -> Pair {
    Pair::ready(packing(), packing())
}

fn is_packed(message: &[u8]) -> bool {
    matches!(Message::decode(message), Ok(Some(Message::Packed { .. })))
}

fn text(len: usize) -> Vec<u8> {
    b"what repeats itself is short; ".iter().copied().cycle().take(len).collect()
}

/// A call with this body and its answer, the same; how many bytes each side has sent for it.
fn echo(pair: &mut Pair, body: &[u8]) -> (usize, usize) {
    pair.client.call(pair.now, body, Options::default());
    pair.drive();
    let call = pair.server.expect_call();
    assert!(call.body.bytes() == body);
    pair.server.reply(pair.now, call.id, body);
    pair.drive();
    assert!(pair.client.expect_reply().1 == body);
    let bytes = |sent: &[Vec<u8>]| sent.iter().map(Vec::len).sum();
    (bytes(&pair.client.sent), bytes(&pair.server.sent))
}

#[test]
fn messages_are_packed_when_both_sides_want_it() {
    for (client, server, packed) in
        [(true, true, true), (true, false, false), (false, true, false), (false, false, false)]
    {
        let config = |compression| Config { compression, ..Config::default() };
        let mut pair = Pair::ready(config(client), config(server));
        let (asked, answered) = echo(&mut pair, &text(20_000));
        assert_eq!((asked < 2_000, answered < 2_000), (packed, packed), "{asked}, {answered}");
    }
}

#[test]
fn the_handshake_itself_is_never_packed() {
    let long = Config { features: vec!["the same; ".repeat(20); 60], ..packing() };
    let mut pair = Pair::new(
        long.clone(),
        Config {
            limits: procall_proto::Limits { max_handshake_message: 1 << 16, ..Default::default() },
            ..long
        },
    );
    pair.greet();
    assert!(pair.client.sent[0].len() > 4096 && !is_packed(&pair.client.sent[0]));
    assert!(pair.server.sent[0].len() > 4096 && !is_packed(&pair.server.sent[0]));
}

#[test]
fn short_messages_and_those_that_would_not_get_shorter_go_as_they_are() {
    let mut pair = agreed();
    echo(&mut pair, &text(900));
    let mut state = 7_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(30_000)
    .collect();
    echo(&mut pair, &noise);
    assert!(!pair.client.sent.iter().chain(&pair.server.sent).any(|message| is_packed(message)));
}

#[test]
fn long_bodies_are_packed_part_by_part() {
    let mut pair = agreed();
    let (asked, answered) = echo(&mut pair, &text(1 << 20));
    assert!(asked < 50_000 && answered < 50_000, "{asked}, {answered}");
    let packed = pair.client.sent.iter().filter(|message| is_packed(message)).count();
    assert_eq!(packed, 16, "64 KiB each");
    let (_, both) = echo(&mut pair, &vec![0; 1 << 20]);
    assert!(both - answered < 50_000, "zeros pack better than anybody may believe");
}

#[test]
fn items_are_packed_and_their_credit_is_that_of_what_they_hold() {
    let mut pair = agreed();
    pair.client.call(pair.now, b"", items_out());
    pair.drive();
    let call = pair.server.expect_call();
    let item = text(40_000);
    let mut sent = 0;
    while pair.server.session.item(call.id, Body::msgpack(&item)).is_ok() {
        sent += 1;
    }
    // 1 MiB of credit, and the item that crosses it.
    assert_eq!(sent, (1 << 20) / 40_000 + 1);
    pair.drive();
    for _ in 0..sent {
        assert!(pair.client.expect_item().1 == item);
    }
}

#[test]
fn a_ping_does_not_wait_behind_more_than_one_message() {
    let mut pair = agreed();
    pair.client.call(pair.now, &text(1 << 20), Options::default());
    pair.client.session.transmit().expect("the header of the call");
    assert!(pair.client.session.transmit_len().is_some_and(|len| len < 5000), "a packed part");
    pair.server.inject(pair.now, &Message::Ping { nonce: 1 }).unwrap();
    pair.client.inject(pair.now, &Message::Ping { nonce: 7 }).unwrap();
    pair.client_sends();
    let pong = pair
        .client
        .sent
        .iter()
        .position(|sent| matches!(Message::decode(sent), Ok(Some(Message::Pong { nonce: 7 }))));
    assert_eq!(pong, Some(1));
}

#[test]
fn nobody_may_pack_who_has_not_said_so() {
    let mut pair = Pair::standard();
    let ping = Message::Packed { len: 3, body: &[0x30, 0x92, 13, 7] };
    let fault = pair.server.inject(pair.now, &ping).unwrap_err();
    assert_eq!(fault.code, ErrorCode::ProtocolError);
    assert!(fault.message.contains("compression was not agreed upon"), "{}", fault.message);
    let mut early = Pair::new(packing(), packing());
    early.server.inject(early.now, &ping).unwrap_err();
}

#[test]
fn the_golden_vectors_unpack_or_end_the_session() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/packed.json");
    let entries: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let bytes = |entry: &Value, key: &str| -> Option<Vec<u8>> {
        let digits = entry[key].as_str()?.as_bytes();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        Some(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect())
    };
    let (mut good, mut bad) = (0, 0);
    for entry in &entries {
        let packed = bytes(entry, "hex").unwrap();
        let (mut one, mut other) = (agreed(), agreed());
        let arrived = one.server.handle(one.now, &packed);
        match bytes(entry, "message") {
            Some(plain) => {
                good += 1;
                arrived.unwrap();
                other.server.handle(other.now, &plain).unwrap();
                assert_eq!(one.server.events, other.server.events, "{entry}");
                one.server_sends();
                other.server_sends();
                assert_eq!(one.server.sent, other.server.sent, "{entry}");
            }
            None => {
                bad += 1;
                let fault = arrived.expect_err(&entry.to_string());
                assert_eq!(fault.code, ErrorCode::ProtocolError, "{entry}");
            }
        }
    }
    assert_eq!((good, bad), (2, 9));
}

#[test]
fn a_bomb_ends_its_own_session_with_a_reason_and_takes_no_memory() {
    let mut pair = agreed();
    let body = vec![0xff; 1000];
    let bomb = Message::Packed { len: 100_001, body: &body };
    let fault = pair.server.inject(pair.now, &bomb).unwrap_err();
    assert!(fault.message.contains("more than 100 to 1"), "{}", fault.message);
    let mut pair = agreed();
    let huge = Message::Packed { len: u64::MAX, body: &body };
    let fault = pair.server.inject(pair.now, &huge).unwrap_err();
    assert!(fault.message.contains("the limit is 1048576"), "{}", fault.message);
}
