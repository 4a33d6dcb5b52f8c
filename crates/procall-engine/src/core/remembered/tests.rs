//! What is remembered of calls with a key, and for how long.

use procall::Encoding;

use super::*;

fn key(name: &str) -> Key {
    Key::new("uid 7".into(), &"shop.buy".into(), name).unwrap()
}

fn params(bytes: &[u8]) -> Body<'_> {
    Body::new(Encoding::Msgpack, bytes)
}

fn value(length: usize) -> Outcome {
    Ok(Encoded::new(Encoding::Msgpack, vec![1; length]))
}

fn is_first(remembered: &mut Remembered, name: &str, now: Instant) -> bool {
    matches!(remembered.begin(&key(name), &params(b"x"), now), Ok(Found::First))
}

#[test]
fn an_outcome_is_remembered_for_five_minutes() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    assert!(is_first(&mut remembered, "a", now));
    remembered.end(&key("a"), &value(3), now).unwrap();
    for (after, known) in [(0, true), (299, true), (300, false)] {
        let at = now + Duration::from_secs(after);
        let found = remembered.begin(&key("a"), &params(b"x"), at).unwrap();
        let ended = matches!(found, Found::Ended(Ok(value)) if value.bytes == [1; 3]);
        assert_eq!(ended, known, "{after} s");
    }
}

#[test]
fn a_key_belongs_to_one_caller_and_method_and_to_its_arguments() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    assert!(is_first(&mut remembered, "a", now));
    for other in [
        Key::new("uid 8".into(), &"shop.buy".into(), "a").unwrap(),
        Key::new("uid 7".into(), &"shop.sell".into(), "a").unwrap(),
    ] {
        let found = remembered.begin(&other, &params(b"x"), now).unwrap();
        assert!(matches!(found, Found::First));
    }
    let error = remembered.begin(&key("a"), &params(b"y"), now).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert!(error.message().contains("\"a\" belongs to a call of shop.buy"));
    for wrong in ["", &"k".repeat(256)] {
        assert!(Key::new(String::new(), &"m".into(), wrong).is_err());
    }
}

#[test]
fn what_was_not_executed_is_forgotten_and_what_may_have_been_is_not() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    assert!(is_first(&mut remembered, "a", now));
    let refused = Err(Error::new(ErrorCode::Overloaded, "full"));
    remembered.end(&key("a"), &refused, now).unwrap();
    assert!(remembered.callers.is_empty() && remembered.by_keys.is_empty());
    assert!(is_first(&mut remembered, "a", now));
    let lost = Err(Error::new(ErrorCode::WorkerLost, "it died"));
    remembered.end(&key("a"), &lost, now).unwrap();
    let found = remembered.begin(&key("a"), &params(b"x"), now).unwrap();
    assert!(matches!(found, Found::Ended(Err(error)) if error.code() == ErrorCode::WorkerLost));
}

fn of(caller: &str, name: &str) -> Key {
    Key::new(caller.into(), &"shop.buy".into(), name).unwrap()
}

fn begin(remembered: &mut Remembered, key: &Key, now: Instant) -> Result<Found, Error> {
    remembered.begin(key, &params(b"x"), now)
}

/// Makes so many calls that end with results of this length.
fn made(remembered: &mut Remembered, caller: &str, calls: std::ops::Range<usize>, size: usize) {
    let now = Instant::now();
    for at in calls {
        let key = of(caller, &at.to_string());
        assert!(matches!(begin(remembered, &key, now), Ok(Found::First)), "{caller} {at}");
        remembered.end(&key, &value(size), now).unwrap();
    }
}

/// Whether a call's result is there; that it was made is known at any rate.
fn is_there(remembered: &mut Remembered, key: &Key) -> bool {
    match begin(remembered, key, Instant::now()) {
        Ok(Found::Ended(Ok(_))) => true,
        Ok(Found::Ended(Err(error))) => {
            assert_eq!(
                (error.code(), error.executed()),
                (ErrorCode::ResultTooLarge, Executed::Yes)
            );
            assert!(error.message().contains("made room"), "{error}");
            false
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_under_way_are_bounded_for_each_caller_and_the_oldest_outcome_makes_room() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    for at in 0..KEYS_EACH {
        assert!(is_first(&mut remembered, &at.to_string(), now));
    }
    let error = remembered.begin(&key("new"), &params(b"x"), now).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::No));
    assert!(matches!(begin(&mut remembered, &of("uid 8", "a"), now), Ok(Found::First)));
    remembered.end(&key("7"), &value(1), now);
    assert!(is_first(&mut remembered, "new", now));
    assert!(!is_there(&mut remembered, &key("7")));
    assert_eq!(remembered.keys, KEYS_EACH + 1);
}

#[test]
fn one_caller_does_not_take_the_outcomes_of_another() {
    let mut remembered = Remembered::default();
    made(&mut remembered, "small", 0..100, 10);
    made(&mut remembered, "greedy", 0..KEYS + 500, 10);
    made(&mut remembered, "second", 0..KEYS, 10);
    assert!(remembered.keys <= KEYS);
    for at in 0..100 {
        assert!(is_there(&mut remembered, &of("small", &at.to_string())), "{at}");
    }
    assert!(!is_there(&mut remembered, &of("greedy", "0")));
    assert!(is_there(&mut remembered, &of("greedy", &(KEYS + 499).to_string())));
    made(&mut remembered, "large", 0..100, LONGEST);
    assert!(remembered.bytes <= BYTES);
    assert!(is_there(&mut remembered, &of("small", "0")), "its bytes are its own");
    assert!(!is_there(&mut remembered, &of("large", "0")));
    assert!(is_there(&mut remembered, &of("large", "99")));
}

#[test]
fn at_the_bound_of_all_whoever_has_most_makes_room() {
    let mut remembered = Remembered::default();
    made(&mut remembered, "most", 0..KEYS_EACH, 1);
    made(&mut remembered, "less", 0..KEYS_EACH - 10, 1);
    made(&mut remembered, "late", 0..30, 1);
    assert_eq!(remembered.keys, KEYS);
    assert!(!is_there(&mut remembered, &of("most", "0")));
    assert!(is_there(&mut remembered, &of("late", "0")));
    let now = Instant::now();
    let mut running = Remembered::default();
    for (caller, calls) in [("a", KEYS_EACH), ("b", KEYS_EACH - 1)] {
        for at in 0..calls {
            assert!(begin(&mut running, &of(caller, &at.to_string()), now).is_ok());
        }
    }
    made(&mut running, "small", 0..1, 1);
    let error = begin(&mut running, &of("b", "more"), now).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded, "nobody loses to one who has more");
    assert!(is_there(&mut running, &of("small", "0")));
}

#[test]
fn what_was_made_stays_known_for_its_time_and_new_keys_are_refused_meanwhile() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    for at in 0..KNOWN_EACH {
        assert!(is_first(&mut remembered, &at.to_string(), now));
        remembered.end(&key(&at.to_string()), &value(1), now);
    }
    assert!(!is_there(&mut remembered, &key("0")));
    let minute = now + Duration::from_secs(60);
    let error = begin(&mut remembered, &key("new"), minute).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::No));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(240)));
    assert!(matches!(begin(&mut remembered, &of("uid 8", "a"), minute), Ok(Found::First)));
    assert!(is_first(&mut remembered, "new", now + FOR));
    assert_eq!((remembered.entries.len(), remembered.keys, remembered.bytes), (2, 2, 0));
}

#[test]
fn an_error_that_made_room_leaves_its_code() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    assert!(is_first(&mut remembered, "a", now));
    let lost = Err(Error::new(ErrorCode::WorkerLost, "it died"));
    remembered.end(&key("a"), &lost, now).unwrap();
    made(&mut remembered, "uid 7", 0..KEYS_EACH, 1);
    let found = begin(&mut remembered, &key("a"), now).unwrap();
    let Found::Ended(Err(error)) = found else { panic!("{found:?}") };
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    assert!(error.message().contains("made room"), "{error}");
}

#[test]
fn bytes_are_bounded_and_counted_back() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    for at in 0..100 {
        assert!(is_first(&mut remembered, &at.to_string(), now));
        remembered.end(&key(&at.to_string()), &value(LONGEST), now);
        assert!(remembered.bytes <= BYTES_EACH);
    }
    assert_eq!(remembered.bytes, BYTES_EACH);
    assert!(is_first(&mut remembered, "late", now + FOR));
    assert_eq!((remembered.bytes, remembered.keys, remembered.callers.len()), (0, 1, 1));
    assert_eq!((remembered.by_keys.len(), remembered.by_bytes.len()), (1, 0));
}

#[test]
fn a_result_that_is_too_long_is_known_to_have_been_there() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    assert!(is_first(&mut remembered, "a", now));
    remembered.end(&key("a"), &value(LONGEST + 1), now);
    let found = remembered.begin(&key("a"), &params(b"x"), now).unwrap();
    let Found::Ended(Err(error)) = found else { panic!("{found:?}") };
    assert_eq!((error.code(), error.executed()), (ErrorCode::ResultTooLarge, Executed::Yes));
}

#[test]
fn who_waits_with_the_first_call_gets_its_outcome() {
    let (mut remembered, now) = (Remembered::default(), Instant::now());
    assert!(is_first(&mut remembered, "a", now));
    let Found::Running(awaited) = remembered.begin(&key("a"), &params(b"x"), now).unwrap() else {
        panic!("it runs");
    };
    let (mut joined, mut leaving) = (Joined::new(awaited.clone()), Joined::new(awaited));
    assert!(joined.poll_outcome(Waker::noop()).is_pending());
    assert!(leaving.poll_outcome(Waker::noop()).is_pending());
    leaving.cancel();
    let Poll::Ready(Some(Err(error))) = leaving.poll_outcome(Waker::noop()) else {
        panic!("it was cancelled");
    };
    assert_eq!(error.code(), ErrorCode::Cancelled);
    remembered.end(&key("a"), &value(2), now).unwrap().resolve(value(2));
    let Poll::Ready(Some(Ok(value))) = joined.poll_outcome(Waker::noop()) else {
        panic!("it has ended");
    };
    assert_eq!(value.bytes, [1, 1]);
}
