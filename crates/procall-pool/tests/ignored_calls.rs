//! Workers that go on with a call although nobody waits for it: ignored cancels, and workers that hang.

mod common;

use std::time::Duration;

use common::{LONG, call, expect, expect_ready, hold, pid, pool, request, start, text, within};
use procall::{Error, ErrorCode, Executed};
use procall_pool::{Happening, OnCancel, Pool};
use rustix::process::{Signal, pidfd_send_signal};

/// Long enough for a worker to answer on a busy machine, short enough to wait for.
const HANG: Duration = Duration::from_secs(4);
const GRACE: Duration = Duration::from_millis(300);

fn overrun(pool: &Pool, method: &str, body: &str) -> Error {
    let error = pool.start_call(within(50, method, body)).unwrap().wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::DeadlineExceeded, Executed::Maybe));
    error
}

fn is_replacing(happening: &Happening) -> bool {
    matches!(happening, Happening::Replacing { .. })
}

#[test]
fn a_worker_that_answers_nothing_and_overruns_is_ended_as_hung() {
    let pool = pool()
        .env("CONCURRENCY", "2")
        .stop_timeout(GRACE)
        .hang_timeout(Some(GRACE))
        .start()
        .wait()
        .unwrap();
    let (first, events) = (pid(&pool, 0), pool.events());
    overrun(&pool, "block_ms", "600000");
    let beside = start(&pool, "echo", "never read").wait().unwrap_err();
    let told = expect(&events, |event| is_replacing(&event.happening)).to_string();
    let begin = format!("test/1 (pid {first}) is replaced: it was hung: no answer to pings for ");
    assert!(told.starts_with(&begin), "{told}");
    assert!(told.contains(" s past its deadline, and its process is blocked"), "{told}");
    assert_eq!((beside.code(), beside.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    assert!(beside.message().starts_with("test/1 was hung: no answer to pings"), "{beside}");
    assert!(beside.message().ends_with("and then was killed by SIGTERM"), "{beside}");
    assert_ne!(call(&pool, "pid", "").unwrap(), first.to_string());
    let worker = pool.workers().remove(0);
    assert_eq!(worker.restarts, 1);
    assert!(worker.last_exit.unwrap().starts_with("was hung: "));
}

#[test]
fn a_worker_that_stands_still_is_named_as_stopped() {
    let pool = pool().stop_timeout(GRACE).hang_timeout(Some(GRACE)).start().wait().unwrap();
    let events = pool.events();
    pidfd_send_signal(hold(pid(&pool, 0)), Signal::STOP).unwrap();
    overrun(&pool, "echo", "");
    let told = expect(&events, |event| is_replacing(&event.happening)).to_string();
    assert!(told.ends_with("and its process is stopped by a signal"), "{told}");
    // What is stopped heeds no SIGTERM either.
    let exited = expect(&events, |event| matches!(event.happening, Happening::Exited { .. }));
    assert!(exited.to_string().ends_with("and then was killed by SIGKILL"), "{exited}");
    expect_ready(&events);
    assert_eq!(call(&pool, "echo", "again").unwrap(), "again");
}

#[test]
fn an_overrun_of_a_worker_that_answers_does_not_count_as_hanging() {
    let pool = pool().hang_timeout(Some(HANG)).start().wait().unwrap();
    let first = pid(&pool, 0).to_string();
    overrun(&pool, "sleep_ms", "9000");
    // Waits for the slot, which is free when the handler is done with the call that nobody waits for.
    assert_eq!(call(&pool, "pid", "").unwrap(), first);
    assert_eq!(pool.workers()[0].restarts, 0);
    // Nobody but the pool itself has asked whether it is alive.
    assert_eq!(pool.metrics().total_requests, 2);
}

#[test]
fn silence_without_an_overrun_does_not_count_as_hanging() {
    let pool = pool().hang_timeout(Some(GRACE)).start().wait().unwrap();
    let first = pid(&pool, 0).to_string();
    assert_eq!(text(start(&pool, "block_ms", "1500")), first);
    assert_eq!(call(&pool, "pid", "").unwrap(), first);
}

#[test]
fn nothing_is_ended_unless_somebody_wants_that() {
    let pool = pool().cancel_grace(Duration::ZERO).start().wait().unwrap();
    let first = pid(&pool, 0).to_string();
    overrun(&pool, "block_ms", "1000");
    drop(start(&pool, "block_ms", "300"));
    assert_eq!(call(&pool, "pid", "").unwrap(), first);
}

#[test]
fn a_worker_that_ignores_a_cancel_is_replaced_after_the_grace() {
    let pool =
        pool().workers(2).on_cancel(OnCancel::Kill).cancel_grace(GRACE).start().wait().unwrap();
    let (pids, events) = ([pid(&pool, 0), pid(&pool, 1)], pool.events());
    let ignoring = start(&pool, "sleep_ms", "600000");
    let beside = start(&pool, "sleep_ms", "3000");
    drop(ignoring);
    let told = expect(&events, |event| is_replacing(&event.happening)).to_string();
    let begin = format!("test/1 (pid {}) is replaced: it went on with a call for 0.", pids[0]);
    assert!(told.starts_with(&begin) && told.ends_with("after that was cancelled"), "{told}");
    expect_ready(&events);
    assert_eq!(text(beside), pids[1].to_string(), "the other worker's call is unharmed");
    let workers = pool.workers();
    assert_eq!((workers[0].restarts, workers[1].restarts), (1, 0));
    let exit = workers[0].last_exit.clone().unwrap();
    assert!(exit.starts_with("went on with a call for "), "{exit}");
}

#[test]
fn a_deadline_that_passes_cancels_too() {
    let pool = pool().on_cancel(OnCancel::Kill).cancel_grace(GRACE).start().wait().unwrap();
    let (first, events) = (pid(&pool, 0).to_string(), pool.events());
    overrun(&pool, "block_ms", "600000");
    let told = expect(&events, |event| is_replacing(&event.happening)).to_string();
    assert!(told.ends_with("s past its deadline"), "{told}");
    assert_ne!(call(&pool, "pid", "").unwrap(), first);
}

#[test]
fn a_handler_that_heeds_a_cancel_keeps_its_process() {
    let pool = pool().on_cancel(OnCancel::Kill).cancel_grace(LONG).start().wait().unwrap();
    let first = pid(&pool, 0).to_string();
    for _ in 0..20 {
        drop(start(&pool, "heed", ""));
        overrun(&pool, "heed", "");
    }
    assert_eq!(call(&pool, "pid", "").unwrap(), first);
    assert_eq!(pool.workers()[0].restarts, 0);
}

#[test]
fn calls_that_end_while_they_are_given_up_leave_no_grudge() {
    let pool = pool()
        .on_cancel(OnCancel::Kill)
        .cancel_grace(Duration::from_secs(1))
        .start()
        .wait()
        .unwrap();
    let first = pid(&pool, 0).to_string();
    for round in 0..300 {
        // Somewhere between before it was sent and after its answer.
        let call = start(&pool, "sleep_ms", "1");
        for _ in 0..round * 20 {
            std::hint::spin_loop();
        }
        drop(call);
    }
    // Longer than the grace, with nothing ignored at the end.
    assert_eq!(text(start(&pool, "sleep_ms", "2500")), first);
    assert_eq!(pool.workers()[0].restarts, 0);
}

#[test]
fn only_workers_with_one_call_at_a_time_are_killed_for_it() {
    let kill = || pool().on_cancel(OnCancel::Kill);
    let error = kill().concurrency(4).start().wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("these take 4"), "{error}");

    let error = kill().env("CONCURRENCY", "3").start().wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::SpawnFailed);
    assert!(error.message().contains("test/1 registered for 3 calls at once"), "{error}");
    assert!(error.message().contains("make the pool's concurrency 1"), "{error}");

    // What the pool says holds, and so it does for a worker that asks for more later.
    let pool = kill().concurrency(1).env("CONCURRENCY", "3").start().wait().unwrap();
    assert_eq!(call(&pool, "echo", "one").unwrap(), "one");
    let pool = kill().start().wait().unwrap();
    call(&pool, "grant", "4").unwrap();
    let held = start(&pool, "hold", "");
    let error = pool.start_call(within(200, "release", "")).unwrap().wait().unwrap_err();
    assert_eq!(error.executed(), Executed::No, "there is still one slot");
    drop(held);
}

#[test]
fn no_time_at_all_is_refused() {
    let error = pool().hang_timeout(Some(Duration::ZERO)).start().wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("leave hang_timeout out"), "{error}");
    let pool = pool().hang_timeout(Some(Duration::MAX)).start().wait().unwrap();
    overrun(&pool, "sleep_ms", "200");
    assert!(pool.start_call(request("echo", "")).unwrap().wait().is_ok());
}
