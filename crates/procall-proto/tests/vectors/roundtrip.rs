//! Any message survives, and any bytes are survived.

use procall_proto::{CallHeader, Encoding, Flags, Message, NotifyHeader, json};
use proptest::prelude::*;

fn encoding() -> impl Strategy<Value = Encoding> {
    any::<u8>().prop_map(Encoding::from_number)
}

/// Flags with the total that stands exactly when `MORE` is among them.
fn flags() -> impl Strategy<Value = (Flags, Option<u64>)> {
    (any::<u8>(), any::<u64>()).prop_map(|(bits, total)| {
        let flags = Flags(bits);
        (flags, flags.contains(Flags::MORE).then_some(total))
    })
}

fn meta() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![0x80]),
        Just(vec![0x82, 0xa1, b'a', 1, 0xa1, b'b', 0x91, 0xc0])
    ]
}

#[derive(Debug, Clone)]
struct Parts {
    kind: u8,
    numbers: [u64; 3],
    small: [u32; 2],
    optional: Option<u64>,
    encoding: Encoding,
    flags: Flags,
    total: Option<u64>,
    method: String,
    text: String,
    meta: Vec<u8>,
    body: Vec<u8>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let numbers = (0..18_u8, any::<[u64; 3]>(), any::<[u32; 2]>(), any::<Option<u64>>());
    let texts = ("\\PC{1,60}", "\\PC{0,300}", meta(), any::<Vec<u8>>());
    (numbers, encoding(), flags(), texts).prop_map(
        |(
            (kind, numbers, small, optional),
            encoding,
            (flags, total),
            (method, text, meta, body),
        )| {
            Parts {
                kind,
                numbers,
                small,
                optional,
                encoding,
                flags,
                total,
                method,
                text,
                meta,
                body,
            }
        },
    )
}

fn message(parts: &Parts) -> Message<'_> {
    let Parts {
        numbers: [id, second, third], small: [items, bytes], encoding, flags, total, ..
    } = *parts;
    let (text, body, method, meta) = (&*parts.text, &*parts.body, &*parts.method, &*parts.meta);
    let timeout_ms = parts.optional;
    match parts.kind {
        0 => Message::Hello { min: second, max: third, info: body },
        1 => Message::Welcome { version: second, info: body },
        2 => Message::Register { id, encoding, body },
        3 => Message::Registered { id, code: second, body },
        4 => {
            Message::Call(CallHeader { id, method, encoding, flags, total, timeout_ms, meta }, body)
        }
        5 => Message::Reply { id, encoding, flags, total, body },
        6 => Message::Error { id, code: second, executed: third, encoding, body },
        7 => Message::Notify(NotifyHeader { id, method, encoding, flags, total, meta }, body),
        8 => Message::Item { id, encoding, flags, total, body },
        9 => Message::End { id, count: second },
        10 => Message::Credit { id, items, bytes },
        11 => Message::Progress { id, done: second, total: parts.optional, text },
        12 => Message::Cancel { id, reason: second },
        13 => Message::Ping { nonce: id },
        14 => Message::Pong { nonce: id },
        15 => Message::Goaway { step: second, last_id: id, text },
        16 => Message::Fault { code: second, text },
        _ => Message::Chunk { id, last: items & 1 == 0, body },
    }
}

proptest! {
    #[test]
    fn any_message_survives(parts in parts()) {
        let message = message(&parts);
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        prop_assert_eq!(Message::decode(&bytes), Ok(Some(message)));
        for end in 0..bytes.len() {
            let _ = Message::decode(&bytes[..end]);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in any::<Vec<u8>>(), first in 0x90..0xa0_u8, kind in 0..20_u8) {
        let _ = Message::decode(&bytes);
        let mut header = vec![first, kind];
        header.extend(&bytes);
        let _ = Message::decode(&header);
        let _ = json::decode(&bytes);
        let _ = json::from_json(&bytes);
        let _ = json::to_json(&bytes);
        let _ = procall_proto::buffer::TypedBuffer::parse(&bytes);
    }

    /// A body that goes to JSON comes back as it was, in its shortest form.
    #[test]
    fn any_json_survives(text in "[\\[\\]{}\",:0-9eE.+$a\\\\u -]{0,40}") {
        if let Ok(body) = json::from_json(text.as_bytes()) {
            let json = json::to_json(&body).unwrap();
            prop_assert_eq!(json::from_json(&json).unwrap(), body);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        } else if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            // What only we refuse: marks, keys that stand twice, integers beyond 64 bits.
            let ours = text.contains('$') || text.contains('"') || text.len() > 19;
            prop_assert!(ours, "{:?} is {}", text, value);
        }
    }

    #[test]
    fn floats_survive(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let body = [&[0xcb][..], &value.to_be_bytes()].concat();
        match json::to_json(&body) {
            Ok(text) => prop_assert_eq!(json::from_json(&text).unwrap(), body),
            Err(_) => prop_assert!(!value.is_finite()),
        }
    }
}
