//! Policies, keys, named workers, and calls to all of them.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{
    call, expect, expect_ready, hold, kill, pid, pool, request, start, state, text, within,
};
use procall::{CallOptions, Error, ErrorCode, Executed, OnTimeout, Request, Started};
use procall_pool::{DispatchPolicy, Happening, Pool, RestartPolicy, WorkerState};

fn keyed<'a>(key: &str, method: &'a str, body: &'a str) -> Request<'a> {
    let options = CallOptions { key: Some(key.into()), ..CallOptions::default() };
    request(method, body).with_options(options)
}

fn to<'a>(worker: &str, method: &'a str, body: &'a str) -> Request<'a> {
    let options = CallOptions { to: Some(worker.into()), ..CallOptions::default() };
    request(method, body).with_options(options)
}

fn wait(pool: &Pool, request: Request<'_>) -> Result<String, Error> {
    Ok(String::from_utf8(pool.start_call(request)?.wait()?.bytes).unwrap())
}

fn calls(pool: &Pool) -> Vec<u64> {
    pool.workers().iter().map(|worker| worker.calls).collect()
}

#[test]
fn idle_first_keeps_to_the_first_worker_while_it_is_idle() {
    let pool = pool().workers(3).start().wait().unwrap();
    for _ in 0..6 {
        call(&pool, "echo", "").unwrap();
    }
    assert_eq!(calls(&pool), [6, 0, 0]);
}

#[test]
fn round_robin_takes_one_after_the_other() {
    let pool = pool().workers(3).dispatch(DispatchPolicy::RoundRobin).start().wait().unwrap();
    let pids: Vec<String> = (0..3).map(|index| pid(&pool, index).to_string()).collect();
    let answers: Vec<String> = (0..6).map(|_| call(&pool, "pid", "").unwrap()).collect();
    assert_eq!(answers, [&pids[..], &pids[..]].concat());
    let busy = start(&pool, "sleep_ms", "60000");
    // The first is busy: its turns go to the others.
    let answers: Vec<String> = (0..4).map(|_| call(&pool, "pid", "").unwrap()).collect();
    assert_eq!(answers, [&pids[1..], &pids[1..]].concat());
    drop(busy);
}

#[test]
fn least_loaded_spreads_the_work_by_what_each_can_take() {
    let pool = pool()
        .workers(3)
        .env("CONCURRENCY", "4")
        .dispatch(DispatchPolicy::LeastLoaded)
        .start()
        .wait()
        .unwrap();
    for _ in 0..9 {
        call(&pool, "echo", "").unwrap();
    }
    assert_eq!(calls(&pool), [3, 3, 3], "idle ones take turns");
    let busy: Vec<Started> = (0..6).map(|_| start(&pool, "sleep_ms", "60000")).collect();
    let in_flight: Vec<u32> = pool.workers().iter().map(|worker| worker.in_flight).collect();
    assert_eq!(in_flight, [2, 2, 2]);
    drop(busy);
}

#[test]
fn calls_with_a_key_go_to_one_worker_and_keys_are_spread() {
    let pool = pool().workers(4).start().wait().unwrap();
    let mut homes = BTreeSet::new();
    for key in 0..64 {
        let key = key.to_string();
        let home = wait(&pool, keyed(&key, "pid", "")).unwrap();
        for _ in 0..3 {
            assert_eq!(wait(&pool, keyed(&key, "pid", "")).unwrap(), home);
        }
        homes.insert(home);
    }
    assert_eq!(homes.len(), 4, "64 keys and 4 workers");
}

#[test]
fn calls_with_a_key_wait_for_their_worker_in_the_order_of_sending() {
    let pool = pool().workers(3).start().wait().unwrap();
    let home = wait(&pool, keyed("k", "pid", "")).unwrap();
    let busy = pool.start_call(keyed("k", "sleep_ms", "100")).unwrap();
    let waiting: Vec<Started> =
        (0..10).map(|n| pool.start_call(keyed("k", "echo", &n.to_string())).unwrap()).collect();
    assert_eq!(pool.queued(), 10, "two idle workers are not theirs");
    assert_ne!(call(&pool, "pid", "").unwrap(), home, "others pass them by");
    assert_eq!(text(busy), home);
    let answers: Vec<String> = waiting.into_iter().map(text).collect();
    assert_eq!(answers, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_loss_of_a_keys_worker_is_told_once() {
    let policy = RestartPolicy { backoff: Duration::from_millis(1), ..RestartPolicy::default() };
    let pool = pool().workers(2).restart(policy).start().wait().unwrap();
    let home: u32 = wait(&pool, keyed("k", "pid", "")).unwrap().parse().unwrap();
    let events = pool.events();
    kill(&hold(home));
    expect_ready(&events);
    let error = wait(&pool, keyed("k", "pid", "")).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::No));
    assert!(error.message().contains("was killed by SIGKILL"), "{error}");
    let next = wait(&pool, keyed("k", "pid", "")).unwrap();
    assert_eq!(wait(&pool, keyed("k", "pid", "")).unwrap(), next, "pinned again");
    // A key of the other worker is none the worse.
    let other = (0..)
        .map(|n| n.to_string())
        .find(|key| wait(&pool, keyed(key, "pid", "")).unwrap() != next)
        .unwrap();
    kill(&hold(next.parse().unwrap()));
    expect(&events, |event| matches!(event.happening, Happening::Exited { .. }));
    wait(&pool, keyed(&other, "pid", "")).unwrap();
}

#[test]
fn whoever_was_told_of_the_loss_by_a_call_of_its_own_is_not_told_again() {
    let policy = RestartPolicy { backoff: Duration::from_millis(1), ..RestartPolicy::default() };
    let pool = pool().workers(2).restart(policy).start().wait().unwrap();
    let home: u32 = wait(&pool, keyed("k", "pid", "")).unwrap().parse().unwrap();
    let running = pool.start_call(keyed("k", "sleep_ms", "60000")).unwrap();
    let waiting = pool.start_call(keyed("k", "pid", "")).unwrap();
    kill(&hold(home));
    let error = running.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    let error = waiting.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::No));
    assert!(wait(&pool, keyed("k", "pid", "")).is_ok());
}

#[test]
fn a_restart_that_was_asked_for_is_no_loss() {
    let pool = pool().workers(2).start().wait().unwrap();
    let home = wait(&pool, keyed("k", "pid", "")).unwrap();
    let index = (0..2).find(|&index| pid(&pool, index).to_string() == home).unwrap();
    let events = pool.events();
    let busy = pool.start_call(keyed("k", "sleep_ms", "100")).unwrap();
    let restart = pool.restart(index);
    expect(&events, |event| event.happening == Happening::Draining);
    let next = pool.start_call(keyed("k", "pid", "")).unwrap();
    assert_eq!(text(busy), home);
    restart.wait().unwrap();
    assert_eq!(text(next), pid(&pool, index).to_string(), "its successor has the key");
}

#[test]
fn a_call_may_name_its_worker() {
    let pool = pool().workers(3).start().wait().unwrap();
    for index in [2, 0, 1] {
        let worker = pool.workers()[index].clone();
        let answer = wait(&pool, to(&worker.name, "pid", "")).unwrap();
        assert_eq!(answer, worker.pid.unwrap().to_string());
    }
    let busy = pool.start_call(to("test/2", "sleep_ms", "100")).unwrap();
    let next = pool.start_call(to("test/2", "pid", "")).unwrap();
    assert_eq!(pool.queued(), 1, "it waits for this one");
    assert_eq!(text(busy), text(next));
    let error = wait(&pool, to("test/9", "pid", "")).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NotFound, Executed::No));
    assert!(error.message().contains("test/1, test/2, test/3"), "{error}");
}

#[test]
fn a_named_worker_that_has_failed_is_told_at_once_and_to_those_who_wait() {
    let policy = RestartPolicy { max_restarts: 0, ..RestartPolicy::default() };
    let pool = pool().workers(2).restart(policy).start().wait().unwrap();
    let busy = pool.start_call(to("test/2", "sleep_ms", "60000")).unwrap();
    let waiting = pool.start_call(to("test/2", "pid", "")).unwrap();
    kill(&hold(pid(&pool, 1)));
    assert_eq!(busy.wait().unwrap_err().code(), ErrorCode::WorkerLost);
    for error in [waiting.wait().unwrap_err(), wait(&pool, to("test/2", "pid", "")).unwrap_err()] {
        assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No));
        assert!(error.message().starts_with("test/2 has failed"), "{error}");
    }
    assert!(call(&pool, "pid", "").is_ok(), "the other one serves on");
}

#[test]
fn a_broadcast_brings_every_answer_in_the_order_of_the_workers() {
    let pool = pool().workers(3).start().wait().unwrap();
    let busy = start(&pool, "sleep_ms", "100");
    let parts = pool.start_on_all(&request("pid", ""));
    let names: Vec<Arc<str>> = parts.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, ["test/1".into(), "test/2".into(), "test/3".into()]);
    let answers: Vec<String> = parts.into_iter().map(|(_, call)| text(call.unwrap())).collect();
    let pids: Vec<String> = (0..3).map(|index| pid(&pool, index).to_string()).collect();
    assert_eq!(answers, pids);
    text(busy);
}

#[test]
fn a_broadcast_shows_which_part_has_failed() {
    let policy = RestartPolicy { max_restarts: 0, ..RestartPolicy::default() };
    let pool = pool().workers(2).restart(policy).start().wait().unwrap();
    let events = pool.events();
    kill(&hold(pid(&pool, 0)));
    expect(&events, |event| matches!(event.happening, Happening::Failed { .. }));
    // A worker of text, and an answer that is a number in it: not MessagePack, so the typed form fails on the second.
    let answers = pool.broadcast::<u32>("nonsense", ()).wait();
    let codes: Vec<ErrorCode> =
        answers.into_iter().map(|answer| answer.result.unwrap_err().code()).collect();
    assert_eq!(codes, [ErrorCode::NoWorker, ErrorCode::NotFound]);
}

#[test]
fn a_broadcast_can_be_awaited_and_dropped() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = pool().workers(2).start().await.unwrap();
        let answers = pool.broadcast::<u32>("nonsense", ()).idempotent().await;
        assert_eq!(answers.len(), 2);
        assert!(answers.iter().all(|part| part.result.is_err()));
        let call = pool.broadcast::<u32>("echo", ()).no_deadline().into_future();
        drop(call);
        let answers = pool.broadcast::<u32>("nonsense", ()).deadline(common::LONG).await;
        assert_eq!(&*answers[1].worker, "test/2");
        pool.stop().await.unwrap();
    });
}

#[test]
fn a_worker_that_overruns_a_deadline_is_restarted_if_the_caller_wants_that() {
    let pool = pool().start().wait().unwrap();
    let first = pid(&pool, 0);
    let events = pool.events();
    let mut request = within(50, "sleep_ms", "60000");
    request.options.on_timeout = OnTimeout::Restart;
    let error = pool.start_call(request).unwrap().wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::DeadlineExceeded, Executed::Maybe));
    let told = expect(&events, |event| matches!(event.happening, Happening::Replacing { .. }));
    assert_eq!(
        told.to_string(),
        format!(
            "test/1 (pid {first}) is replaced: it was busy with a call when its deadline passed"
        )
    );
    assert_ne!(call(&pool, "pid", "").unwrap(), first.to_string());
    assert_eq!(pool.workers()[0].restarts, 1);
}

#[test]
fn a_call_that_ends_in_time_restarts_nothing() {
    let pool = pool().start().wait().unwrap();
    let first = pid(&pool, 0).to_string();
    for _ in 0..3 {
        let mut request = within(60_000, "sleep_ms", "1");
        request.options.on_timeout = OnTimeout::Restart;
        assert_eq!(wait(&pool, request).unwrap(), first);
    }
    // One that never reached a worker says nothing of the worker either.
    let busy = start(&pool, "sleep_ms", "200");
    let mut request = within(20, "echo", "");
    request.options.on_timeout = OnTimeout::Restart;
    let error = wait(&pool, request).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::DeadlineExceeded, Executed::No));
    assert_eq!(text(busy), first);
    assert_eq!(pool.workers()[0].restarts, 0);
}

#[test]
fn a_worker_that_overran_gets_no_further_call_although_it_has_room() {
    let pool = pool().env("CONCURRENCY", "4").start().wait().unwrap();
    for _ in 0..10 {
        let before = pid(&pool, 0).to_string();
        let mut request = within(20, "sleep_ms", "60000");
        request.options.on_timeout = OnTimeout::Restart;
        let error = pool.start_call(request).unwrap().wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
        assert_ne!(call(&pool, "pid", "").unwrap(), before, "its successor has it");
    }
}

#[test]
fn neighbours_of_a_call_that_overruns_may_finish() {
    let pool = pool().env("CONCURRENCY", "2").start().wait().unwrap();
    let first = pid(&pool, 0).to_string();
    let neighbour = start(&pool, "sleep_ms", "400");
    let mut request = within(50, "sleep_ms", "60000");
    request.options.on_timeout = OnTimeout::Restart;
    assert!(wait(&pool, request).is_err());
    assert_eq!(text(neighbour), first, "it was not killed");
    pool.drain().wait().unwrap();
}

#[test]
fn a_pool_can_be_all_busy_and_say_so() {
    let pool = pool().workers(2).queue(1).start().wait().unwrap();
    let busy = [start(&pool, "sleep_ms", "60000"), start(&pool, "sleep_ms", "60000")];
    let waiting = start(&pool, "echo", "");
    let error = wait(&pool, keyed("k", "echo", "")).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::No));
    assert!(pool.workers().iter().all(|worker| worker.state == WorkerState::Busy));
    drop((busy, waiting));
}

#[test]
fn a_key_is_not_bound_for_ever_to_a_worker_that_has_failed() {
    // A copy of the program that can be taken away, so that no worker starts any more.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("worker");
    std::fs::copy(common::program(), &copy).unwrap();
    let pool = Pool::command([&copy]).workers(2).name("test").start().wait().unwrap();
    let events = pool.events();
    let home: u32 = wait(&pool, keyed("k", "pid", "")).unwrap().parse().unwrap();
    std::fs::remove_file(&copy).unwrap();
    kill(&hold(home));
    expect(&events, |event| matches!(event.happening, Happening::Restarting { .. }));
    let error = wait(&pool, keyed("k", "pid", "")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::WorkerLost);
    // The key goes to the same place again, which will never have a worker.
    let waiting = pool.start_call(keyed("k", "pid", "")).unwrap();
    expect(&events, |event| matches!(event.happening, Happening::Failed { .. }));
    assert_eq!(waiting.wait().unwrap_err().executed(), Executed::No);
    assert_ne!(wait(&pool, keyed("k", "pid", "")).unwrap(), home.to_string());
}

#[test]
fn a_restart_does_not_hide_that_a_keys_worker_was_lost() {
    let pool = pool().start().wait().unwrap();
    wait(&pool, keyed("k", "pid", "")).unwrap();
    // The channel ends and the process lives on: for a moment nobody knows how it went.
    let lost = pool.start_call(request("close_channel", "")).unwrap();
    while state(&pool, 0) != WorkerState::Draining {
        std::thread::yield_now();
    }
    pool.restart(0).wait().unwrap();
    assert_eq!(lost.wait().unwrap_err().code(), ErrorCode::WorkerLost);
    let error = wait(&pool, keyed("k", "pid", "")).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::No));
    wait(&pool, keyed("k", "pid", "")).unwrap();
}

#[test]
fn calls_with_a_key_start_in_order_whoever_hands_them_over() {
    let pool = pool().env("CONCURRENCY", "4").queue(4096).start().wait().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // They free slots, and hand over what waits.
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    call(&pool, "echo", "").unwrap();
                }
            });
        }
        let sorted = (0..200).all(|_| {
            let line: Vec<Started> =
                (0..32).map(|_| pool.start_call(keyed("k", "count", "")).unwrap()).collect();
            line.into_iter().map(|call| text(call).parse::<u32>().unwrap()).is_sorted()
        });
        over.store(true, Ordering::Relaxed);
        assert!(sorted);
    });
}
