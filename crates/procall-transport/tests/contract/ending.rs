//! How links end.

use procall_transport::{LinkError, LinkOptions};

use crate::harness::{MakePair, assert_dead, fill, is_closed, next, queue, rest, send, wait};

on_every_transport!(
    what_was_flushed_before_a_close_is_received_first,
    what_was_flushed_is_received_though_the_closer_left_input_unread,
    what_was_not_flushed_is_lost,
    close_is_idempotent_and_the_peer_sees_closed,
    dropping_a_link_closes_it,
    an_answer_is_received_though_sending_has_failed,
    closing_a_full_link_does_not_wait,
    errors_are_sticky,
    what_is_printed_of_a_link_says_nothing_of_what_it_carries,
);

/// What was flushed before a close is received first, then `Closed`.
fn what_was_flushed_before_a_close_is_received_first(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    let sent = [vec![1; 10], vec![2; 60_000], vec![3; 1]];
    for message in &sent {
        send(&mut *left, message);
    }
    left.close();
    let (received, error) = rest(&mut *right);
    assert_eq!(received, sent);
    assert!(is_closed(&error), "{error:?}");
}

fn what_was_flushed_is_received_though_the_closer_left_input_unread(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    for _ in 0..10 {
        send(&mut *right, &[0; 5_000]);
    }
    wait(&*left);
    send(&mut *left, b"last words");
    left.close();
    let (received, error) = rest(&mut *right);
    assert_eq!(received, [b"last words"]);
    assert!(is_closed(&error), "{error:?}");
}

fn what_was_not_flushed_is_lost(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    send(&mut *left, b"flushed");
    queue(&mut *left, b"not flushed");
    left.close();
    let (received, error) = rest(&mut *right);
    assert_eq!(received, [b"flushed"]);
    assert!(is_closed(&error), "{error:?}");
}

/// `close` is idempotent, and the peer sees `Closed`.
fn close_is_idempotent_and_the_peer_sees_closed(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    left.close();
    left.close();
    assert_dead(&mut *left, is_closed);
    let (received, error) = rest(&mut *right);
    assert!(received.is_empty() && is_closed(&error), "{error:?}");
    right.close();
    left.close();
    assert_dead(&mut *left, is_closed);
    assert_dead(&mut *right, is_closed);
}

fn dropping_a_link_closes_it(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    send(&mut *left, b"bye");
    drop(left);
    let (received, error) = rest(&mut *right);
    assert_eq!(received, [b"bye"]);
    assert!(is_closed(&error), "{error:?}");
}

/// An error of `flush` is final for sending only: `receive` still hands out what the peer sent before it went.
fn an_answer_is_received_though_sending_has_failed(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    send(&mut *right, b"the answer");
    right.close();
    wait(&*left);
    // TCP learns only from the reply to the first bytes that nobody reads them.
    let error = loop {
        let queued = left.buffer(5).map(|room| room.map(|room| room.fill(0)).is_some());
        left.commit();
        if let Err(error) = queued.and_then(|_| left.flush()) {
            break error;
        }
    };
    assert!(is_closed(&error), "{error:?}");
    assert!(is_closed(&left.flush().unwrap_err()));
    assert!(is_closed(&left.buffer(1).unwrap_err()));
    assert_eq!(next(&mut *left), b"the answer");
    let (received, error) = rest(&mut *left);
    assert!(received.is_empty() && is_closed(&error), "{error:?}");
    assert_dead(&mut *left, is_closed);
}

fn closing_a_full_link_does_not_wait(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    fill(&mut *left, &[7; 9_999]);
    left.close();
    let (received, error) = rest(&mut *right);
    assert!(received.iter().all(|message| *message == [7; 9_999]), "whole messages only");
    assert!(matches!(error, LinkError::Closed | LinkError::Truncated), "{error:?}");
}

/// Errors are sticky: after one, every later call gives an error of the same kind.
fn errors_are_sticky(pair: MakePair) {
    let (mut left, right) = pair(&LinkOptions::default());
    drop(right);
    rest(&mut *left);
    assert_dead(&mut *left, is_closed);
}

fn what_is_printed_of_a_link_says_nothing_of_what_it_carries(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    send(&mut *left, &[211; 1_000]);
    queue(&mut *left, &[211; 1_000]);
    assert_eq!(next(&mut *right), [211; 1_000]);
    for link in [&left, &right] {
        let printed = format!("{link:?}");
        assert!(!printed.contains("211, 211") && printed.len() < 2_000, "{printed}");
    }
}
