//! Messages arrive whole, in order, and many at a time.

use procall_transport::LinkOptions;

use crate::harness::{MakePair, next, pattern, queue, random, ready_now, send, several, wait};

on_every_transport!(
    messages_arrive_whole_and_in_order,
    both_directions_at_once,
    many_messages_that_arrived_together_come_out_without_looking_again,
    a_batch_larger_than_the_kernels_queue_arrives_in_order,
    what_is_borrowed_and_not_committed_is_not_sent,
    what_is_borrowed_survives_a_flush,
    large_and_small_messages_in_turn,
);

/// Messages arrive whole and in the order in which they were committed.
fn messages_arrive_whole_and_in_order(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    let mut random = random();
    for number in 0..2_000 {
        let message = pattern(number, random() % 3_000 + 1);
        send(&mut *left, &message);
        assert_eq!(next(&mut *right), message);
    }
}

fn both_directions_at_once(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    for number in 0..100 {
        send(&mut *left, &pattern(number, 100));
        send(&mut *right, &pattern(number + 1, 90));
    }
    for number in 0..100 {
        assert_eq!(next(&mut *right), pattern(number, 100));
        assert_eq!(next(&mut *left), pattern(number + 1, 90));
    }
}

/// Many messages that arrived together come out one after another without further system calls.
fn many_messages_that_arrived_together_come_out_without_looking_again(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    for number in 0..500 {
        queue(&mut *left, &pattern(number, 20));
    }
    assert!(left.flush().unwrap());
    wait(&*right);
    assert_eq!(right.receive().unwrap(), Some(&*pattern(0, 20)));
    assert!(!ready_now(&*right), "all were taken out of the kernel at once");
    for number in 1..500 {
        assert_eq!(right.receive().unwrap(), Some(&*pattern(number, 20)));
    }
    assert_eq!(right.receive().unwrap(), None);
}

fn a_batch_larger_than_the_kernels_queue_arrives_in_order(pair: MakePair) {
    let (mut left, mut right) =
        pair(&LinkOptions { max_queued: 4 << 20, ..LinkOptions::default() });
    let count = 300;
    for number in 0..count {
        queue(&mut *left, &pattern(number, 10_000));
    }
    let mut arrived = Vec::new();
    while arrived.len() < count {
        left.flush().unwrap();
        arrived.extend(several(&mut *right));
    }
    for (number, message) in arrived.iter().enumerate() {
        assert_eq!(*message, pattern(number, 10_000));
    }
    assert!(left.flush().unwrap());
}

fn what_is_borrowed_and_not_committed_is_not_sent(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    left.commit();
    left.buffer(9).unwrap().expect("room").copy_from_slice(b"discarded");
    queue(&mut *left, b"one");
    left.commit();
    left.buffer(9).unwrap().expect("room").copy_from_slice(b"discarded");
    assert!(left.flush().unwrap());
    assert_eq!(next(&mut *right), b"one");
    assert_eq!(right.receive().unwrap(), None);
}

fn what_is_borrowed_survives_a_flush(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    queue(&mut *left, b"one");
    left.buffer(3).unwrap().expect("room").copy_from_slice(b"two");
    assert!(left.flush().unwrap());
    left.commit();
    assert!(left.flush().unwrap());
    assert_eq!(next(&mut *right), b"one");
    assert_eq!(next(&mut *right), b"two");
}

fn large_and_small_messages_in_turn(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    for number in 0..40 {
        let len = if number % 3 == 0 { 1 << 20 } else { 10 + number };
        let message = pattern(number, len);
        queue(&mut *left, &message);
        while !left.flush().unwrap() {
            wait(&*right);
            assert_eq!(right.receive().unwrap(), None, "its end was not sent yet");
        }
        assert!(next(&mut *right) == message, "message {number}");
    }
}
