//! Who may join, what is told, and what happens to those who do not keep the order.

use procall_proto::wire::Writer;
use procall_proto::{
    Body, Config, Encoding, ErrorCode, Fault, Flags, Limits, Message, Options, VERSION, VERSION_MIN,
};

use crate::pair::Pair;
use crate::words::{MS, NANO, SECOND, encoded, limits};

fn token(token: &[u8]) -> Config {
    Config { token: Some(token.to_vec()), ..Config::default() }
}

/// An info map; `write` adds `entries` of them.
fn info(entries: usize, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut map = Vec::new();
    let mut writer = Writer::new(&mut map);
    writer.map(entries);
    write(&mut writer);
    map
}

/// What an acceptor says to a hello with this info map.
fn greet(map: &[u8]) -> (Pair, Result<(), Fault>) {
    let mut pair = Pair::new(Config::default(), Config::default());
    let hello = Message::Hello { min: VERSION_MIN, max: VERSION, info: map };
    let result = pair.server.inject(pair.now, &hello);
    (pair, result)
}

#[test]
fn both_sides_learn_who_the_other_is() {
    let client = Config { id: "c1".into(), name: "calc".into(), pid: 42, ..Config::default() };
    let server = limits(|limits| {
        *limits = Limits {
            chunk: 1000,
            max_calls: 7,
            stream_items: 3,
            stream_bytes: 4,
            ..Limits::default()
        };
    });
    let pair = Pair::ready(client, server);
    let seen = pair.server.session.peer().unwrap();
    assert_eq!((&*seen.id, &*seen.name, seen.pid, seen.version), ("c1", "calc", 42, VERSION));
    assert!(seen.runtime.starts_with("rust/"));
    let seen = pair.client.session.peer().unwrap();
    assert_eq!((seen.chunk, seen.max_calls, seen.stream_items, seen.stream_bytes), (1000, 7, 3, 4));
    assert!(pair.client.session.is_ready() && pair.server.session.is_ready());
}

#[test]
fn a_name_is_clean_whoever_sends_it() {
    let client = Config { name: format!("a\u{1b}[2Jb{}", "x".repeat(1000)), ..Config::default() };
    let pair = Pair::ready(client, Config::default());
    let seen = &*pair.server.session.peer().unwrap().name;
    assert!(seen.starts_with("a[2Jbx") && seen.len() == 128, "{seen}");

    let map = info(1, |writer| _ = writer.text("name").text("night\nly\u{202e}\u{7}"));
    let (pair, result) = greet(&map);
    result.unwrap();
    assert_eq!(pair.server.session.peer().unwrap().name, "nightly");
}

#[test]
fn the_right_token_opens() {
    Pair::ready(token(b"secret"), token(b"secret"));
    // Where none is needed, one is no harm; and it is not told back.
    let mut pair = Pair::new(token(b"secret"), Config::default());
    pair.greet();
    let welcome = &pair.server.sent[0];
    assert!(!welcome.windows(6).any(|part| part == b"secret" || part == b"\xa5token"));
}

#[test]
fn another_token_or_none_does_not_open() {
    let tokens = [&b"secreT"[..], b"secre", b"secrets", b""].map(token);
    for client in tokens.into_iter().chain([Config::default()]) {
        let text = if client.token.is_some() { "the token is wrong" } else { "a token is needed" };
        let mut pair = Pair::new(client, token(b"secret"));
        pair.drive();
        for (peer, remote) in [(&mut pair.server, false), (&mut pair.client, true)] {
            let ended = peer.expect_ended();
            assert_eq!(
                (ended.code, &*ended.message, ended.remote),
                (ErrorCode::Unauthenticated, text, remote)
            );
        }
        assert_eq!(pair.server.take_sent(), ["fault"]);
    }
}

#[test]
fn nothing_may_come_before_the_greeting() {
    let (id, flags, encoding) = (1, Flags::default(), Encoding::None);
    let messages = [
        encoded(&Message::Ping { nonce: 1 }),
        encoded(&Message::Register { id, encoding, body: b"" }),
        encoded(&Message::Reply { id, encoding, flags, total: None, body: b"" }),
        encoded(&Message::Chunk { id, last: true, body: b"" }),
        encoded(&Message::Goaway { step: 1, last_id: 0, text: "" }),
        vec![0x91, 99],
    ];
    for message in messages {
        let mut pair = Pair::new(Config::default(), Config::default());
        for peer in [&mut pair.client, &mut pair.server] {
            let fault = peer.handle(pair.now, &message).unwrap_err();
            assert_eq!(fault.code, ErrorCode::ProtocolError, "{message:?}");
        }
    }
}

#[test]
fn an_acceptor_is_greeted_with_hello_and_an_initiator_with_welcome() {
    let mut pair = Pair::new(Config::default(), Config::default());
    assert!(
        pair.server
            .inject(pair.now, &Message::Welcome { version: VERSION, info: &[0x80] })
            .is_err()
    );
    let hello = Message::Hello { min: VERSION, max: VERSION, info: &[0x80] };
    assert!(pair.client.inject(pair.now, &hello).is_err());
}

#[test]
fn one_greeting_is_enough() {
    let hello = Message::Hello { min: VERSION, max: VERSION, info: &[0x80] };
    let welcome = Message::Welcome { version: VERSION, info: &[0x80] };
    for message in [hello, welcome] {
        let mut pair = Pair::standard();
        assert!(pair.client.inject(pair.now, &message).is_err());
        assert!(pair.server.inject(pair.now, &message).is_err());
    }
}

#[test]
fn strangers_may_say_four_kibibytes() {
    let padded = |len: usize| {
        let map = info(1, |writer| _ = writer.text("x").bin(&vec![0; len]));
        encoded(&Message::Hello { min: VERSION, max: VERSION, info: &map })
    };
    let len = 4096 - (padded(1000).len() - 1000);
    assert_eq!(padded(len).len(), 4096);
    for (len, welcome) in [(len, true), (len + 1, false)] {
        let mut pair = Pair::new(Config::default(), Config::default());
        assert_eq!(pair.server.handle(pair.now, &padded(len)).is_ok(), welcome, "{len}");
    }
}

#[test]
fn a_message_above_the_limit_ends_the_session() {
    let ping = |len: usize| [encoded(&Message::Ping { nonce: 200 }), vec![0; len - 4]].concat();
    let mut pair = Pair::standard();
    pair.server.handle(pair.now, &ping(1 << 20)).unwrap();
    let fault = pair.server.handle(pair.now, &ping((1 << 20) + 1)).unwrap_err();
    assert_eq!(fault.message, "a message of 1048577 bytes, the limit is 1048576");
}

#[test]
fn a_handshake_takes_five_seconds_at_most() {
    let mut pair = Pair::new(Config::default(), Config::default());
    for peer in [&mut pair.client, &mut pair.server] {
        assert_eq!(peer.session.poll_timeout(), pair.now + 5 * SECOND);
        peer.session.handle_timeout(pair.now + (5 * SECOND - NANO));
        assert_eq!(peer.event(), None);
        peer.session.handle_timeout(pair.now + 5 * SECOND);
        assert_eq!(peer.expect_ended().message, "the handshake took too long");
    }
}

#[test]
fn a_handshake_that_is_done_has_no_time_limit() {
    let mut pair = Pair::standard();
    pair.advance(5 * SECOND + MS);
    assert!(pair.client.session.is_ready() && pair.server.session.is_ready());
}

#[test]
fn unknown_keys_are_skipped_and_missing_ones_have_defaults() {
    let map = info(3, |writer| {
        writer.text("later").array(2).map(1).text("a").nil().bin(b"b");
        writer.text("name").text("known").text("newer").boolean(true);
    });
    let (pair, result) = greet(&map);
    assert_eq!(result, Ok(()));
    let (peer, defaults) = (pair.server.session.peer().unwrap(), Limits::default());
    assert_eq!((&*peer.name, &*peer.id, peer.pid), ("known", "", 0));
    assert_eq!((peer.chunk, peer.max_message), (defaults.chunk, defaults.max_message));
    assert_eq!(
        (peer.stream_items, peer.stream_bytes),
        (defaults.stream_items, defaults.stream_bytes)
    );
    assert_eq!(peer.max_calls, defaults.max_calls);
}

#[test]
fn features_are_kept_up_to_a_bound() {
    let map = info(1, |writer| {
        writer.text("features").array(100);
        for _ in 0..100 {
            writer.text("shm");
        }
    });
    let (pair, result) = greet(&map);
    assert_eq!(result, Ok(()));
    assert_eq!(pair.server.session.peer().unwrap().features, vec!["shm"; 64]);
}

#[test]
fn an_info_map_that_makes_no_sense_is_refused() {
    let maps = [
        vec![],
        vec![0x90],
        vec![0x81],
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        info(1, |writer| _ = writer.text("name").uint(1)),
        info(1, |writer| _ = writer.text("name").text(&"n".repeat(257))),
        info(1, |writer| _ = writer.text("chunk").uint(255)),
        info(1, |writer| _ = writer.text("pid").uint(1 << 32)),
        info(1, |writer| _ = writer.text("token").text("a text")),
        info(1, |writer| _ = writer.uint(1).uint(1)),
        info(1, |writer| _ = writer.text("max_message").uint((32 << 10) - 1)),
        info(2, |writer| _ = writer.text("pid").uint(1).text("pid").uint(2)),
        info(1, |writer| _ = writer.text("pid").uint(1).nil()),
    ];
    for map in maps {
        assert_eq!(
            greet(&map).1.map_err(|fault| fault.code),
            Err(ErrorCode::ProtocolError),
            "{map:?}"
        );
    }
}

#[test]
fn a_peer_that_takes_only_short_messages_gets_shorter_chunks() {
    let server = limits(|limits| limits.max_message = 32 << 10);
    let mut pair = Pair::ready(Config::default(), server);
    let body = vec![0; 60 << 10];
    let now = pair.now;
    pair.client.session.call(now, "put", Body::msgpack(&body), Options::default(), 1).unwrap();
    let mut longest = 0;
    while let Some(message) = pair.client.session.transmit() {
        longest = longest.max(message.len());
    }
    assert!(longest > 0 && longest <= 32 << 10, "a message of {longest} bytes");
}

#[test]
fn other_protocols_are_refused_with_a_word() {
    let texts = [
        (
            &b"{\"type\":\"ping\"}"[..],
            "this connection speaks the native protocol; JSON is served by an engine",
        ),
        (b"[1]", "this connection speaks the native protocol; JSON is served by an engine"),
        (b"GET / HTTP/1.1", "expected a header: an array of up to 15 elements"),
        (b"\x94\x00\xa7procall\xc0\x01", "expected the oldest version"),
        (b"\x94\x00\xa7protobu\x01\x01", "expected the name \"procall\""),
        (b"", "expected a header: an array of up to 15 elements"),
    ];
    for (bytes, text) in texts {
        let mut pair = Pair::new(Config::default(), Config::default());
        assert_eq!(pair.server.handle(pair.now, bytes).unwrap_err().message, text);
    }
}

#[test]
fn nothing_but_the_greeting_leaves_before_it_is_done() {
    let mut pair = Pair::new(Config::default(), Config::default());
    for peer in [&mut pair.client, &mut pair.server] {
        peer.call(pair.now, b"", Options::default());
        peer.session.notify("m", Body::empty(), &[]).unwrap();
        peer.session.register(Body::empty()).unwrap();
        assert_eq!(peer.session.ping(pair.now), None);
    }
    pair.server_sends();
    assert_eq!(pair.server.take_sent(), Vec::<String>::new());
    pair.greet();
    assert_eq!(pair.client.take_sent(), ["hello", "call 1", "notify 3", "register 5"]);
    assert_eq!(pair.server.take_sent(), ["welcome", "call 2", "notify 4", "register 6"]);
}

/// An acceptor that knows several secrets.
fn secrets(secrets: &[&[u8]]) -> Config {
    let secrets = secrets.iter().map(|secret| secret.to_vec());
    Config { secrets: procall_proto::Secrets::new(secrets), ..Config::default() }
}

#[test]
fn of_several_secrets_it_is_known_which_one_was_shown() {
    let known: [&[u8]; 3] = [b"alpha", b"beta", b"gamma"];
    for (at, shown) in known.into_iter().enumerate() {
        let pair = Pair::ready(token(shown), secrets(&known));
        assert_eq!(pair.server.session.peer().unwrap().secret, Some(at));
        assert_eq!(pair.client.session.peer().unwrap().secret, None);
    }
    for (shown, text) in [
        (token(b"alph"), "the token is wrong"),
        (token(b"alphabeta"), "the token is wrong"),
        (token(b""), "the token is wrong"),
        (Config::default(), "a token is needed"),
    ] {
        let mut pair = Pair::new(shown, secrets(&known));
        pair.drive();
        let ended = pair.client.expect_ended();
        assert_eq!((ended.code, &*ended.message), (ErrorCode::Unauthenticated, text));
    }
}

#[test]
fn where_secrets_are_optional_a_wrong_one_is_still_refused() {
    let optional = || {
        let config = secrets(&[b"alpha"]);
        Config { secrets: config.secrets.clone().optional(), ..config }
    };
    let pair = Pair::ready(Config::default(), optional());
    assert_eq!(pair.server.session.peer().unwrap().secret, None);
    let pair = Pair::ready(token(b"alpha"), optional());
    assert_eq!(pair.server.session.peer().unwrap().secret, Some(0));
    let mut pair = Pair::new(token(b"beta"), optional());
    pair.drive();
    assert_eq!(pair.client.expect_ended().code, ErrorCode::Unauthenticated);
}

#[test]
fn secrets_are_never_shown() {
    let config = Config { token: Some(b"canary".to_vec()), ..secrets(&[b"canary"]) };
    let shown = format!("{config:?} {:?}", b"canary");
    let (config, bytes) = shown.split_at(shown.len() - format!("{:?}", b"canary").len());
    assert!(!config.contains("canary") && !config.contains(bytes), "{config}");
}
