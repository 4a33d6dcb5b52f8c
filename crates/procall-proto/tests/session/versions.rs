//! Older and newer peers.

use procall_proto::{Config, ErrorCode, Event, Message, Time, VERSION, VERSION_MIN};

use crate::pair::Pair;
use crate::words::encoded;

#[test]
fn the_newest_common_version_is_chosen() {
    for (min, max) in
        [(VERSION, VERSION), (VERSION, VERSION + 1), (VERSION - 1, VERSION), (0, u64::MAX)]
    {
        let mut pair = Pair::new(Config::default(), Config::default());
        pair.server.inject(pair.now, &Message::Hello { min, max, info: &[0x80] }).unwrap();
        pair.server_sends();
        let (_, welcome) = pair.client.inbox.pop_front().unwrap();
        assert!(matches!(
            Message::decode(&welcome),
            Ok(Some(Message::Welcome { version: VERSION, .. }))
        ));
    }
}

#[test]
fn peers_without_a_common_version_are_told_which_they_speak() {
    for (min, max) in [(VERSION + 1, VERSION + 2), (0, VERSION_MIN - 1), (VERSION + 4, VERSION)] {
        let mut pair = Pair::new(Config::default(), Config::default());
        let fault =
            pair.server.inject(pair.now, &Message::Hello { min, max, info: &[0x80] }).unwrap_err();
        assert_eq!(fault.code, ErrorCode::VersionMismatch);
        let expected = format!(
            "this side speaks protocol {VERSION_MIN} to {VERSION}, the peer {min} to {max}: update the older of the two"
        );
        assert_eq!(fault.message, expected);
        pair.server_sends();
        pair.client.receive_one(pair.now);
        let ended = pair.client.expect_ended();
        assert_eq!(
            (ended.code, ended.message, ended.remote),
            (ErrorCode::VersionMismatch, expected, true)
        );
    }
}

#[test]
fn a_version_that_was_not_offered_is_refused() {
    for version in [VERSION_MIN - 1, VERSION + 1] {
        let mut pair = Pair::new(Config::default(), Config::default());
        let fault =
            pair.client.inject(pair.now, &Message::Welcome { version, info: &[0x80] }).unwrap_err();
        assert_eq!(fault.code, ErrorCode::VersionMismatch);
    }
}

#[test]
fn kinds_of_later_versions_are_skipped() {
    let mut pair = Pair::standard();
    for message in [&[0x91, 31][..], &[0x93, 0xcd, 1, 0, 0xc1, 0xc1], &[0x92, 99, 1, 2, 3]] {
        pair.server.handle(pair.now, message).unwrap();
    }
    assert_eq!((pair.server.session.counters().unknown, pair.server.event()), (3, None));
}

#[test]
fn header_elements_of_later_versions_are_skipped() {
    let mut pair = Pair::standard();
    // A call with two elements more: a map and a text. The body is what comes after them.
    let call = [
        &[0x9a, 4, 1, 0xa1, b'm', 3, 0, 0xc0, 0xc0, 0xc0, 0x81, 0xa1, b'k', 0x91, 1, 0xa1, b'x'],
        &b"body"[..],
    ];
    pair.server.handle(pair.now, &call.concat()).unwrap();
    assert_eq!(pair.server.expect_call().body.bytes(), b"body");
    // A ping with a nil more, and bytes where a later version has a body.
    pair.server.handle(pair.now, &[0x93, 13, 7, 0xc0, 1, 2, 3]).unwrap();
    pair.server_sends();
    assert_eq!(pair.client.inbox.pop_front().unwrap().1, encoded(&Message::Pong { nonce: 7 }));
}

#[test]
fn trailing_elements_have_defaults() {
    let mut pair = Pair::standard();
    pair.server.handle(pair.now, &[0x95, 4, 1, 0xa1, b'm', 0, 0]).unwrap();
    let call = pair.server.expect_call();
    assert_eq!((call.deadline, call.meta.len()), (Time::NEVER, 0));
    pair.server.handle(pair.now, &[0x92, 12, 1]).unwrap();
    assert!(matches!(pair.server.event(), Some(Event::Cancelled { .. })));
}
