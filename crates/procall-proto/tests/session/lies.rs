//! Messages of every kind, cut off, made up and thrown in: never a panic, and tables stay bounded.

use procall_proto::{
    Body, CallHeader, Config, Encoding, Event, Flags, Message, NotifyHeader, Options, Time,
};
use proptest::prelude::*;

use crate::pair::Pair;
use crate::words::{SECOND, encoded, items_in, items_out};

/// One message of every kind, with every element of its header.
fn every_kind() -> Vec<Message<'static>> {
    let (id, encoding, body) = (1, Encoding::Raw, &b"body"[..]);
    let (plain, more) = (Flags::default(), Flags::MORE);
    let meta = &[0x81, 0xa1, b'k', 1][..];
    let call = CallHeader {
        id,
        method: "m",
        encoding,
        flags: plain,
        total: None,
        timeout_ms: Some(50),
        meta,
    };
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
    pair.advance(SECOND);
    for peer in [&mut pair.client, &mut pair.server] {
        assert!(peer.session.calling() <= 1024 && peer.session.serving() <= 1024);
        assert!(peer.session.queued() < 1 << 20);
        if peer.session.is_ended() {
            assert_eq!(
                (peer.session.calling(), peer.session.serving(), peer.session.queued()),
                (0, 0, 0)
            );
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
