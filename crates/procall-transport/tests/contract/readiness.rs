//! The readiness descriptor tells the truth, and nothing but.

use procall_transport::LinkOptions;

use crate::harness::{MakePair, fill, next, ready_now, send, several, wait};

on_every_transport!(
    readiness_is_quiet_when_idle,
    readiness_is_level_triggered,
    readiness_fires_at_end_of_file,
    readiness_does_not_fire_because_the_peer_reads,
    readiness_fires_for_what_arrives_after_a_none,
);

/// Readiness is level-triggered, quiet when idle, …
fn readiness_is_quiet_when_idle(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    assert!(!ready_now(&*left) && !ready_now(&*right));
    send(&mut *left, b"ping");
    assert_eq!(next(&mut *right), b"ping");
    send(&mut *right, b"pong");
    assert_eq!(next(&mut *left), b"pong");
    assert!(!ready_now(&*left) && !ready_now(&*right));
}

fn readiness_is_level_triggered(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    send(&mut *left, b"one");
    wait(&*right);
    wait(&*right);
    send(&mut *left, b"two");
    assert!(ready_now(&*right));
    assert_eq!(next(&mut *right), b"one");
    assert_eq!(next(&mut *right), b"two");
    assert!(!ready_now(&*right));
}

/// … and fires at end of file.
fn readiness_fires_at_end_of_file(pair: MakePair) {
    let (mut left, right) = pair(&LinkOptions::default());
    assert!(!ready_now(&*left));
    drop(right);
    wait(&*left);
    wait(&*left);
    assert!(left.receive().is_err());
    assert!(ready_now(&*left));
}

/// Readiness does not fire because the peer reads, unless bytes are unsent.
fn readiness_does_not_fire_because_the_peer_reads(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions { max_queued: 50_000, ..LinkOptions::default() });
    for _ in 0..3 {
        for _ in 0..20 {
            send(&mut *left, &[0; 1_000]);
        }
        let mut read = 0;
        while read < 20 {
            read += several(&mut *right).len();
            assert!(!ready_now(&*left));
        }
        // Nor after a time when bytes were unsent.
        let mut sent = fill(&mut *left, &[0; 1_000]);
        while !left.flush().unwrap() {
            sent -= several(&mut *right).len();
            wait(&*left);
        }
        while sent > 0 {
            sent -= several(&mut *right).len();
            assert!(!ready_now(&*left));
        }
    }
}

/// `None` is the invitation to wait, not a proof of emptiness: something may have arrived since, and then readiness fires.
fn readiness_fires_for_what_arrives_after_a_none(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    for number in 0..100_u8 {
        send(&mut *left, &[number]);
        wait(&*right);
        assert_eq!(right.receive().unwrap(), Some(&[number][..]));
        send(&mut *left, &[number, 1]);
        assert_eq!(next(&mut *right), [number, 1]);
        assert_eq!(right.receive().unwrap(), None);
        assert!(!ready_now(&*right));
    }
}
