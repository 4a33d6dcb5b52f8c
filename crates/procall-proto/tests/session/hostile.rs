//! What a hostile peer may send: it is told or cut off, never believed, and harms nobody else.

use procall_proto::{CallHeader, Encoding, ErrorCode, Flags, Message, Options};

use crate::pair::Pair;
use crate::words::{encoded, items_in, items_out, limits, raw};

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
            for peer in [&mut pair.client, &mut pair.server] {
                let result = peer.inject(pair.now, &message).map_err(|fault| fault.code);
                assert_eq!(result, Err(ErrorCode::ProtocolError), "{message:?}");
            }
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
        Message::Call(
            CallHeader { id, method, encoding, flags, total: None, timeout_ms: None, meta: &[] },
            b"",
        )
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
    assert!(
        pair.server
            .inject(pair.now, &Message::Item { id, encoding, flags, total: None, body: b"" })
            .is_err()
    );
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
            _ => Message::Chunk { id, last: false, body: &[7; 256] },
        };
        pair.client.inject(pair.now, &message).unwrap();
    }
    assert_eq!(
        (pair.client.event(), pair.client.session.calling(), pair.client.session.queued()),
        (None, 0, 0)
    );
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

#[test]
fn a_peer_that_calls_on_without_reading_its_answers_is_cut_off() {
    let config = || limits(|limits| limits.max_queued = 10_000);
    let mut pair = Pair::ready(config(), config());
    let result = (1_u64..100_000).step_by(2).find_map(|id| {
        let header = CallHeader {
            id,
            method: "add",
            encoding: Encoding::None,
            flags: Flags::ITEMS_IN,
            total: None,
            timeout_ms: Some(0),
            meta: &[],
        };
        pair.server.session.handle_message(pair.now, &encoded(&Message::Call(header, b""))).err()
    });
    assert_eq!(result.map(|fault| fault.code), Some(ErrorCode::ProtocolError));
}
