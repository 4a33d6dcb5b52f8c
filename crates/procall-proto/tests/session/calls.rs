//! Calls, notifications, progress, registration and the bounds on them.

use procall_proto::{
    Blocked, Body, Config, Encoding, ErrorCode, Event, Executed, Message, Options, wire::Writer,
};

use crate::pair::Pair;
use crate::words::{SECOND, error_map, limits, raw};

#[test]
fn a_call_arrives_as_it_was_made() {
    let mut pair = Pair::standard();
    let mut meta = Vec::new();
    Writer::new(&mut meta).map(1).text("traceparent").text("00-1");
    let options = Options { idempotent: true, meta: &meta, ..Options::default() };
    let id = pair
        .client
        .session
        .call(pair.now, "calc.add", Body::msgpack(&[0x92, 1, 2]), options, 77)
        .unwrap();
    pair.drive();
    let call = pair.server.expect_call();
    assert_eq!(
        (call.id, &*call.method, call.encoding, call.body.bytes()),
        (id, "calc.add", Encoding::Msgpack, &[0x92, 1, 2][..])
    );
    assert_eq!((call.idempotent, call.items_in, call.items_out), (true, false, false));
    assert_eq!((&*call.meta, call.deadline), (&meta[..], pair.now + 30 * SECOND));
    pair.server.session.reply(pair.now, id, Body::msgpack(&[3])).unwrap();
    pair.drive();
    match pair.client.event() {
        Some(Event::Reply { id: of, token: 77, encoding: Encoding::Msgpack, body }) => {
            assert_eq!((of, body.bytes()), (id, &[3][..]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((pair.client.session.calling(), pair.server.session.serving()), (0, 0));
}

#[test]
fn replies_may_come_in_any_order() {
    let mut pair = Pair::standard();
    let ids: Vec<_> = (0..3).map(|_| pair.open_call(Options::default())).collect();
    for at in [2, 0, 1] {
        pair.server.reply(pair.now, ids[at], &[at as u8]);
    }
    pair.drive();
    for at in [2, 0, 1] {
        assert_eq!(pair.client.expect_reply(), (ids[at], vec![at as u8]));
    }
}

#[test]
fn ids_are_odd_here_even_there_and_rise() {
    let mut pair = Pair::standard();
    let now = pair.now;
    let odd: Vec<_> = (0..3).map(|_| pair.client.call(now, b"", Options::default())).collect();
    let even: Vec<_> = (0..3).map(|_| pair.server.call(now, b"", Options::default())).collect();
    assert_eq!((odd, even), (vec![1, 3, 5], vec![2, 4, 6]));
}

#[test]
fn both_sides_call_and_serve() {
    let mut pair = Pair::standard();
    let down = pair.client.call(pair.now, b"down", Options::default());
    let up = pair.server.call(pair.now, b"up", Options::default());
    pair.drive();
    assert_eq!((pair.server.expect_call().id, pair.client.expect_call().id), (down, up));
    pair.server.reply(pair.now, down, b"below");
    pair.client.reply(pair.now, up, b"above");
    pair.drive();
    assert_eq!(pair.client.expect_reply(), (down, b"below".to_vec()));
    assert_eq!(pair.server.expect_reply(), (up, b"above".to_vec()));
}

#[test]
fn an_error_arrives_as_it_was_given() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.server
        .session
        .fail(id, ErrorCode::HandlerError, Executed::Yes, Body::msgpack(&[0x80]))
        .unwrap();
    pair.drive();
    let (of, failure) = pair.client.expect_failed();
    assert_eq!((of, failure.code, failure.executed), (id, ErrorCode::HandlerError, Executed::Yes));
    assert_eq!((failure.encoding, &failure.body[..]), (Encoding::Msgpack, &[0x80][..]));
}

#[test]
fn an_error_map_above_a_chunk_becomes_its_sentence() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    let long = vec![0; 70_000];
    pair.server
        .session
        .fail(id, ErrorCode::HandlerError, Executed::Yes, Body::msgpack(&long))
        .unwrap();
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!(error_map(&failure.body).0, ErrorCode::HandlerError.sentence());
}

#[test]
fn a_number_of_a_newer_peer_is_an_internal_error() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    let message =
        Message::Error { id, code: 70_000, executed: 9, encoding: Encoding::None, body: &[] };
    pair.client.inject(pair.now, &message).unwrap();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Internal, Executed::Maybe));
}

#[test]
fn a_call_is_answered_once() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, b"first");
    assert_eq!(pair.server.session.reply(pair.now, id, raw(b"second")), Err(Blocked::Over));
    let code = ErrorCode::Internal;
    assert_eq!(
        pair.server.session.fail(id, code, Executed::Yes, Body::empty()),
        Err(Blocked::Over)
    );
    pair.drive();
    assert_eq!(pair.client.expect_reply(), (id, b"first".to_vec()));
    assert_eq!(pair.client.event(), None);
}

#[test]
fn the_call_after_1024_is_refused_here() {
    let mut pair = Pair::standard();
    let ids: Vec<_> = (0..1024).map(|_| pair.open_call(Options::default())).collect();
    let failure = pair.client.try_call(pair.now, b"", Options::default()).unwrap_err();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Overloaded, Executed::No));
    assert_eq!(pair.client.session.counters().refused, 1);
    pair.server.reply(pair.now, ids[500], b"");
    pair.drive();
    pair.open_call(Options::default());
}

#[test]
fn the_call_after_1024_is_refused_there() {
    // Before the handshake the client does not know how many calls its peer takes.
    let mut pair = Pair::new(limits(|limits| limits.max_calls = 2000), Config::default());
    for _ in 0..1025 {
        pair.client.call(pair.now, b"", Options::default());
    }
    pair.drive();
    assert_eq!((pair.server.session.serving(), pair.server.session.counters().refused), (1024, 1));
    assert_eq!(pair.client.event(), Some(Event::Ready));
    let (id, failure) = pair.client.expect_failed();
    assert_eq!((id, failure.code, failure.executed), (2049, ErrorCode::Overloaded, Executed::No));
    assert_eq!(error_map(&failure.body).1, Some(100));
    // Now it knows.
    assert_eq!(pair.client.session.calling(), 1024);
    let failure = pair.client.try_call(pair.now, b"", Options::default()).unwrap_err();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Overloaded, Executed::No));
}

#[test]
fn bytes_that_wait_are_bounded() {
    let mut pair = Pair::ready(limits(|limits| limits.max_queued = 1000), Config::default());
    pair.client.call(pair.now, &[0; 900], Options::default());
    let failure = pair.client.try_call(pair.now, &[0; 200], Options::default()).unwrap_err();
    assert_eq!((failure.code, failure.executed), (ErrorCode::Overloaded, Executed::No));
    assert!(pair.client.session.queued() >= 900);
    pair.drive();
    assert_eq!(pair.client.session.queued(), 0);
    pair.client.call(pair.now, &[0; 200], Options::default());
}

#[test]
fn arguments_that_the_peer_would_not_take_are_refused_here() {
    let mut pair = Pair::ready(limits(|limits| limits.max_body = 1000), Config::default());
    let (now, long_name, deep) =
        (pair.now, "m".repeat(256), [[0x91; 9].as_slice(), &[0x80]].concat());
    let deep = [&[0x81, 0xa1, b'k'], &deep[..]].concat();
    let mut wide = Vec::new();
    Writer::new(&mut wide).map(1).text("k").bin(&vec![0; 16 << 10]);
    let metas: [&[u8]; 6] = [&[0x90], &[0xc0], &[0x81], &[0x80, 0x80], &deep, &wide];
    let mut refused = vec![
        pair.client.session.call(now, "", Body::empty(), Options::default(), 0).unwrap_err(),
        pair.client
            .session
            .call(now, &long_name, Body::empty(), Options::default(), 0)
            .unwrap_err(),
        pair.client.try_call(now, &[0; 1001], Options::default()).unwrap_err(),
    ];
    for meta in metas {
        let options = Options { meta, ..Options::default() };
        refused.push(pair.client.try_call(now, b"", options).unwrap_err());
        refused.push(pair.client.session.notify("m", Body::empty(), meta).unwrap_err());
    }
    for failure in refused {
        assert_eq!(
            (failure.code, failure.executed),
            (ErrorCode::InvalidArgument, Executed::No),
            "{failure}"
        );
    }
    pair.drive();
    assert_eq!(pair.client.take_sent(), Vec::<String>::new());
}

#[test]
fn a_result_above_the_limit_fails_its_call() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_body = 1000));
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, &[0; 1001]);
    pair.drive();
    let (_, failure) = pair.client.expect_failed();
    assert_eq!((failure.code, failure.executed), (ErrorCode::ResultTooLarge, Executed::Yes));
}
