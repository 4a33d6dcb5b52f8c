//! Two threads, each with its end: no wake is lost, whatever the timing.

use procall_transport::{Link, LinkOptions};

use crate::harness::{MakePair, is_closed, next, pattern, random, send, wait};

on_every_transport!(no_wake_is_lost_one_by_one, no_wake_is_lost_when_the_queue_is_always_full);

fn no_wake_is_lost_one_by_one(pair: MakePair) {
    let (mut left, mut right) = pair(&LinkOptions::default());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..3_000 {
                let message = next(&mut *right);
                send(&mut *right, &message);
            }
        });
        for number in 0..3_000 {
            let message = pattern(number, number % 100 + 1);
            send(&mut *left, &message);
            assert_eq!(next(&mut *left), message);
        }
    });
}

fn no_wake_is_lost_when_the_queue_is_always_full(pair: MakePair) {
    let options = LinkOptions { max_message: 9_000, max_queued: 20_000, ..LinkOptions::default() };
    let (mut left, mut right) = pair(&options);
    let count = 10_000;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut random = random();
            for number in 0..count {
                push(&mut *left, &pattern(number, random() % 9_000 + 1));
            }
            while !left.flush().unwrap() {
                wait(&*left);
            }
            left.close();
        });
        let mut random = random();
        let mut number = 0;
        let error = loop {
            match right.receive() {
                Ok(Some(message)) => {
                    assert!(message == pattern(number, random() % 9_000 + 1), "message {number}");
                    number += 1;
                }
                Ok(None) => wait(&*right),
                Err(error) => break error,
            }
        };
        assert_eq!(number, count);
        assert!(is_closed(&error), "{error:?}");
    });
}

/// Sends as a driver does: flush when full, wait when the kernel is full too.
fn push(link: &mut dyn Link, message: &[u8]) {
    loop {
        if let Some(room) = link.buffer(message.len()).unwrap() {
            room.copy_from_slice(message);
            link.commit();
            return;
        }
        if !link.flush().unwrap() {
            wait(link);
        }
    }
}
