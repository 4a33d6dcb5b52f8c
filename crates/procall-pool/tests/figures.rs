//! What a pool counts, and whether it is well.

mod common;

use std::time::Duration;

use common::{call, expect, hold, kill, pid, pool, request, start, text, within};
use procall::{ErrorCode, Heartbeat};
use procall_pool::{Happening, RestartPolicy};

#[test]
fn every_call_is_counted_once_however_it_ends() {
    let pool = pool().queue(1).start().wait().unwrap();
    for _ in 0..5 {
        call(&pool, "echo", "x").unwrap();
    }
    call(&pool, "nonsense", "").unwrap_err();
    let busy = start(&pool, "sleep_ms", "300");
    // One expires in the queue, one is dropped there, one waits, one finds it full.
    assert!(pool.start_call(within(20, "echo", "")).unwrap().wait().is_err());
    drop(start(&pool, "echo", ""));
    let waiting = start(&pool, "echo", "");
    assert_eq!(pool.start_call(request("echo", "")).unwrap_err().code(), ErrorCode::Overloaded);

    let metrics = pool.metrics();
    assert_eq!((metrics.in_flight, metrics.queue_depth), (2, 1));
    text(busy);
    text(waiting);
    // And one is given up while the worker is at it.
    drop(start(&pool, "sleep_ms", "50"));

    let metrics = pool.metrics();
    assert_eq!(metrics.total_requests, 12);
    assert_eq!(metrics.successful_requests, 7);
    assert_eq!(metrics.failed_requests, 3);
    assert_eq!(metrics.cancelled_requests, 2);
    assert_eq!((metrics.in_flight, metrics.queue_depth, metrics.restarts), (0, 0, 0));
    assert!((metrics.success_rate() - 0.7).abs() < 1e-9);
    assert!(metrics.latency.max >= Duration::from_millis(300), "{metrics:?}");
    assert!(metrics.latency.p50 <= metrics.latency.p95);
    assert!(metrics.latency.p95 <= metrics.latency.p99);
    assert!(metrics.average_latency() > Duration::ZERO);
}

#[test]
fn the_wait_for_a_worker_is_part_of_the_latency() {
    let pool = pool().start().wait().unwrap();
    let busy = start(&pool, "sleep_ms", "200");
    let waiting = start(&pool, "echo", "");
    text(busy);
    text(waiting);
    let latency = pool.metrics().latency;
    assert!(latency.min >= Duration::from_millis(150), "both took as long: {latency:?}");
}

#[test]
fn counts_live_longer_than_workers() {
    let policy = RestartPolicy { backoff: Duration::from_millis(1), ..RestartPolicy::default() };
    let pool = pool().restart(policy).start().wait().unwrap();
    call(&pool, "echo", "").unwrap();
    let events = pool.events();
    let running = start(&pool, "sleep_ms", "60000");
    kill(&hold(pid(&pool, 0)));
    running.wait().unwrap_err();
    expect(&events, |event| event.happening == Happening::Ready);
    call(&pool, "echo", "").unwrap();
    let metrics = pool.metrics();
    assert_eq!((metrics.total_requests, metrics.failed_requests, metrics.restarts), (3, 1, 1));
    assert_eq!(metrics.in_flight, 0);
}

#[test]
fn heartbeats_are_measured() {
    let beat = Heartbeat { interval: Duration::from_millis(20), ..Heartbeat::default() };
    let pool = pool().heartbeat(Some(beat)).start().wait().unwrap();
    let until = std::time::Instant::now() + common::LONG;
    while pool.metrics().heartbeat_round_trip.is_none() {
        assert!(std::time::Instant::now() < until, "a heartbeat is answered");
        call(&pool, "echo", "").unwrap();
    }
    assert_eq!(pool.metrics().missed_heartbeats, 0);
}

#[test]
fn health_says_what_is_wrong() {
    let policy = RestartPolicy { max_restarts: 0, ..RestartPolicy::default() };
    let pool = pool().workers(2).restart(policy).start().wait().unwrap();
    assert!(pool.health().is_healthy());
    assert_eq!(pool.health().to_string(), "2 of 2 workers are ready");
    let events = pool.events();
    kill(&hold(pid(&pool, 1)));
    expect(&events, |event| matches!(event.happening, Happening::Failed { .. }));
    let health = pool.health();
    assert!(health.is_healthy(), "one is left");
    assert_eq!((health.ready, health.workers), (1, 2));
    assert!(health.problems[0].starts_with("test/2 has failed: test/2 was killed by SIGKILL"));
    pool.drain().wait().unwrap();
    let stats = pool.stats();
    assert!(!stats.health.is_healthy());
    assert_eq!((stats.workers.len(), stats.metrics.restarts), (2, 0));
}
