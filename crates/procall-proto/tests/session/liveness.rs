//! Pings, heartbeats, and how a peer that is silent is told from one that is gone.

use procall_proto::{Config, ErrorCode, Event, Heartbeat, Message, Options, Time};

use crate::pair::Pair;
use crate::words::{MS, NANO, SECOND};

fn beating() -> Config {
    Config { heartbeat: Some(Heartbeat::default()), ..Config::default() }
}

/// A client that has suspected its server, 14 s after the handshake; its pings are still on the wire.
fn suspected() -> Pair {
    let mut pair = Pair::ready(beating(), Config::default());
    for seconds in [5, 8, 11, 14] {
        assert_eq!(pair.client.event(), None);
        assert_eq!(pair.client.session.poll_timeout(), Time::ZERO + seconds * SECOND);
        pair.now = Time::ZERO + seconds * SECOND;
        pair.client.session.handle_timeout(pair.now);
        pair.client_sends();
    }
    assert_eq!(pair.client.event(), Some(Event::Suspected));
    pair
}

/// Lets time pass for the client; the server is stopped.
fn wait_alone(pair: &mut Pair, until: Time) {
    while pair.client.session.poll_timeout() <= until {
        pair.now = pair.client.session.poll_timeout();
        pair.client.session.handle_timeout(pair.now);
        pair.client_sends();
    }
    pair.now = until;
}

#[test]
fn a_ping_is_answered_with_its_number() {
    let mut pair = Pair::standard();
    for nonce in [0, 7, u64::MAX] {
        pair.server.inject(pair.now, &Message::Ping { nonce }).unwrap();
        pair.server_sends();
        let (_, pong) = pair.client.inbox.pop_front().unwrap();
        assert_eq!(Message::decode(&pong), Ok(Some(Message::Pong { nonce })));
    }
}

#[test]
fn without_heartbeats_a_session_sleeps() {
    let mut pair = Pair::standard();
    assert_eq!(pair.client.session.poll_timeout(), Time::NEVER);
    pair.advance(3600 * SECOND);
    assert_eq!((pair.client.take_sent(), pair.server.take_sent()), (vec![], vec![]));
}

#[test]
fn a_heartbeat_comes_every_five_seconds() {
    let mut pair = Pair::ready(beating(), Config::default());
    pair.latency = 10 * MS;
    pair.advance(20 * MS);
    for _ in 0..4 {
        pair.advance(5 * SECOND - 21 * MS);
        assert_eq!(pair.client.take_sent(), Vec::<String>::new());
        pair.advance(21 * MS);
        assert_eq!(pair.client.take_sent(), ["ping"]);
        assert!(
            matches!(pair.client.event(), Some(Event::Pong { round_trip, .. }) if round_trip == 20 * MS)
        );
    }
    assert!(!pair.client.session.is_suspected());
}

#[test]
fn three_missed_beats_make_a_suspect_once() {
    let mut pair = suspected();
    assert!(pair.client.session.is_suspected());
    wait_alone(&mut pair, Time::ZERO + 3600 * SECOND);
    assert_eq!(pair.client.event(), None);
    assert!(!pair.client.session.is_ended(), "silence alone ends nothing");
}

#[test]
fn a_pong_within_its_time_is_no_miss() {
    let mut pair = Pair::ready(beating(), Config::default());
    pair.latency = 1500 * MS - NANO;
    pair.advance(60 * SECOND);
    let seen: Vec<_> = std::iter::from_fn(|| pair.client.event()).collect();
    assert!(
        seen.len() >= 10 && seen.iter().all(|event| matches!(event, Event::Pong { .. })),
        "{seen:?}"
    );
}

#[test]
fn an_answer_makes_the_count_of_misses_start_anew() {
    let mut pair = Pair::ready(beating(), Config::default());
    for round in 0..5 {
        // Two beats are missed, then the server answers what it got.
        let until = pair.now + if round == 0 { 11 * SECOND } else { 8 * SECOND };
        wait_alone(&mut pair, until);
        pair.drive();
        let seen: Vec<_> = std::iter::from_fn(|| pair.client.event()).collect();
        assert!(seen.iter().all(|event| matches!(event, Event::Pong { .. })), "{seen:?}");
    }
}

#[test]
fn a_suspect_that_answers_has_recovered() {
    let mut pair = suspected();
    pair.drive();
    let seen: Vec<_> = std::iter::from_fn(|| pair.client.event()).collect();
    assert_eq!(seen.iter().filter(|event| **event == Event::Recovered).count(), 1);
    assert_eq!(seen.iter().filter(|event| matches!(event, Event::Pong { .. })).count(), 3);
    assert!(!pair.client.session.is_suspected());
    // Heartbeats go on.
    pair.client.take_sent();
    pair.advance(5 * SECOND);
    assert_eq!(pair.client.take_sent(), ["ping"]);
}

#[test]
fn the_first_answer_of_many_is_a_sign_of_life() {
    let mut pair = suspected();
    pair.server.receive_one(pair.now);
    pair.server_sends();
    pair.client.receive_one(pair.now);
    assert!(!pair.client.session.is_suspected());
}

#[test]
fn a_peer_that_was_stopped_for_an_hour_finds_no_flood_of_pings() {
    let mut pair = suspected();
    wait_alone(&mut pair, Time::ZERO + 3600 * SECOND);
    assert_eq!(pair.server.inbox.len(), 3);
    pair.drive();
    assert!(!pair.server.session.is_ended());
    assert!(!pair.client.session.is_suspected());
}

#[test]
fn calls_go_on_with_a_suspect() {
    let mut pair = suspected();
    let id = pair.open_call(Options::default());
    pair.server.reply(pair.now, id, b"");
    pair.client.events.clear();
    pair.drive();
    assert_eq!(pair.client.expect_reply().0, id);
}

#[test]
fn the_eleventh_ping_of_a_second_ends_the_session() {
    let mut pair = Pair::standard();
    let start = Time::ZERO + 950 * MS;
    for nonce in 0..10 {
        pair.server.inject(start, &Message::Ping { nonce }).unwrap();
    }
    // Any second counts, not only one that begins with a second of the session.
    let fault =
        pair.server.inject(start + (SECOND - NANO), &Message::Ping { nonce: 10 }).unwrap_err();
    assert_eq!(
        (fault.code, &*fault.message),
        (ErrorCode::ProtocolError, "more than 10 pings in one second")
    );
}

#[test]
fn ten_pings_a_second_are_no_flood() {
    let mut pair = Pair::standard();
    for nonce in 0..100 {
        pair.server
            .inject(Time::ZERO + 100 * MS * nonce, &Message::Ping { nonce: nonce.into() })
            .unwrap();
    }
}

#[test]
fn pings_by_request_wait_for_their_answer_and_150_ms() {
    let mut pair = Pair::standard();
    pair.latency = 200 * MS;
    let nonce = pair.client.session.ping(pair.now).unwrap();
    pair.advance(300 * MS);
    assert_eq!(pair.client.session.ping(pair.now), None, "one is under way");
    pair.advance(100 * MS);
    assert_eq!(pair.client.event(), Some(Event::Pong { nonce, round_trip: 400 * MS }));
    pair.latency = MS;
    assert!(pair.client.session.ping(pair.now).is_some());
    pair.advance(149 * MS);
    assert!(matches!(pair.client.event(), Some(Event::Pong { .. })));
    assert_eq!(pair.client.session.ping(pair.now), None, "the last is too recent");
    pair.advance(MS);
    assert!(pair.client.session.ping(pair.now).is_some());
}

#[test]
fn the_fastest_heart_and_an_eager_caller_together_are_no_flood() {
    let hasty = Heartbeat { interval: NANO, timeout: NANO, ..Heartbeat::default() };
    let mut pair =
        Pair::ready(Config { heartbeat: Some(hasty), ..Config::default() }, Config::default());
    for step in 0..10_000 {
        pair.client.session.ping(pair.now);
        if step == 5_000 {
            pair.client.session.drain(pair.now, "");
        }
        pair.advance(MS);
    }
    assert!(!pair.server.session.is_ended());
    assert!(pair.client.take_sent().len() > 50);
}

#[test]
fn a_ping_by_request_is_answered_even_when_a_heartbeat_came_between() {
    let mut pair = Pair::ready(beating(), Config::default());
    pair.now = Time::ZERO + 4 * SECOND;
    let nonce = pair.client.session.ping(pair.now).unwrap();
    wait_alone(&mut pair, Time::ZERO + 7 * SECOND);
    assert_eq!(pair.server.inbox.len(), 2);
    pair.drive();
    assert_eq!(pair.client.event(), Some(Event::Pong { nonce, round_trip: 3 * SECOND }));
}

#[test]
fn a_pong_to_no_ping_is_nothing() {
    let mut pair = suspected();
    pair.client.inject(pair.now, &Message::Pong { nonce: 77 }).unwrap();
    assert_eq!(pair.client.event(), None);
    assert!(pair.client.session.is_suspected());
}
