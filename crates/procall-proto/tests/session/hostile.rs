//! What a hostile peer may send: it is told or cut off, never believed, and harms nobody else.

use procall_proto::{
    Body, CallHeader, Config, Encoding, ErrorCode, Event, Flags, Message, NotifyHeader, Options, Time,
};
use proptest::prelude::*;

use crate::pair::{Pair, encoded, items_in, items_out, raw};

/// One message of every kind, with every element of its header.
fn every_kind() -> Vec<Message<'static>> {
    let (id, encoding, body) = (1, Encoding::Raw, &b"body"[..]);
    let (plain, more) = (Flags::default(), Flags::MORE);
    let meta = &[0x81, 0xa1, b'k', 1][..];
    let call = CallHeader { id, method: "m", encoding, flags: plain, total: None, timeout_ms: Some(50), meta };
    let long_call = CallHeader { id, flags: more, total: Some(1000), ..call.clone() };
    let notify = NotifyHeader { id, method: "m", encoding, flags: more, total: Some(1000), meta };
    vec![
        Message::Hello { min: 1, max: 1, info: &[0x80] },
        Message::Welcome { version: 1, info: &[0x80] },
        Message::Register { id, encoding, body },
        Message::Registered { id, code: 1, body },
        Message::Call(call, body),
        Message::Call(long_call, body),
        Message::Reply { id, encoding, flags: plain, total: None, body },
        Message::Reply { id, encoding, flags: more, total: Some(1000), body },
        Message::Error { id, code: 1, executed: 2, encoding, body },
        Message::Notify(notify, body),
        Message::Item { id, encoding, flags: plain, total: None, body },
        Message::Item { id, encoding, flags: more, total: Some(1000), body },
        Message::End { id, count: 1 },
        Message::Credit { id, items: u32::MAX, bytes: u32::MAX },
        Message::Progress { id, done: 1, total: Some(2), text: "half" },
        Message::Cancel { id, reason: 1 },
        Message::Ping { nonce: 1 },
        Message::Pong { nonce: 1 },
        Message::Goaway { step: 2, last_id: 1, text: "bye" },
        Message::Fault { code: 18, text: "bye" },
        Message::Chunk { id, last: true, body },
    ]
}

/// A pair with a call in every direction and of every form, so that messages find something to hit.
fn busy() -> Pair {
    let mut pair = Pair::standard();
    let duplex = || Options { items_in: true, ..items_out() };
    for options in [Options::default(), items_in(), items_out(), duplex()] {
        pair.client.call(pair.now, b"", options.clone());
        pair.server.call(pair.now, b"", options);
    }
    pair.client.session.register(Body::empty()).unwrap();
    pair.server.session.register(Body::empty()).unwrap();
    pair.client.call(pair.now, &[0; 100_000], Options::default());
    pair.drive();
    pair.client.session.cancel(pair.now, 3);
    pair.client.session.abandon(5);
    pair
}

#[test]
fn a_message_that_was_cut_off_is_an_error_and_no_panic() {
    for message in every_kind() {
        let bytes = encoded(&message);
        for len in 0..bytes.len() {
            for mut pair in [busy(), Pair::new(Config::default(), Config::default())] {
                _ = pair.client.handle(pair.now, &bytes[..len]);
                _ = pair.server.handle(pair.now, &bytes[..len]);
            }
        }
        // The header alone decides: cut inside it, a message is malformed.
        for len in 1..bytes.len() - body_len(&message) {
            assert!(Message::decode(&bytes[..len]).is_err(), "{message:?} cut to {len}");
        }
    }
}

/// The bytes after the header.
fn body_len(message: &Message<'_>) -> usize {
    match message {
        Message::Hello { info: body, .. }
        | Message::Welcome { info: body, .. }
        | Message::Register { body, .. }
        | Message::Registered { body, .. }
        | Message::Call(_, body)
        | Message::Notify(_, body)
        | Message::Reply { body, .. }
        | Message::Error { body, .. }
        | Message::Item { body, .. }
        | Message::Chunk { body, .. } => body.len(),
        _ => 0,
    }
}

#[test]
fn an_answer_to_a_call_that_was_never_made_ends_the_session() {
    let (encoding, plain, more) = (Encoding::None, Flags::default(), Flags::MORE);
    for id in [0, 2, 3, u64::MAX] {
        let messages = [
            Message::Reply { id, encoding, flags: plain, total: None, body: b"" },
            Message::Reply { id, encoding, flags: more, total: Some(1000), body: b"" },
            Message::Error { id, code: 1, executed: 0, encoding, body: b"" },
        ];
        for message in messages {
            let mut pair = Pair::standard();
            pair.open_call(Options::default());
            let result = pair.client.inject(pair.now, &message);
            assert_eq!(result.map_err(|fault| fault.code), Err(ErrorCode::ProtocolError), "{message:?}");
        }
    }
}

#[test]
fn an_item_or_end_for_a_call_that_was_never_made_ends_the_session() {
    let (encoding, flags) = (Encoding::None, Flags::default());
    for id in [3, 4] {
        for end in [false, true] {
            let mut pair = Pair::standard();
            pair.open_call(items_out());
            let item = Message::Item { id, encoding, flags, total: None, body: b"" };
            let message = if end { Message::End { id, count: 0 } } else { item };
            assert!(pair.client.inject(pair.now, &message).is_err(), "{message:?}");
            assert!(pair.server.inject(pair.now, &message).is_err(), "{message:?}");
        }
    }
}

#[test]
fn ids_that_are_taken_sink_or_belong_to_the_other_side_end_the_session() {
    let call = |id| {
        let (method, encoding, flags) = ("m", Encoding::None, Flags::default());
        Message::Call(CallHeader { id, method, encoding, flags, total: None, timeout_ms: None, meta: &[] }, b"")
    };
    for id in [0, 2, 5, 7, 8] {
        let mut pair = Pair::standard();
        pair.server.inject(pair.now, &call(7)).unwrap();
        assert!(pair.server.inject(pair.now, &call(id)).is_err(), "id {id}");
    }
    let mut pair = Pair::standard();
    assert!(pair.client.inject(pair.now, &call(1)).is_err(), "odd ids are the client's");
}

#[test]
fn an_answer_that_comes_twice_is_late() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    pair.client.inject(pair.now, &Message::End { id, count: 0 }).unwrap();
    pair.client.event().unwrap();
    pair.client.inject(pair.now, &Message::End { id, count: 0 }).unwrap();
    assert_eq!((pair.client.event(), pair.client.session.counters().late), (None, 1));
}

#[test]
fn an_end_of_the_caller_that_comes_twice_ends_the_session() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_in());
    pair.server.inject(pair.now, &Message::End { id, count: 0 }).unwrap();
    assert!(pair.server.inject(pair.now, &Message::End { id, count: 0 }).is_err());
}

#[test]
fn an_item_after_the_end_ends_the_session() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_in());
    pair.server.inject(pair.now, &Message::End { id, count: 0 }).unwrap();
    let (encoding, flags) = (Encoding::None, Flags::default());
    assert!(pair.server.inject(pair.now, &Message::Item { id, encoding, flags, total: None, body: b"" }).is_err());
}

#[test]
fn credit_without_end_is_no_overflow() {
    let mut pair = Pair::standard();
    let id = pair.open_call(items_out());
    let credit = Message::Credit { id, items: u32::MAX, bytes: u32::MAX };
    for _ in 0..1000 {
        pair.server.inject(pair.now, &credit).unwrap();
    }
    for _ in 0..1000 {
        pair.server.item(id, b"");
    }
    assert_eq!(pair.server.session.poll_writable(id), Ok(()));
}

#[test]
fn credit_for_a_call_without_a_stream_is_nothing() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    for id in [id, 0, 2, 99] {
        let credit = Message::Credit { id, items: 1, bytes: 1 };
        pair.client.inject(pair.now, &credit).unwrap();
        pair.server.inject(pair.now, &credit).unwrap();
    }
    assert_eq!((pair.client.event(), pair.server.event()), (None, None));
}

#[test]
fn a_hundred_thousand_calls_are_served_to_the_bound_and_refused_beyond() {
    let mut pair = Pair::standard();
    for at in 0..100_000 {
        let more = at % 3 == 0;
        let header = CallHeader {
            id: 2 * at + 1,
            method: "m",
            encoding: Encoding::Raw,
            flags: Flags::default().with(Flags::MORE, more),
            total: more.then_some(1 << 20),
            timeout_ms: None,
            meta: &[],
        };
        pair.server.inject(pair.now, &Message::Call(header, b"x")).unwrap();
        pair.server_sends();
        pair.server.sent.clear();
        pair.client.inbox.clear();
    }
    assert!(pair.server.session.serving() <= 1024);
    assert_eq!(pair.server.session.counters().refused, 100_000 - 1024);
    assert_eq!(pair.server.session.queued(), 0);
}

#[test]
fn answers_without_end_leave_nothing_behind() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, b"");
    pair.drive();
    pair.client.expect_reply();
    let (encoding, total) = (Encoding::Raw, Some(1 << 20));
    for at in 0..100_000_u32 {
        let message = match at % 5 {
            0 => Message::Reply { id, encoding, flags: Flags::MORE, total, body: b"x" },
            1 => Message::Item { id, encoding, flags: Flags::MORE, total, body: b"x" },
            2 => Message::End { id, count: 0 },
            3 => Message::Progress { id, done: 1, total: None, text: "" },
            _ => Message::Chunk { id, last: false, body: &[] },
        };
        pair.client.inject(pair.now, &message).unwrap();
    }
    assert_eq!((pair.client.event(), pair.client.session.calling(), pair.client.session.queued()), (None, 0, 0));
    assert_eq!(pair.client.session.counters().late, 60_000);
}

#[test]
fn a_bomb_in_a_header_is_an_error() {
    let deep = [&[0x9f, 13, 1][..], &[0x91; 1_000_000]].concat();
    let wide = [&[0x9f, 13, 1][..], &[0xdd, 0xff, 0xff, 0xff, 0xff], &[0xc0; 1000]].concat();
    let long = [&[0x98, 4, 1][..], &[0xdb, 0xff, 0xff, 0xff, 0xff], b"m"].concat();
    for bytes in [deep, wide, long] {
        // On a stack that recursion over the input would exhaust.
        let work = move || {
            let mut pair = Pair::standard();
            assert!(pair.server.handle(pair.now, &bytes).is_err());
        };
        std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap();
    }
}

#[test]
fn names_of_any_characters_are_names() {
    for name in ["\0", "\u{202e}gnol", "ä.ö", &"x".repeat(255)] {
        let mut pair = Pair::standard();
        pair.client.session.call(pair.now, name, raw(b""), Options::default(), 0).unwrap();
        pair.drive();
        assert_eq!(pair.server.expect_call().method, name);
    }
}

#[test]
fn bad_utf8_in_a_name_ends_the_session() {
    let mut pair = Pair::standard();
    assert!(pair.server.handle(pair.now, &[0x95, 4, 1, 0xa1, 0xff, 0, 0]).is_err());
}

/// Numbers near those that are in use, and the extremes.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..12, 1 => Just(1 << 53), 1 => Just(u64::MAX), 1 => any::<u64>()]
}

prop_compose! {
    /// A well-formed message that means nothing good.
    fn hostile()(kind in 2_usize..21, id in number(), a in number(), b in number(), more in any::<bool>()) -> Vec<u8> {
        let (flags, total) = (Flags((b as u8) & !1).with(Flags::MORE, more), more.then_some(a));
        let message = match every_kind().swap_remove(kind) {
            Message::Call(call, body) => Message::Call(CallHeader { id, flags, total, timeout_ms: Some(b), ..call }, body),
            Message::Notify(notify, body) => Message::Notify(NotifyHeader { id, flags, total, ..notify }, body),
            Message::Reply { encoding, body, .. } => Message::Reply { id, encoding, flags, total, body },
            Message::Item { encoding, body, .. } => Message::Item { id, encoding, flags, total, body },
            Message::Error { encoding, body, .. } => Message::Error { id, code: a, executed: b, encoding, body },
            Message::Register { encoding, body, .. } => Message::Register { id, encoding, body },
            Message::Registered { body, .. } => Message::Registered { id, code: a, body },
            Message::End { .. } => Message::End { id, count: a },
            Message::Credit { .. } => Message::Credit { id, items: a as u32, bytes: b as u32 },
            Message::Progress { text, .. } => Message::Progress { id, done: a, total: Some(b), text },
            Message::Cancel { .. } => Message::Cancel { id, reason: a },
            Message::Ping { .. } => Message::Ping { nonce: a },
            Message::Pong { .. } => Message::Pong { nonce: a },
            Message::Goaway { text, .. } => Message::Goaway { step: a, last_id: b, text },
            Message::Chunk { body, .. } => Message::Chunk { id, last: more, body },
            other => other,
        };
        encoded(&message)
    }
}

/// After whatever came: tables are bounded, and a session that is over has given every call its outcome.
fn check(pair: &mut Pair) {
    pair.advance(crate::pair::SECOND);
    for peer in [&mut pair.client, &mut pair.server] {
        assert!(peer.session.calling() <= 1024 && peer.session.serving() <= 1024);
        assert!(peer.session.queued() < 1 << 20);
        if peer.session.is_ended() {
            assert_eq!((peer.session.calling(), peer.session.serving(), peer.session.queued()), (0, 0, 0));
            assert_eq!(peer.session.poll_timeout(), Time::NEVER);
            let ends = peer.events.iter().filter(|event| matches!(event, Event::Ended(_))).count();
            assert_eq!(ends, 1);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..8)) {
        let mut pair = busy();
        for mut bytes in messages {
            _ = pair.client.handle(pair.now, &bytes);
            // Most random bytes are refused at the first one.
            if let Some(first) = bytes.first_mut() {
                *first = 0x90 | *first & 0x0f;
            }
            _ = pair.server.handle(pair.now, &bytes);
        }
        check(&mut pair);
    }

    #[test]
    fn well_formed_lies_never_panic(messages in prop::collection::vec((any::<bool>(), hostile()), 1..400)) {
        let mut pair = busy();
        for (to_client, bytes) in messages {
            let peer = if to_client { &mut pair.client } else { &mut pair.server };
            _ = peer.handle(pair.now, &bytes);
        }
        check(&mut pair);
    }
}
