//! Notifications, progress and registration.

use procall_proto::{Body, Config, Encoding, ErrorCode, Event, Executed, Message, Options, Time};

use crate::pair::Pair;
use crate::words::{MS, error_map, limits, raw};

#[test]
fn notifications_are_delivered_and_never_answered() {
    let mut pair = Pair::standard();
    let long = vec![7; 100_000];
    pair.client.session.notify("log", raw(b"short"), &[]).unwrap();
    pair.client.session.notify("log", raw(&long), &[0x80]).unwrap();
    pair.server.session.notify("tick", Body::empty(), &[]).unwrap();
    pair.drive();
    for expected in [&b"short"[..], &long] {
        match pair.server.event() {
            Some(Event::Notify { method, body, .. }) => {
                assert_eq!((&*method, body.bytes()), ("log", expected))
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(pair.client.event(), Some(Event::Notify { method, .. }) if method == "tick"));
    assert_eq!((pair.client.event(), pair.server.take_sent()), (None, vec!["notify 2".to_owned()]));
}

#[test]
fn a_notification_above_the_limit_is_dropped_and_counted() {
    let mut pair = Pair::ready(Config::default(), limits(|limits| limits.max_body = 70_000));
    pair.client.session.notify("log", raw(&[0; 80_000]), &[]).unwrap();
    pair.drive();
    assert_eq!((pair.server.event(), pair.server.session.counters().dropped), (None, 1));
    assert!(!pair.server.session.is_ended());
}

#[test]
fn progress_comes_ten_times_a_second_and_the_last_one_always() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    for done in 1..=1000 {
        let text = if done == 1000 { "done" } else { "" };
        pair.server.session.progress(pair.now, id, done, Some(1000), text);
        pair.advance(MS);
    }
    let seen: Vec<_> = std::iter::from_fn(|| pair.client.event()).collect();
    assert_eq!(seen.len(), 11, "ten in the second, and the last");
    let (token, total, text) = (1, Some(1000), "done".into());
    assert_eq!(seen[10], Event::Progress { id, token, done: 1000, total, text });
}

#[test]
fn saying_again_and_again_that_all_is_done_is_no_way_around_that() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    for _ in 0..1000 {
        pair.server.session.progress(pair.now, id, 5, Some(5), "");
        pair.server.session.progress(pair.now, id, 0, Some(5), "");
    }
    pair.drive();
    assert_eq!(std::iter::from_fn(|| pair.client.event()).count(), 1);
}

#[test]
fn a_progress_text_is_cut_before_it_is_too_long_to_send() {
    let mut pair = Pair::standard();
    let id = pair.open_call(Options::default());
    pair.server.session.progress(pair.now, id, 1, None, &"ä".repeat(2 << 20));
    pair.drive();
    assert!(
        matches!(pair.client.event(), Some(Event::Progress { text, .. }) if text == "ä".repeat(512))
    );
}

#[test]
fn a_registration_is_acknowledged_or_refused() {
    let mut pair = Pair::standard();
    // An error map is passed on when it is short enough for one message.
    let text = "the name is taken";
    let mut map = Vec::new();
    procall_proto::wire::Writer::new(&mut map).map(1).text("message").text(text);
    let long = vec![0xc0; 1 << 20];
    let refusals = [&[][..], &map, &long].map(|map| Err((ErrorCode::InvalidArgument, text, map)));
    for result in [Ok(())].into_iter().chain(refusals) {
        pair.client.session.register(Body::msgpack(&[0x80])).unwrap();
        assert!(pair.client.session.register(Body::msgpack(&[0x80])).is_err(), "one at a time");
        pair.drive();
        let Some(Event::Registration { id, body, .. }) = pair.server.event() else {
            panic!("no registration")
        };
        assert_eq!(body.bytes(), [0x80]);
        pair.server.session.registered(id, result);
        pair.drive();
        match (pair.client.event(), result) {
            (Some(Event::Registered { result: Ok(()) }), Ok(())) => {}
            (Some(Event::Registered { result: Err(failure) }), Err((code, text, _))) => {
                assert_eq!((failure.code, failure.executed), (code, Executed::No));
                assert_eq!(error_map(&failure.body).0, text);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_answer_to_no_registration_ends_the_session() {
    let mut pair = Pair::standard();
    pair.client.session.register(Body::empty()).unwrap();
    let fault = pair
        .client
        .inject(pair.now, &Message::Registered { id: 3, code: 0, body: &[] })
        .unwrap_err();
    assert_eq!(fault.code, ErrorCode::ProtocolError);
}

#[test]
fn a_registration_out_of_order_ends_the_session() {
    for id in [0, 1, 2] {
        let mut pair = Pair::standard();
        pair.client.session.notify("m", Body::empty(), &[]).unwrap();
        pair.drive();
        let message = Message::Register { id, encoding: Encoding::None, body: &[] };
        assert!(pair.server.inject(Time::ZERO, &message).is_err(), "id {id}");
    }
}
