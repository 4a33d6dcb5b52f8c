//! Which worker gets which call, and when.

mod common;

use std::time::{Duration, Instant};

use common::{call, expect, hold, kill, pid, pool, request, start, state, text, within};
use procall::{Channel, ErrorCode, Executed};
use procall_pool::{Happening, WorkerState};

#[test]
fn calls_go_to_idle_workers_first() {
    let pool = pool().workers(3).start().wait().unwrap();
    let busy: Vec<_> = (0..3).map(|_| start(&pool, "sleep_ms", "200")).collect();
    assert!(
        pool.workers()
            .iter()
            .all(|worker| worker.state == WorkerState::Busy && worker.in_flight == 1)
    );
    let mut pids: Vec<String> = busy.into_iter().map(text).collect();
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 3, "three calls, three workers");
}

#[test]
fn a_worker_gets_as_many_calls_as_it_registered_for() {
    let pool = pool().env("CONCURRENCY", "3").start().wait().unwrap();
    let begun = Instant::now();
    let calls: Vec<_> = (0..3).map(|_| start(&pool, "sleep_ms", "300")).collect();
    assert_eq!(pool.queued(), 0);
    let fourth = start(&pool, "echo", "x");
    assert_eq!(pool.queued(), 1);
    calls.into_iter().for_each(|call| drop(text(call)));
    assert!(begun.elapsed() < Duration::from_millis(800), "they ran side by side");
    assert_eq!(text(fourth), "x");
}

#[test]
fn a_worker_may_grant_more_or_less_while_it_runs() {
    let pool = pool().start().wait().unwrap();
    call(&pool, "grant", "3").unwrap();
    // The grant came before its answer; the pool takes note of it a moment later.
    let three: Vec<_> = (0..3).map(|_| start(&pool, "sleep_ms", "60000")).collect();
    let begun = Instant::now();
    while pool.queued() > 0 {
        assert!(begun.elapsed() < common::LONG, "all three run");
        std::thread::yield_now();
    }
    assert_eq!(pool.workers()[0].in_flight, 3);
    drop(three);
}

#[test]
fn the_pool_can_override_what_a_worker_registered() {
    let pool = pool().env("CONCURRENCY", "3").concurrency(1).start().wait().unwrap();
    let _first = start(&pool, "sleep_ms", "1000");
    let _second = start(&pool, "echo", "x");
    assert_eq!(pool.queued(), 1);
}

#[test]
fn waiting_calls_are_served_in_order() {
    let pool = pool().start().wait().unwrap();
    let first = start(&pool, "sleep_ms", "100");
    let rest: Vec<_> = (0..20).map(|n| start(&pool, "echo", &n.to_string())).collect();
    assert_eq!(pool.queued(), 20);
    text(first);
    let answers: Vec<String> = rest.into_iter().map(text).collect();
    assert_eq!(answers, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn many_threads_share_a_pool() {
    let pool = pool().workers(2).start().wait().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..50 {
                    let sent = format!("{thread}:{n}");
                    assert_eq!(call(pool, "echo", &sent).unwrap(), sent);
                }
            });
        }
    });
    assert_eq!(pool.workers().iter().map(|worker| worker.calls).sum::<u64>(), 400);
    assert!(pool.workers().iter().all(|worker| worker.in_flight == 0));
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_back() {
    let pool = pool().queue(2).start().wait().unwrap();
    let _busy = start(&pool, "sleep_ms", "1000");
    let _waiting = (start(&pool, "echo", ""), start(&pool, "echo", ""));
    let error = pool.start_call(request("echo", "")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert_eq!(error.executed(), Executed::No);
    assert!(error.retry_after().is_some());
}

#[test]
fn a_deadline_counts_in_the_queue() {
    let pool = pool().start().wait().unwrap();
    let busy = start(&pool, "sleep_ms", "600");
    let begun = Instant::now();
    let error = pool.start_call(within(100, "echo", "")).unwrap().wait().unwrap_err();
    let took = begun.elapsed();
    assert_eq!((error.code(), error.executed()), (ErrorCode::DeadlineExceeded, Executed::No));
    assert!(took >= Duration::from_millis(100), "not early: {took:?}");
    assert!(took < Duration::from_millis(400), "on time: {took:?}");
    assert_eq!(pool.queued(), 0);
    text(busy);
}

#[test]
fn a_call_that_is_dropped_leaves_the_queue() {
    let pool = pool().queue(1).start().wait().unwrap();
    let busy = start(&pool, "sleep_ms", "300");
    drop(start(&pool, "exit", "1"));
    assert_eq!(pool.queued(), 0);
    let next = start(&pool, "echo", "still here");
    text(busy);
    assert_eq!(text(next), "still here");
}

#[test]
fn a_waiting_call_can_be_cancelled_and_says_that_nothing_ran() {
    let pool = pool().start().wait().unwrap();
    let busy = start(&pool, "sleep_ms", "60000");
    let waiting = start(&pool, "exit", "1");
    let draining = start(&pool, "echo", "");
    waiting.cancel();
    assert_eq!(pool.queued(), 1);
    let error = waiting.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Cancelled, Executed::No));
    // One that a worker has by now is cancelled there.
    busy.cancel();
    let error = busy.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Cancelled, Executed::Maybe));
    // The last of a drain's queue, cancelled, ends the wait of the drain; the worker is still asleep, so the pool is stopped at once.
    draining.cancel();
    assert_eq!(pool.queued(), 0);
    assert_eq!(pool.metrics().cancelled_requests, 3);
    pool.stop_within(Duration::ZERO, Duration::from_millis(100)).wait().unwrap();
}

#[test]
fn a_timed_out_worker_gets_nothing_new_until_it_is_done() {
    let pool = pool().start().wait().unwrap();
    let worker = pid(&pool, 0);
    let begun = Instant::now();
    let error = pool.start_call(within(100, "sleep_ms", "700")).unwrap().wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::DeadlineExceeded, Executed::Maybe));
    assert_eq!(
        pool.workers()[0].in_flight,
        1,
        "the caller has its outcome, the worker is still at it"
    );
    let next = start(&pool, "pid", "");
    assert_eq!(pool.queued(), 1);
    assert_eq!(text(next), worker.to_string());
    assert!(begun.elapsed() >= Duration::from_millis(700));
}

#[test]
fn a_call_that_is_cancelled_costs_no_worker() {
    let pool = pool().start().wait().unwrap();
    let worker = pid(&pool, 0);
    for _ in 0..20 {
        drop(start(&pool, "sleep_ms", "5"));
    }
    assert_eq!(text(start(&pool, "pid", "")), worker.to_string());
    assert_eq!(pool.workers()[0].restarts, 0);
}

#[test]
fn a_call_waits_for_a_worker_that_restarts() {
    let pool = pool().start().wait().unwrap();
    let events = pool.events();
    kill(&hold(pid(&pool, 0)));
    expect(&events, |event| matches!(event.happening, Happening::Exited { .. }));
    assert_ne!(state(&pool, 0), WorkerState::Ready);
    assert_eq!(call(&pool, "echo", "patience").unwrap(), "patience");
}

#[test]
fn what_is_served_is_known() {
    let pool = pool().start().wait().unwrap();
    assert_eq!(pool.registration().unwrap().name, "test");
    assert!(pool.methods().iter().any(|method| method.name == "echo"));
    assert!(pool.notify(request("echo", "")).is_ok());
}

#[test]
fn an_error_of_the_worker_passes_through() {
    let pool = pool().start().wait().unwrap();
    let error = call(&pool, "nonsense", "").unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
}

#[test]
fn two_pools_live_side_by_side() {
    let (one, two) =
        (pool().name("one").start().wait().unwrap(), pool().name("two").start().wait().unwrap());
    assert_eq!(&*one.workers()[0].name, "one/1");
    let survivor = pid(&two, 0).to_string();
    one.stop().wait().unwrap();
    assert_eq!(call(&two, "pid", "").unwrap(), survivor);
}
