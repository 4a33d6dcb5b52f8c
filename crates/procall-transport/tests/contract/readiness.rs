//! The readiness descriptor tells the truth, and nothing but.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use procall_transport::LinkOptions;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;

use crate::harness::{MakePair, fill, next, ready_now, send, several, wait};

on_every_transport!(
    readiness_is_quiet_when_idle,
    readiness_is_level_triggered,
    readiness_fires_at_end_of_file,
    readiness_does_not_fire_because_the_peer_reads,
    readiness_fires_for_what_arrives_after_a_none,
    edges_tell_of_each_arrival_and_of_end_of_file,
    wants_room_says_when_readiness_is_needed,
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

/// What an epoll descriptor was told at its edges since the last look; `None` for nothing.
fn told(epoll: &OwnedFd) -> Option<EventFlags> {
    let mut events = [MaybeUninit::<epoll::Event>::uninit()];
    let (ready, _) = epoll::wait(epoll, &mut events, Some(&Timespec::default())).unwrap();
    ready.first().map(|event| event.flags)
}

/// A link that gives `edges` tells of each arrival and of end of file there; …
fn edges_tell_of_each_arrival_and_of_end_of_file(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    let Some(edges) = right.edges() else { return };
    let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
    let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    epoll::add(&epoll, edges, EventData::new_u64(0), flags).unwrap();
    for _ in 0..3 {
        send(&mut *left, b"one");
        wait(&*right);
        assert!(told(&epoll).is_some());
        assert_eq!(told(&epoll), None, "an edge is told once");
        send(&mut *left, b"two");
        assert_eq!(next(&mut *right), b"one");
        assert_eq!(next(&mut *right), b"two");
        // On TCP the second may have come before the first was read, or after.
        let _ = told(&epoll);
        assert!(right.receive().unwrap().is_none());
        assert_eq!(told(&epoll), None);
    }
    send(&mut *left, b"last");
    left.close();
    drop(left);
    wait(&*right);
    let mut seen = EventFlags::empty();
    while !seen.contains(EventFlags::RDHUP) {
        // Here, or with the edge of what came before it: no later than that is read.
        let events = told(&epoll);
        if events.is_none() {
            wait(&*right);
        }
        seen |= events.unwrap_or(EventFlags::empty());
    }
    assert_eq!(next(&mut *right), b"last");
    // A link that has read all there was says so once before it looks again.
    assert!(right.receive().is_err() || right.receive().is_err());
}

/// … `wants_room` says when readiness is needed beside it.
fn wants_room_says_when_readiness_is_needed(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions { max_queued: 50_000, ..LinkOptions::default() });
    assert!(!left.wants_room());
    fill(&mut *left, &[0; 1_000]);
    assert_eq!(left.wants_room(), left.edges().is_some());
    while !left.flush().unwrap() {
        several(&mut *right);
        wait(&*left);
    }
    assert!(!left.wants_room());
}
