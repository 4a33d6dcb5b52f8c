//! Workers that die, and what their callers hear.

mod common;

use std::time::{Duration, Instant};

use common::{
    LONG, call, expect, expect_ready, hold, is_gone, kill, pid, pool, program, request, start,
    state,
};
use procall::{ErrorCode, Executed, Heartbeat};
use procall_pool::{Happening, Pool, RestartPolicy, WorkerState};
use rustix::process::{Signal, pidfd_send_signal};

#[test]
fn a_worker_killed_in_mid_call_ends_it_at_once_with_the_reason() {
    let pool = pool().start().wait().unwrap();
    let worker = pid(&pool, 0);
    call(&pool, "complain", "my last words").unwrap();
    let running = start(&pool, "sleep_ms", "60000");
    let begun = Instant::now();
    kill(&hold(worker));
    let error = running.wait().unwrap_err();
    let took = begun.elapsed();
    assert_eq!(
        (error.code(), error.executed()),
        (ErrorCode::WorkerLost, Executed::Maybe),
        "{error:?}"
    );
    assert_eq!(error.message(), "test/1 was killed by SIGKILL");
    assert_eq!(error.worker(), Some(&*format!("test/1 (pid {worker})")));
    assert_eq!(error.trace(), Some("my last words"));
    assert!(took < Duration::from_millis(250), "{took:?}");
    assert_eq!(call(&pool, "echo", "again").unwrap(), "again");
    assert_eq!(pool.workers()[0].last_exit.as_deref(), Some("was killed by SIGKILL"));
    assert_eq!(pool.workers()[0].restarts, 1);
}

#[test]
fn every_way_to_die_is_named() {
    let policy = RestartPolicy {
        max_restarts: 100,
        backoff: Duration::from_millis(1),
        ..RestartPolicy::default()
    };
    let pool = pool().restart(policy).start().wait().unwrap();
    for (method, argument, reason) in [
        ("crash", "11", "test/1 was killed by SIGSEGV"),
        ("crash", "6", "test/1 was killed by SIGABRT"),
        ("crash", "15", "test/1 was killed by SIGTERM"),
        ("exit", "3", "test/1 exited with code 3"),
        ("exit", "0", "test/1 exited with code 0"),
    ] {
        let error = call(&pool, method, argument).unwrap_err();
        assert_eq!((error.code(), error.message()), (ErrorCode::WorkerLost, reason));
    }
}

#[test]
fn a_worker_that_dies_while_idle_is_started_again() {
    let pool = pool().start().wait().unwrap();
    let events = pool.events();
    let first = pid(&pool, 0);
    kill(&hold(first));
    expect(
        &events,
        |event| matches!(&event.happening, Happening::Exited { reason } if reason == "was killed by SIGKILL"),
    );
    expect_ready(&events);
    assert_ne!(pid(&pool, 0), first);
    assert_eq!(call(&pool, "pid", "").unwrap(), pid(&pool, 0).to_string());
}

#[test]
fn a_call_to_a_worker_that_has_just_died_goes_to_another_or_tells() {
    let policy = RestartPolicy {
        max_restarts: 1000,
        backoff: Duration::from_millis(1),
        ..RestartPolicy::default()
    };
    let pool = pool().workers(2).restart(policy).start().wait().unwrap();
    for _ in 0..20 {
        let Some(worker) = pool.workers()[0].pid else { continue };
        kill(&hold(worker));
        match call(&pool, "echo", "x") {
            Ok(answer) => assert_eq!(answer, "x"),
            Err(error) => assert_eq!(
                (error.code(), error.executed()),
                (ErrorCode::WorkerLost, Executed::Maybe)
            ),
        }
    }
}

#[test]
fn a_worker_killed_before_it_is_ready_is_started_again() {
    let flag = tempfile::NamedTempFile::new().unwrap();
    let policy = RestartPolicy {
        backoff: Duration::from_millis(1),
        max_unready: 100,
        max_restarts: 100,
        ..RestartPolicy::default()
    };
    let pool = pool()
        .env("MODE", "exit_if")
        .env("EXIT_IF", "/nonexistent")
        .restart(policy)
        .start()
        .wait()
        .unwrap();
    drop(flag);
    let events = pool.events();
    kill(&hold(pid(&pool, 0)));
    let started = expect(&events, |event| event.happening == Happening::Started);
    kill(&hold(started.pid.unwrap()));
    expect(&events, |event| {
        event.pid == started.pid && matches!(event.happening, Happening::Exited { .. })
    });
    expect_ready(&events);
    assert_eq!(call(&pool, "echo", "x").unwrap(), "x");
    assert_eq!(pool.workers()[0].restarts, 2);
}

#[test]
fn a_worker_that_goes_too_often_fails_and_can_be_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("broken");
    let policy = RestartPolicy { backoff: Duration::from_millis(10), ..RestartPolicy::default() };
    let pool =
        pool().env("MODE", "exit_if").env("EXIT_IF", &flag).restart(policy).start().wait().unwrap();
    let events = pool.events();
    std::fs::write(&flag, "").unwrap();
    kill(&hold(pid(&pool, 0)));
    let mut starts = 0;
    let failed = expect(&events, |event| {
        starts += u32::from(event.happening == Happening::Started);
        matches!(event.happening, Happening::Failed { .. })
    });
    assert!(starts <= 6, "{starts} starts");
    let Happening::Failed { reason } = failed.happening else { unreachable!() };
    assert!(reason.contains("exited with code 3 before it was ready"), "{reason}");
    assert_eq!(state(&pool, 0), WorkerState::Failed);

    let error = pool.start_call(request("echo", "")).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No));
    assert!(error.message().contains("exited with code 3"), "{error}");
    assert_eq!(error.trace(), Some("cannot load the model\nno such file: weights.bin"));

    let error = pool.restart(0).wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::SpawnFailed, "still broken: {error}");
    std::fs::remove_file(&flag).unwrap();
    pool.restart(0).wait().unwrap();
    assert_eq!(call(&pool, "echo", "repaired").unwrap(), "repaired");
}

#[test]
fn calls_that_wait_are_told_when_the_last_worker_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("broken");
    let policy = RestartPolicy { backoff: Duration::from_millis(10), ..RestartPolicy::default() };
    let pool =
        pool().env("MODE", "exit_if").env("EXIT_IF", &flag).restart(policy).start().wait().unwrap();
    std::fs::write(&flag, "").unwrap();
    let running = start(&pool, "exit", "4");
    let waiting = start(&pool, "echo", "");
    assert_eq!(running.wait().unwrap_err().message(), "test/1 exited with code 4");
    let error = waiting.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No));
}

#[test]
fn more_restarts_than_the_policy_allows_are_not_made() {
    let policy = RestartPolicy {
        backoff: Duration::from_millis(1),
        max_restarts: 2,
        ..RestartPolicy::default()
    };
    let pool = pool().restart(policy).start().wait().unwrap();
    for _ in 0..3 {
        assert_eq!(call(&pool, "exit", "1").unwrap_err().code(), ErrorCode::WorkerLost);
    }
    let error = call(&pool, "echo", "").unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoWorker);
    assert!(error.message().contains("more than 2 restarts"), "{error}");
}

#[test]
fn a_worker_that_closes_its_channel_is_ended() {
    let pool = pool().stop_timeout(Duration::from_millis(500)).start().wait().unwrap();
    let process = hold(pid(&pool, 0));
    let error = call(&pool, "close_channel", "").unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    assert!(error.message().contains("closed its channel"), "{error}");
    assert!(is_gone(process, LONG));
    assert_eq!(call(&pool, "echo", "x").unwrap(), "x");
}

#[test]
fn a_worker_that_retires_is_replaced_without_losing_a_call() {
    let pool = pool().start().wait().unwrap();
    let first = pid(&pool, 0);
    call(&pool, "retire", "").unwrap();
    let second: u32 = loop {
        let answer = call(&pool, "pid", "").unwrap().parse().unwrap();
        if answer != first {
            break answer;
        }
    };
    assert_eq!(second, pid(&pool, 0));
}

#[test]
fn grandchildren_die_with_their_worker() {
    let pool = pool().start().wait().unwrap();
    let grandchild = hold(call(&pool, "spawn_grandchild", "").unwrap().parse().unwrap());
    let events = pool.events();
    kill(&hold(pid(&pool, 0)));
    assert!(is_gone(grandchild, LONG));
    expect_ready(&events);
    let grandchild = hold(call(&pool, "spawn_grandchild", "").unwrap().parse().unwrap());
    pool.stop().wait().unwrap();
    assert!(is_gone(grandchild, LONG));
}

#[test]
fn a_pool_goes_on_with_the_workers_it_has() {
    let pool = pool().workers(2).start().wait().unwrap();
    let survivor = pid(&pool, 1).to_string();
    let events = pool.events();
    kill(&hold(pid(&pool, 0)));
    expect(&events, |event| matches!(event.happening, Happening::Exited { .. }));
    assert_eq!(call(&pool, "pid", "").unwrap(), survivor);
}

#[test]
fn workers_vanish_when_their_host_is_killed() {
    use std::io::BufRead;
    // Directly, and behind a launcher that closes descriptors and outlives nobody's signals.
    let launcher =
        "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], close_fds=True).returncode)";
    for launcher in ["", launcher] {
        let mut host = std::process::Command::new(program())
            .env("MODE", "host")
            .env("LAUNCHER", launcher)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(host.stdout.take().unwrap()).lines();
        let pids: Vec<u32> = lines
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .map(|pid| pid.parse().unwrap())
            .collect();
        assert_eq!(pids.len(), 6);
        let workers: Vec<_> = pids.into_iter().map(hold).collect();
        host.kill().unwrap();
        host.wait().unwrap();
        for worker in workers {
            assert!(is_gone(worker, Duration::from_secs(2)));
        }
    }
}

#[test]
fn a_thread_that_started_a_pool_may_end() {
    let pool = std::thread::spawn(|| pool().start().wait().unwrap()).join().unwrap();
    let worker = hold(pid(&pool, 0));
    assert!(!is_gone(&worker, Duration::from_millis(200)));
    assert_eq!(call(&pool, "echo", "x").unwrap(), "x");
    let _: Pool = pool;
}

#[test]
fn a_worker_that_does_not_answer_gets_nothing_new_and_is_not_killed() {
    let beat = Heartbeat {
        interval: Duration::from_millis(200),
        timeout: Duration::from_millis(150),
        misses: 2,
    };
    let pool = pool().workers(2).heartbeat(Some(beat)).start().wait().unwrap();
    let events = pool.events();
    let (stopped, other) = (pid(&pool, 0), pid(&pool, 1).to_string());
    let process = hold(stopped);
    pidfd_send_signal(&process, Signal::STOP).unwrap();
    expect(&events, |event| event.happening == Happening::Suspected && event.pid == Some(stopped));
    for _ in 0..5 {
        assert_eq!(call(&pool, "pid", "").unwrap(), other);
    }
    pidfd_send_signal(&process, Signal::CONT).unwrap();
    expect(&events, |event| event.happening == Happening::Recovered && event.pid == Some(stopped));
    assert_eq!(call(&pool, "pid", "").unwrap(), stopped.to_string());
    assert_eq!(pool.workers()[0].restarts, 0);
}

#[test]
fn siblings_of_a_worker_that_dies_are_unharmed() {
    let policy = RestartPolicy {
        backoff: Duration::from_millis(1),
        max_restarts: 1000,
        ..RestartPolicy::default()
    };
    let pool = pool().workers(3).restart(policy).start().wait().unwrap();
    let to = |worker: &str| procall::CallOptions { to: Some(worker.into()), ..Default::default() };
    for (method, argument) in [("crash", "11"), ("crash", "6"), ("exit", "3"), ("crash", "9")] {
        let siblings: Vec<_> = ["test/2", "test/3"]
            .map(|name| request("sleep_ms", "100").with_options(to(name)))
            .map(|request| pool.start_call(request).unwrap())
            .into();
        let dying = pool.start_call(request(method, argument).with_options(to("test/1"))).unwrap();
        assert_eq!(dying.wait().unwrap_err().code(), ErrorCode::WorkerLost);
        for sibling in siblings {
            sibling.wait().unwrap();
        }
    }
    let restarts: Vec<u64> = pool.workers().iter().map(|worker| worker.restarts).collect();
    assert_eq!(restarts[1..], [0, 0]);
}

#[test]
fn a_worker_that_dies_while_it_finishes_its_last_calls_is_told_as_any_other() {
    let policy = RestartPolicy { backoff: Duration::from_millis(1), ..RestartPolicy::default() };
    let pool = pool().restart(policy).start().wait().unwrap();
    let events = pool.events();
    for _ in 0..20 {
        let process = hold(pid(&pool, 0));
        let running = start(&pool, "sleep_ms", "60000");
        let restart = pool.restart(0);
        expect(&events, |event| event.happening == Happening::Draining);
        let error = std::thread::scope(|scope| {
            // It reads the link, and sees its end before anybody sees that of the process.
            let running = scope.spawn(|| running.wait().unwrap_err());
            kill(&process);
            running.join().unwrap()
        });
        assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
        assert!(error.message().contains("was killed by SIGKILL"), "{error}");
        restart.wait().unwrap();
    }
}
