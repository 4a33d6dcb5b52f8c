//! Nothing waits, and every queue ends somewhere.

use procall_transport::{LinkError, LinkOptions};

use crate::harness::{MakePair, fill, next, queue, ready_now, several, wait};

on_every_transport!(
    nothing_waits,
    the_send_queue_is_bounded,
    a_full_link_goes_on_when_the_peer_has_read,
    the_largest_message_passes_and_a_larger_one_is_refused,
    an_empty_message_is_refused,
    a_bound_of_zero_lets_one_message_through_at_a_time,
);

const SMALL: LinkOptions = LinkOptions { max_message: 10_000, max_queued: 50_000, choice: None };

/// Nothing waits: `receive` on an empty link gives `None`, `buffer` on a full one gives `None`, `flush` sends what fits.
fn nothing_waits(pair: MakePair) {
    let (mut left, mut right) = pair(&SMALL);
    assert_eq!(right.receive().unwrap(), None);
    assert_eq!(right.receive().unwrap(), None);
    assert!(left.flush().unwrap(), "nothing queued, nothing left");
    fill(&mut *left, &[1; 1_000]);
    assert!(left.buffer(1).unwrap().is_none());
    assert!(!left.flush().unwrap());
    assert!(left.buffer(1).unwrap().is_none());
}

/// The send queue is bounded: …
fn the_send_queue_is_bounded(pair: MakePair) {
    let (mut left, _right) = pair(&SMALL);
    let mut queued = 0;
    while let Some(room) = left.buffer(SMALL.max_message).unwrap() {
        room.fill(1);
        left.commit();
        queued += SMALL.max_message;
    }
    assert!(
        (SMALL.max_queued - 1_000..SMALL.max_queued + SMALL.max_message).contains(&queued),
        "{queued}"
    );
}

/// … when it was full, readiness fires once the peer has read and `flush` can go on.
fn a_full_link_goes_on_when_the_peer_has_read(pair: MakePair) {
    let (mut left, mut right) = pair(&SMALL);
    let sent = fill(&mut *left, &[1; 1_000]);
    let mut received = 0;
    let mut done = false;
    while received < sent {
        received += several(&mut *right).len();
        if !done {
            wait(&*left);
            done = left.flush().unwrap();
        }
    }
    assert!(done);
    assert!(!ready_now(&*left), "room is no longer watched for");
    queue(&mut *left, b"and on");
    assert!(left.flush().unwrap());
    assert_eq!(next(&mut *right), b"and on");
}

/// A message of exactly `max_message` bytes passes; one byte more is refused by `buffer`, and the link lives on.
fn the_largest_message_passes_and_a_larger_one_is_refused(pair: MakePair) {
    let (mut left, mut right) = pair(&SMALL);
    assert_eq!(left.info().max_message, SMALL.max_message);
    let error = left.buffer(SMALL.max_message + 1).unwrap_err();
    assert!(matches!(error, LinkError::TooLarge { len: 10_001, max: 10_000 }), "{error:?}");
    left.commit();
    queue(&mut *left, &vec![5; SMALL.max_message]);
    assert!(left.flush().unwrap());
    assert_eq!(next(&mut *right), vec![5; SMALL.max_message]);
}

fn an_empty_message_is_refused(pair: MakePair) {
    let (mut left, mut right) = pair(&SMALL);
    assert!(matches!(left.buffer(0), Err(LinkError::Empty)));
    left.commit();
    queue(&mut *left, b"x");
    assert!(left.flush().unwrap());
    assert_eq!(next(&mut *right), b"x");
}

fn a_bound_of_zero_lets_one_message_through_at_a_time(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions { max_queued: 0, ..SMALL });
    for _ in 0..3 {
        queue(&mut *left, b"one");
        assert!(left.buffer(1).unwrap().is_none());
        assert!(left.flush().unwrap());
        assert_eq!(next(&mut *right), b"one");
    }
}
