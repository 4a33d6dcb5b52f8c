//! The rules of sleeping and waking, run in every order that the memory model allows: `make loom`.

#![allow(unsafe_code)]

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Notify};
use loom::thread;

use super::*;

/// Two bytes: full soon, and round soon.
const CAPACITY: u32 = 2;

/// What two sides share: their words, one ring from left to right, and a bell each.
struct Shared {
    left: Control,
    right: Control,
    ring: [UnsafeCell<u32>; CAPACITY as usize],
    left_bell: Notify,
    right_bell: Notify,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            left: Control::new(),
            right: Control::new(),
            ring: [UnsafeCell::new(0), UnsafeCell::new(0)],
            left_bell: Notify::new(),
            right_bell: Notify::new(),
        })
    }

    /// Sends as the link does: as much as there is room for, then asks for room and looks once more.
    fn send(&self, account: &mut Account, numbers: u32) {
        let mut next = 0;
        while next < numbers {
            let room = account.room(&self.right).unwrap();
            if room == 0 {
                if !account.want_room(&self.left, &self.right).unwrap() {
                    self.left_bell.wait();
                    account.renew(&self.left);
                }
                continue;
            }
            account.found_room(&self.left);
            let at = account.tail() % CAPACITY;
            // SAFETY: what the rules are to make sure of: loom fails here if the other side may be reading this place.
            self.ring[at as usize].with_mut(|place| unsafe { *place = next });
            next += 1;
            if account.put(&self.left, &self.right, 1) {
                self.right_bell.notify();
            }
        }
    }

    /// Receives as the link does: takes what there is, falls asleep when there is nothing, and looks once more.
    fn receive(&self, account: &mut Account, numbers: u32) {
        let mut next = 0;
        while next < numbers {
            if account.arrived(&self.left).unwrap() == 0 {
                if account.sleep(&self.right, &self.left).unwrap() {
                    self.right_bell.wait();
                    account.renew(&self.right);
                }
                continue;
            }
            account.wake(&self.right);
            let at = account.head() % CAPACITY;
            // SAFETY: as above, for one who may be writing.
            let found = self.ring[at as usize].with(|place| unsafe { *place });
            assert_eq!(found, next);
            next += 1;
            if account.taken(&self.right, &self.left, 1) {
                self.left_bell.notify();
            }
        }
    }
}

fn model(numbers: u32, preemptions: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let shared = Shared::new();
        let mut left = Account::new(&shared.left, CAPACITY, CAPACITY);
        let mut right = Account::new(&shared.right, CAPACITY, CAPACITY);
        let receiver = {
            let shared = shared.clone();
            thread::spawn(move || shared.receive(&mut right, numbers))
        };
        shared.send(&mut left, numbers);
        // A wake-up that is lost ends here, as a deadlock.
        receiver.join().unwrap();
    });
}

/// Nothing is lost, doubled or overtaken, and nobody sleeps beside what it waits for: bytes on one side, room on the other.
#[test]
fn a_sender_and_a_receiver_that_both_sleep() {
    let long = std::env::var_os("PROCALL_LOOM_LONG").is_some();
    if long { model(4, 4) } else { model(3, 3) }
}
