//! What a call costs at least in shared memory: a ring of frames that one thread writes and another waits for.
//!
//! Both are threads of one process, so that no unsafe code is needed to share the memory.
//! The cache lines and the wakes are those of two processes; a change of the address space is not among the costs.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use procall_bench_load::{Figures, IN_FLIGHT, Measured, Task, latency, throughput};
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::futex;

use crate::placement;

type Failure = Box<dyn std::error::Error>;

/// How a side waits for the other.
pub(crate) enum Wait {
    Futex,
    Eventfd,
    Polling,
}

/// One direction: how much was sent, on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Line {
    sent: AtomicU32,
    sleeps: AtomicBool,
}

/// A frame of 32 bytes.
type Frame = [AtomicU64; 4];

/// More than are in flight.
const SLOTS: usize = 2 * IN_FLIGHT;

struct Way {
    line: Line,
    frames: Vec<Frame>,
    wait: Wait,
    event: OwnedFd,
}

impl Way {
    fn new(wait: Wait) -> Result<Self, Failure> {
        let frames = (0..SLOTS).map(|_| Frame::default()).collect();
        let event = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Self { line: Line::default(), frames, wait, event })
    }

    fn frame(&self, number: u32) -> &Frame {
        &self.frames[number as usize % SLOTS]
    }

    fn write(&self, number: u32, word: u64) {
        self.frame(number).iter().for_each(|place| place.store(word, Ordering::Relaxed));
    }

    fn read(&self, number: u32) -> u64 {
        self.frame(number).iter().map(|place| place.load(Ordering::Relaxed)).sum()
    }

    fn send(&self, sent: u32) {
        self.line.sent.store(sent, Ordering::SeqCst);
        match self.wait {
            Wait::Polling => {}
            // Nobody is woken who does not sleep.
            Wait::Futex => {
                if self.line.sleeps.swap(false, Ordering::SeqCst) {
                    futex::wake(&self.line.sent, futex::Flags::PRIVATE, 1).expect("a waker wakes");
                }
            }
            Wait::Eventfd => {
                if self.line.sleeps.swap(false, Ordering::SeqCst) {
                    rustix::io::write(&self.event, &1_u64.to_ne_bytes()).expect("a waker wakes");
                }
            }
        }
    }

    /// Waits until something else than `seen` was sent.
    fn wait(&self, seen: u32) -> u32 {
        loop {
            let sent = self.line.sent.load(Ordering::SeqCst);
            if sent != seen {
                return sent;
            }
            if matches!(self.wait, Wait::Polling) {
                std::hint::spin_loop();
                continue;
            }
            self.line.sleeps.store(true, Ordering::SeqCst);
            if self.line.sent.load(Ordering::SeqCst) != seen {
                self.line.sleeps.store(false, Ordering::SeqCst);
                // A wake that is on its way wakes nobody, but must not be taken for the next.
                continue;
            }
            match self.wait {
                Wait::Polling => {}
                // It returns at once when the number is another by now.
                Wait::Futex => {
                    let _ = futex::wait(&self.line.sent, futex::Flags::PRIVATE, seen, None);
                }
                Wait::Eventfd => {
                    rustix::io::read(&self.event, &mut [0; 8]).expect("an eventfd can be read");
                }
            }
        }
    }
}

pub(crate) fn call(task: &Task, wait: fn() -> Wait) -> Result<Figures, Failure> {
    let there = Arc::new(Way::new(wait())?);
    let back = Arc::new(Way::new(wait())?);
    let (requests, answers) = (there.clone(), back.clone());
    let partner = std::env::var(placement::PARTNER).ok().and_then(|cpu| cpu.parse().ok());
    thread::spawn(move || {
        if let Some(cpu) = partner {
            placement::pin(cpu).expect("the CPU is there");
        }
        let mut seen = 0;
        loop {
            let sent = requests.wait(seen);
            while seen != sent {
                seen = seen.wrapping_add(1);
                answers.write(seen, requests.read(seen));
            }
            answers.send(sent);
        }
    });
    let mut sent = 0_u32;
    // A batch is told once, and is through when the last of it is answered.
    let mut exchange = |count: u32| {
        let (first, last) = (sent.wrapping_add(1), sent.wrapping_add(count));
        while sent != last {
            sent = sent.wrapping_add(1);
            there.write(sent, u64::from(sent));
        }
        there.send(sent);
        let mut seen = back.line.sent.load(Ordering::SeqCst);
        while seen != last {
            seen = back.wait(seen);
        }
        for number in 0..count {
            let number = first.wrapping_add(number);
            assert_eq!(back.read(number), 16 * u64::from(number));
        }
    };
    let (p50_us, p99_us) = latency(task.window, || exchange(1));
    let per_second = throughput(task.window, || {
        exchange(IN_FLIGHT as u32);
        IN_FLIGHT
    });
    Ok(Measured { p50_us, p99_us, per_second }.into())
}
