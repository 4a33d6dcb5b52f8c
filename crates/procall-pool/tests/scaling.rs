//! Pools whose workers come and go: with the load, after so many calls, above so much memory, one after the other.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use common::{call, expect, pid, pool, start, text};
use procall::ErrorCode;
use procall_pool::{Happening, Opening, RecyclePolicy, Transport, WorkerState};

#[test]
fn an_elastic_pool_grows_under_load_and_shrinks_when_idle() {
    let idle = Duration::from_millis(100);
    let pool = pool().elastic(1..=3).idle_timeout(idle).start().wait().unwrap();
    assert_eq!(pool.workers().len(), 1, "it starts with the fewest");
    let events = pool.events();
    let busy: Vec<_> = (0..3).map(|_| start(&pool, "sleep_ms", "400")).collect();
    for worker in ["test/2", "test/3"] {
        let grown = expect(&events, |event| event.happening == Happening::Ready);
        assert_eq!(&*grown.worker, worker);
    }
    let mut pids: Vec<String> = busy.into_iter().map(text).collect();
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 3, "all three were at work");
    for _ in 0..2 {
        expect(&events, |event| event.happening == Happening::Stopped);
    }
    let left = pool.workers();
    assert_eq!((left.len(), left[0].state), (1, WorkerState::Ready));
    // And once more: a spare place is as good as a new one.
    let busy: Vec<_> = (0..2).map(|_| start(&pool, "sleep_ms", "200")).collect();
    expect(&events, |event| event.happening == Happening::Ready);
    assert_eq!(busy.into_iter().map(text).count(), 2);
    pool.stop().wait().unwrap();
}

#[test]
fn an_elastic_pool_under_no_load_stays_small() {
    let pool = pool().elastic(1..=4).start().wait().unwrap();
    for _ in 0..100 {
        call(&pool, "echo", "").unwrap();
    }
    assert_eq!(pool.workers().len(), 1);
    assert_eq!(pool.restart(3).wait().unwrap_err().code(), ErrorCode::InvalidArgument);
    pool.restart_all().wait().unwrap();
    assert_eq!(pool.workers().len(), 1);
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    #[expect(clippy::reversed_empty_ranges, reason = "that is the mistake")]
    for workers in [0..=2, 3..=2, 1..=5000] {
        let error = pool().elastic(workers).start().wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
    let never = RecyclePolicy { max_calls: Some(0), ..RecyclePolicy::default() };
    let error = pool().recycle(never).start().wait().unwrap_err();
    assert!(error.message().contains("leave max_calls out"), "{error}");
}

#[test]
fn a_worker_is_recycled_after_so_many_calls_and_none_is_lost() {
    let policy = RecyclePolicy { max_calls: Some(10), ..RecyclePolicy::default() };
    let pool = pool().workers(2).recycle(policy).start().wait().unwrap();
    let events = pool.events();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope
                .spawn(|| (0..50).for_each(|_| assert_eq!(call(&pool, "echo", "x").unwrap(), "x")));
        }
    });
    let told = expect(&events, |event| matches!(event.happening, Happening::Replacing { .. }));
    assert!(told.to_string().ends_with("is replaced: it has served 10 calls"), "{told}");
    let workers = pool.workers();
    assert!(workers.iter().map(|worker| worker.restarts).sum::<u64>() >= 2, "{workers:?}");
    assert_eq!(workers.iter().map(|worker| worker.calls).sum::<u64>(), 200);
}

#[test]
fn a_worker_that_grows_too_large_is_replaced() {
    let policy = RecyclePolicy { max_memory: Some(1), ..RecyclePolicy::default() };
    let pool = pool().recycle(policy).start().wait().unwrap();
    let (events, first) = (pool.events(), pid(&pool, 0));
    assert!(pool.workers()[0].memory.is_some_and(|bytes| bytes > 1));
    let told = expect(&events, |event| matches!(event.happening, Happening::Replacing { .. }));
    assert!(told.to_string().contains("MiB of memory"), "{told}");
    expect(&events, |event| event.happening == Happening::Ready);
    assert_ne!(pid(&pool, 0), first);
}

#[test]
fn a_rolling_restart_under_load_loses_no_call() {
    let pool = pool().workers(2).start().wait().unwrap();
    let before: Vec<u32> = (0..2).map(|index| pid(&pool, index)).collect();
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(call(&pool, "echo", "x").unwrap(), "x");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..5 {
            pool.restart_all().wait().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(served.load(Ordering::Relaxed) > 0);
    let workers = pool.workers();
    assert!(workers.iter().all(|worker| worker.restarts == 5), "{workers:?}");
    assert!(workers.iter().all(|worker| !before.contains(&worker.pid.unwrap())));
}

#[test]
fn the_number_of_workers_never_drifts() {
    let pool = pool().workers(3).start().wait().unwrap();
    let busy: Vec<_> = (0..3).map(|_| start(&pool, "sleep_ms", "100")).collect();
    // Restarts of busy workers, several at once, of the same ones.
    let restarts = [pool.restart(0), pool.restart_all(), pool.restart(2), pool.restart(0)];
    busy.into_iter().for_each(|call| drop(text(call)));
    for restart in restarts {
        restart.wait().unwrap();
    }
    let workers = pool.workers();
    assert_eq!(workers.len(), 3);
    assert!(workers.iter().all(|worker| worker.state == WorkerState::Ready), "{workers:?}");
    let pids: std::collections::BTreeSet<_> = workers.iter().map(|worker| worker.pid).collect();
    assert_eq!(pids.len(), 3);
    let busy: Vec<_> = (0..3).map(|_| start(&pool, "sleep_ms", "50")).collect();
    assert_eq!(pool.queued(), 0, "three slots and no more");
    let fourth = start(&pool, "echo", "");
    assert_eq!(pool.queued(), 1);
    drop((busy, fourth));
}

/// Has the supervisor stand still from when it opens this until the sender is dropped.
struct StandStill {
    begun: Mutex<SyncSender<()>>,
    over: Mutex<Receiver<()>>,
}

impl Transport for StandStill {
    fn open(&self, _worker: &str) -> std::io::Result<Opening> {
        self.begun.lock().unwrap().send(()).unwrap();
        self.over.lock().unwrap().recv().unwrap_err();
        Err(std::io::Error::other("it was only here to wait"))
    }
}

#[test]
fn a_call_that_expired_in_the_queue_does_not_count_as_served() {
    let policy = RecyclePolicy { max_calls: Some(2), ..RecyclePolicy::default() };
    let pool = pool().recycle(policy).start().wait().unwrap();
    let events = pool.events();
    let (begun, has_begun) = sync_channel(16);
    let (go_on, over) = sync_channel(16);
    let still = StandStill { begun: Mutex::new(begun), over: Mutex::new(over) };
    let start_other = common::pool().transport(still).start();
    has_begun.recv().unwrap();
    // Without a supervisor, it is whoever frees the slot that finds the call expired.
    let busy = start(&pool, "sleep_ms", "50");
    let late = pool.start_call(common::within(1, "echo", "")).unwrap();
    text(busy);
    assert_eq!(late.wait().unwrap_err().code(), ErrorCode::DeadlineExceeded);
    assert_eq!(pool.workers()[0].calls, 1);
    drop(go_on);
    start_other.wait().unwrap_err();
    call(&pool, "echo", "").unwrap();
    expect(&events, |event| matches!(event.happening, Happening::Replacing { .. }));
}

#[test]
fn a_worker_that_is_let_go_for_idleness_finishes_what_it_got_at_the_last_moment() {
    let pool = pool().elastic(1..=2).idle_timeout(Duration::ZERO).start().wait().unwrap();
    let events = pool.events();
    for _ in 0..20 {
        // Two long ones make it grow, and then all race with its shrinking.
        let busy: Vec<_> = (0..2).map(|_| start(&pool, "sleep_ms", "80")).collect();
        expect(&events, |event| event.happening == Happening::Ready);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        call(&pool, "echo", "x").unwrap();
                    }
                });
            }
            busy.into_iter().for_each(|call| drop(text(call)));
        });
        expect(&events, |event| event.happening == Happening::Stopped);
    }
}
