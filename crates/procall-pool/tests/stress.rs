//! Everything at once, at random: whatever happens to the workers, each call has one outcome that tells the truth, and nothing is left.

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{call, count, pool, request};
use procall::{CallOptions, Deadline, Error, ErrorCode, Executed, OnTimeout, Started};
use procall_pool::{DispatchPolicy, Pool, RecyclePolicy, RestartPolicy, Step};

const SEEDS: [u64; 6] = [1, 2, 3, 5, 8, 13];
const THREADS: u64 = 4;
const CALLS: u64 = 300;
/// Calls that a thread leaves open at once.
const OPEN: usize = 12;

/// SplitMix64 by Steele, Lea and Flood: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// What may become of a call besides success.
#[derive(Clone, Copy, Default)]
struct May {
    expire: bool,
    be_cancelled: bool,
    /// Its worker may be down or not there.
    miss: bool,
}

struct Open {
    id: u64,
    started: Started,
    may: May,
}

/// How each call ended, by its number: whether it was a success, and else whether it ran.
type Ends = BTreeMap<u64, Option<Executed>>;

/// One caller.
struct Caller<'a> {
    pool: &'a Pool,
    dice: Dice,
    ids: &'a AtomicU64,
    thread: u64,
    /// The last number of each of this thread's own keys.
    sequences: [u64; 3],
    open: VecDeque<Open>,
    ends: Ends,
    restarts: Vec<Step>,
}

impl Caller<'_> {
    fn run(mut self) -> (Ends, Vec<Step>) {
        for _ in 0..CALLS {
            self.act();
            while self.open.len() > OPEN {
                self.finish();
            }
        }
        while !self.open.is_empty() {
            self.finish();
        }
        (self.ends, self.restarts)
    }

    fn act(&mut self) {
        let mut options = long();
        let (mut may, mut key, mut sequence) = (May::default(), String::from("-"), 0);
        let mut millis = [0, 0, 1, 3][self.dice.below(4) as usize];
        match self.dice.below(100) {
            // The worker that gets it kills itself.
            0 => {
                let crash = self.pool.start_call(request("crash", "9").with_options(options));
                return self.note(crash, May::default());
            }
            1 => return self.restarts.push(self.pool.restart_all()),
            2..4 => return self.broadcast(),
            4..40 => {
                let own = self.dice.below(3) as usize;
                self.sequences[own] += 1;
                (key, sequence) = (format!("{}.{own}", self.thread), self.sequences[own]);
                options.key = Some(key.as_str().into());
                may.miss = true;
            }
            40..50 => {
                options.to = Some(format!("test/{}", 1 + self.dice.below(3)).into());
                may.miss = true;
            }
            50..60 => (options.deadline, may.expire) = (after(1 + self.dice.below(4)), true),
            60..63 => {
                (options.deadline, may.expire, millis) = (after(3), true, 60_000);
                options.on_timeout = OnTimeout::Restart;
            }
            _ => {}
        }
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let body = format!("{id} {key} {sequence} {millis}");
        let started = self.pool.start_call(request("mark", &body).with_options(options));
        match (self.dice.below(20), started) {
            // What becomes of it, nobody knows.
            (0, started) => drop(started),
            (1, Ok(started)) => {
                started.cancel();
                may.be_cancelled = true;
                self.open.push_back(Open { id, started, may });
            }
            (_, Ok(started)) => self.open.push_back(Open { id, started, may }),
            (_, Err(error)) => self.end(id, Err(error), may),
        }
    }

    fn broadcast(&mut self) {
        let parts = self.pool.start_on_all(&request("echo", "").with_options(long()));
        for (_, started) in parts {
            self.note(started, May { miss: true, ..May::default() });
        }
    }

    /// A call that is written down nowhere.
    fn note(&mut self, started: Result<Started, Error>, may: May) {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        match started {
            Ok(started) => self.open.push_back(Open { id, started, may }),
            Err(error) => check(&error, may),
        }
    }

    fn finish(&mut self) {
        if let Some(Open { id, started, may }) = self.open.pop_front() {
            let result = started.wait().map(drop);
            self.end(id, result, may);
        }
    }

    fn end(&mut self, id: u64, result: Result<(), Error>, may: May) {
        let end = result.map_err(|error| {
            check(&error, may);
            error.executed()
        });
        assert_eq!(self.ends.insert(id, end.err()), None);
    }
}

fn after(millis: u64) -> Deadline {
    Deadline::After(Duration::from_millis(millis))
}

/// A call that reaches this deadline was forgotten by somebody.
fn long() -> CallOptions {
    CallOptions { deadline: Deadline::After(common::LONG), ..CallOptions::default() }
}

fn check(error: &Error, may: May) {
    let expected = match error.code() {
        ErrorCode::WorkerLost | ErrorCode::Overloaded => true,
        ErrorCode::DeadlineExceeded => may.expire,
        ErrorCode::Cancelled => may.be_cancelled,
        ErrorCode::NoWorker | ErrorCode::NotFound => may.miss,
        _ => false,
    };
    assert!(expected, "{error}");
}

/// What the workers wrote down: process, call, key, number within the key.
fn read(log: &str) -> Vec<(u32, u64, &str, u64)> {
    log.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            (u32::try_from(number(0)).unwrap(), number(1), words[2], number(3))
        })
        .collect()
}

fn storm(seed: u64) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let restart = RestartPolicy {
        backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(4),
        max_restarts: u32::MAX,
        max_unready: u32::MAX,
        ..RestartPolicy::default()
    };
    let policies =
        [DispatchPolicy::IdleFirst, DispatchPolicy::LeastLoaded, DispatchPolicy::RoundRobin];
    let pool = pool()
        .elastic(2..=3)
        .idle_timeout(Duration::from_millis(20))
        .concurrency(1 + (seed % 3) as u32)
        .dispatch(policies[(seed % 3) as usize])
        .recycle(RecyclePolicy { max_calls: Some(40), ..RecyclePolicy::default() })
        .restart(restart)
        .env("LOG", log.path())
        .start()
        .wait()
        .unwrap();
    let ids = AtomicU64::new(0);
    let mut ends = Ends::new();
    let mut restarts = Vec::new();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let dice = Dice(seed * 1_000 + thread);
                let (sequences, open) = ([0; 3], VecDeque::new());
                let (ends, restarts, pool, ids) = (Ends::new(), Vec::new(), &pool, &ids);
                let caller = Caller { pool, dice, ids, thread, sequences, open, ends, restarts };
                scope.spawn(|| caller.run())
            })
            .collect();
        for caller in callers {
            let (ended, asked) = caller.join().unwrap();
            ends.extend(ended);
            restarts.extend(asked);
        }
    });
    for restart in restarts {
        restart.wait().unwrap();
    }
    pool.drain().wait().unwrap();

    let (metrics, workers) = (pool.metrics(), pool.workers());
    assert_eq!((pool.queued(), metrics.in_flight), (0, 0), "seed {seed}");
    assert!(workers.iter().all(|worker| worker.in_flight == 0), "seed {seed}: {workers:?}");
    assert_eq!(
        metrics.total_requests,
        metrics.successful_requests + metrics.failed_requests + metrics.cancelled_requests,
    );
    assert_eq!(metrics.total_requests, ids.into_inner(), "each call is counted once");
    pool.stop().wait().unwrap();

    let log = std::fs::read_to_string(log.path()).unwrap();
    let (mut begun, mut last) = (BTreeMap::<u64, u32>::new(), BTreeMap::new());
    for (pid, id, key, sequence) in read(&log) {
        *begun.entry(id).or_default() += 1;
        if key != "-" {
            let before = last.insert((pid, key), sequence).unwrap_or_default();
            assert!(before < sequence, "seed {seed}: {key} began {sequence} after {before}");
        }
    }
    assert!(begun.values().all(|&times| times == 1), "seed {seed}: a call ran twice");
    for (id, end) in &ends {
        match end {
            None | Some(Executed::Maybe) => {}
            Some(Executed::Yes) => assert!(begun.contains_key(id), "seed {seed}: {id} did not run"),
            Some(Executed::No) => assert!(!begun.contains_key(id), "seed {seed}: {id} has run"),
        }
    }
}

#[test]
fn whatever_happens_each_call_ends_once_and_tells_the_truth() {
    // What the first pool makes, such as the supervisor, stays.
    call(&pool().start().wait().unwrap(), "echo", "").unwrap();
    let descriptors = count("fd");
    SEEDS.into_iter().for_each(storm);
    assert_eq!(count("fd"), descriptors);
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let children = thread.unwrap().path().join("children");
        assert_eq!(std::fs::read_to_string(children).unwrap(), "", "no process is left");
    }
}
