//! Waiting for one and for many.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use procall_transport::readiness::{Kick, Set, wait};

const LONG: Option<Duration> = Some(Duration::from_secs(10));
const NOW: Option<Duration> = Some(Duration::ZERO);

fn tokens(set: &Set, timeout: Option<Duration>) -> Vec<u64> {
    let mut tokens = vec![99];
    set.wait(timeout, &mut tokens).unwrap();
    tokens.sort_unstable();
    tokens
}

#[test]
fn a_set_tells_all_that_is_ready_until_it_no_longer_is() {
    let (one, two) = (Kick::new().unwrap(), Kick::new().unwrap());
    let set = Set::new().unwrap();
    set.add(one.as_fd(), 1, false).unwrap();
    set.add(two.as_fd(), u64::MAX, false).unwrap();
    assert_eq!(tokens(&set, NOW), []);
    one.kick();
    two.kick();
    two.kick();
    assert_eq!(tokens(&set, LONG), [1, u64::MAX]);
    assert_eq!(tokens(&set, LONG), [1, u64::MAX]);
    assert!(two.drain());
    assert_eq!(tokens(&set, LONG), [1]);
    set.remove(one.as_fd()).unwrap();
    assert_eq!(tokens(&set, NOW), []);
}

#[test]
fn oneshot_is_told_once_and_again_after_rearming() {
    let kick = Kick::new().unwrap();
    let set = Set::new().unwrap();
    set.add(kick.as_fd(), 1, true).unwrap();
    kick.kick();
    assert_eq!(tokens(&set, LONG), [1]);
    assert_eq!(tokens(&set, NOW), []);
    set.rearm(kick.as_fd(), 2).unwrap();
    assert_eq!(tokens(&set, LONG), [2], "it was still ready");
    kick.drain();
    set.rearm(kick.as_fd(), 3).unwrap();
    assert_eq!(tokens(&set, NOW), []);
    kick.kick();
    assert_eq!(tokens(&set, LONG), [3]);
}

#[test]
fn more_than_one_batch_comes_in_several_waits() {
    let kicks: Vec<Kick> = (0..100).map(|_| Kick::new().unwrap()).collect();
    let set = Set::new().unwrap();
    for (token, kick) in (0..).zip(&kicks) {
        set.add(kick.as_fd(), token, true).unwrap();
        kick.kick();
    }
    let mut all = tokens(&set, LONG);
    all.extend(tokens(&set, LONG));
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

#[test]
fn mistakes_are_errors() {
    let kick = Kick::new().unwrap();
    let set = Set::new().unwrap();
    assert_eq!(set.rearm(kick.as_fd(), 1).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(set.remove(kick.as_fd()).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    set.add(kick.as_fd(), 1, false).unwrap();
    assert_eq!(
        set.add(kick.as_fd(), 1, false).unwrap_err().kind(),
        std::io::ErrorKind::AlreadyExists
    );
}

#[test]
fn a_set_is_itself_something_to_wait_for() {
    let kick = Kick::new().unwrap();
    let (inner, outer) = (Set::new().unwrap(), Set::new().unwrap());
    inner.add(kick.as_fd(), 1, false).unwrap();
    outer.add(inner.as_fd(), 2, false).unwrap();
    assert!(!wait(outer.as_fd(), NOW).unwrap());
    kick.kick();
    assert!(wait(inner.as_fd(), LONG).unwrap());
    assert_eq!(tokens(&outer, LONG), [2]);
    kick.drain();
    assert!(!wait(outer.as_fd(), NOW).unwrap());
}

#[test]
fn a_timeout_is_kept_and_never_early() {
    let set = Set::new().unwrap();
    for micros in [1, 50, 900, 1_500, 16_000, 20_300] {
        let timeout = Duration::from_micros(micros);
        let start = Instant::now();
        assert!(!wait(set.as_fd(), Some(timeout)).unwrap());
        assert_eq!(tokens(&set, Some(timeout)), []);
        assert!(start.elapsed() >= 2 * timeout, "{micros} µs");
    }
}

#[test]
fn a_kick_ends_a_wait_of_any_length() {
    for timeout in [None, Some(Duration::MAX), LONG] {
        let kick = Kick::new().unwrap();
        let set = Set::new().unwrap();
        set.add(kick.as_fd(), 1, false).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| kick.kick());
            assert!(wait(set.as_fd(), timeout).unwrap());
        });
    }
}
