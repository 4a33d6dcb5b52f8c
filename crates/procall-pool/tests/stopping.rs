//! Pools that end, restart and drain.

mod common;

use std::time::{Duration, Instant};

use common::{LONG, call, expect, hold, is_gone, pid, pool, request, start, state, text};
use procall::{ErrorCode, Executed};
use procall_pool::{Happening, Pool, WorkerState};

#[test]
fn a_stop_lets_calls_finish_and_serves_the_queue() {
    let pool = pool().start().wait().unwrap();
    let process = hold(pid(&pool, 0));
    let running = start(&pool, "sleep_ms", "300");
    let waiting = start(&pool, "echo", "queued");
    let stop = pool.stop();
    let answers = std::thread::scope(|scope| {
        let running = scope.spawn(|| text(running));
        let waiting = scope.spawn(|| text(waiting));
        stop.wait().unwrap();
        (running.join().unwrap(), waiting.join().unwrap())
    });
    assert_eq!(answers.1, "queued");
    assert!(is_gone(process, Duration::ZERO), "nothing is left once the stop is done");
    assert_eq!(state(&pool, 0), WorkerState::Stopped);
    assert_eq!(
        pool.workers()[0].last_exit.as_deref(),
        Some("exited with code 0"),
        "the closed channel was enough"
    );
    assert_eq!(pool.start_call(request("echo", "")).unwrap_err().code(), ErrorCode::Closed);
    pool.stop().wait().unwrap();
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let pool = pool().start().wait().unwrap();
    let running = start(&pool, "sleep_ms", "60000");
    let waiting = start(&pool, "echo", "");
    let begun = Instant::now();
    pool.stop_within(Duration::from_millis(100), Duration::from_millis(500)).wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let error = running.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Closed, Executed::Maybe));
    let error = waiting.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Unavailable, Executed::No));
}

#[test]
fn a_worker_that_ignores_everything_is_killed() {
    let script = "trap '' TERM; while :; do sleep 1000; done";
    let error = Pool::command(["sh", "-c", script])
        .workers(1)
        .ready_timeout(Duration::from_millis(200))
        .start()
        .wait()
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::SpawnFailed);
}

#[test]
fn a_drain_refuses_new_calls_and_waits_for_the_old() {
    let pool = pool().start().wait().unwrap();
    let running = start(&pool, "sleep_ms", "200");
    let drained = pool.drain();
    let error = pool.start_call(request("echo", "")).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Unavailable, Executed::No));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| text(running));
        drained.wait().unwrap();
        running.join().unwrap();
    });
    assert_eq!(state(&pool, 0), WorkerState::Ready, "the workers live on");
}

#[test]
fn a_restart_of_all_loses_no_call() {
    let pool = pool().workers(2).start().wait().unwrap();
    let before: Vec<u32> = (0..2).map(|index| pid(&pool, index)).collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(call(&pool, "echo", "x").unwrap(), "x");
                }
            });
        }
        pool.restart_all().wait().unwrap();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for (index, before) in before.into_iter().enumerate() {
        assert_ne!(pid(&pool, index), before);
        assert_eq!(pool.workers()[index].restarts, 1);
    }
}

#[test]
fn a_restart_lets_the_call_in_hand_finish() {
    let pool = pool().start().wait().unwrap();
    let running = start(&pool, "sleep_ms", "300");
    let first = pid(&pool, 0).to_string();
    let restart = pool.restart(0);
    assert_eq!(text(running), first);
    restart.wait().unwrap();
    assert_ne!(pid(&pool, 0).to_string(), first);
    assert_eq!(pool.restart(7).wait().unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn closing_ends_everything_at_once() {
    let pool = pool().start().wait().unwrap();
    let process = hold(pid(&pool, 0));
    let running = start(&pool, "sleep_ms", "60000");
    let waiting = start(&pool, "echo", "");
    pool.close();
    assert_eq!(running.wait().unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(waiting.wait().unwrap_err().code(), ErrorCode::Closed);
    assert!(is_gone(process, LONG));
}

#[test]
fn dropping_the_last_handle_stops_the_workers() {
    let pool = pool().workers(2).start().wait().unwrap();
    let clone = pool.clone();
    let processes: Vec<_> = (0..2).map(|index| hold(pid(&pool, index))).collect();
    drop(pool);
    assert_eq!(call(&clone, "echo", "x").unwrap(), "x");
    drop(clone);
    assert!(
        processes.iter().all(|process| is_gone(process, Duration::ZERO)),
        "a drop waits for that"
    );
}

#[test]
fn what_happens_is_told_in_order() {
    let pool = pool().start().wait().unwrap();
    let events = pool.events();
    pool.restart(0).wait().unwrap();
    pool.stop().wait().unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.next(Some(LONG)) {
        told.push(event.happening);
    }
    let exited = || Happening::Exited { reason: "exited with code 0".to_owned() };
    use Happening::{Draining, Ready, Started, Stopped};
    assert_eq!(told, [Draining, exited(), Started, Ready, Draining, exited(), Stopped]);
    assert_eq!(events.missed(), 0);
}

#[test]
fn a_stop_while_starting_ends_the_start() {
    let pool = pool().start().wait().unwrap();
    let events = pool.events();
    common::kill(&hold(pid(&pool, 0)));
    expect(&events, |event| matches!(event.happening, Happening::Restarting { .. }));
    pool.stop().wait().unwrap();
    assert_eq!(state(&pool, 0), WorkerState::Stopped);
}

#[test]
fn a_drain_ends_when_the_last_waiting_call_expires() {
    let pool = pool().start().wait().unwrap();
    let busy = start(&pool, "sleep_ms", "100");
    let waiting = pool.start_call(common::within(300, "sleep_ms", "60000")).unwrap();
    let drained = pool.drain();
    text(busy);
    drop(waiting);
    // The worker is still at the call that nobody wants any more.
    common::kill(&hold(pid(&pool, 0)));
    drained.wait().unwrap();
}

#[test]
fn a_restart_during_a_stop_does_not_keep_the_pool_alive() {
    let pool = pool().stop_timeout(Duration::from_millis(500)).start().wait().unwrap();
    let events = pool.events();
    let process = hold(pid(&pool, 0));
    // It cannot exit by itself, so there is time for a restart.
    rustix::process::pidfd_send_signal(&process, rustix::process::Signal::STOP).unwrap();
    let mut stop = pool.stop();
    expect(&events, |event| event.happening == Happening::Draining);
    let error = pool.restart(0).wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Closed);
    stop.wait_at_most(LONG).expect("it ends").unwrap();
    assert!(is_gone(process, Duration::ZERO));
    assert_eq!(state(&pool, 0), WorkerState::Stopped);
}
