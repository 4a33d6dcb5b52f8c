//! Pools that start, and those that do not.

mod common;

use std::time::{Duration, Instant};

use common::{LONG, call, hold, is_gone, pid, pool, program, request, text};
use procall::ErrorCode;
use procall_pool::{Pool, RestartPolicy, WorkerState};

#[test]
fn a_start_is_done_when_all_workers_are_ready() {
    let pool = pool().workers(4).start().wait().unwrap();
    assert!(pool.workers().iter().all(|worker| worker.state == WorkerState::Ready));
    assert!(
        pool.workers().iter().all(|worker| worker.round_trip.is_some()),
        "each has answered a ping"
    );
    let names: Vec<String> = pool.workers().iter().map(|worker| worker.name.to_string()).collect();
    assert_eq!(names, ["test/1", "test/2", "test/3", "test/4"]);
}

#[test]
fn a_worker_that_exits_at_once_fails_the_start_with_its_last_words() {
    let begun = Instant::now();
    let error = pool().workers(2).env("MODE", "exit").start().wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::SpawnFailed);
    assert!(error.message().contains("exited with code 3 before it was ready"), "{error}");
    assert!(error.message().contains("test_worker"), "the command is shown: {error}");
    assert_eq!(error.trace(), Some("cannot load the model\nno such file: weights.bin"));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_worker_that_serves_nothing_is_told_to() {
    let error = Pool::command(["true"]).workers(1).start().wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::SpawnFailed);
    let told = "exited with code 0 before it was ready: it came to its end and served nothing; call `run()`";
    assert!(error.message().contains(told), "{error}");
}

#[test]
fn a_worker_that_never_connects_fails_the_start_in_time() {
    let error = pool()
        .env("MODE", "never_ready")
        .ready_timeout(Duration::from_millis(300))
        .start()
        .wait()
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::SpawnFailed);
    assert!(error.message().contains("was not ready within 300ms: it never connected"), "{error}");
}

#[test]
fn a_worker_that_never_registers_fails_the_start_in_time() {
    let start =
        pool().env("MODE", "never_registers").ready_timeout(Duration::from_millis(500)).start();
    let error = start.wait().unwrap_err();
    assert!(error.message().contains("it connected, but did not register"), "{error}");
}

#[test]
fn output_keeps_a_slow_start_alive() {
    let pool = pool()
        .env("MODE", "prints_then_serves")
        .ready_timeout(Duration::from_millis(700))
        .start()
        .wait()
        .unwrap();
    assert_eq!(call(&pool, "echo", "loaded").unwrap(), "loaded");
    let lines: Vec<String> = pool.output_lines(0, 2).iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["test/1 | loading 3", "test/1 | loading 4"]);
}

#[test]
fn what_cannot_be_run_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("calc.py");
    for (builder, told) in [
        (Pool::spawn(&missing), "does not exist"),
        (
            Pool::command(["procall-no-such-program"]),
            "no program \"procall-no-such-program\" on PATH",
        ),
        (Pool::command(Vec::<String>::new()), "the command is empty"),
        (
            Pool::command(["sh"]).cwd("/nonexistent"),
            "working directory /nonexistent does not exist",
        ),
        (Pool::command([folder.path()]), "is a directory"),
    ] {
        let error = builder.start().wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::SpawnFailed);
        assert!(error.message().contains(told), "{error}");
    }
    assert_eq!(
        Pool::command(["sh"]).workers(0).start().wait().unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
}

#[test]
fn a_file_without_its_interpreter_is_told_at_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("worker");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let policy = RestartPolicy { max_unready: 1, ..RestartPolicy::default() };
    let error = Pool::spawn(&script).workers(1).restart(policy).start().wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::SpawnFailed);
    assert!(error.message().contains("interpreter in its first line does not exist"), "{error}");
}

#[test]
fn arguments_pass_no_shell() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("show.sh");
    let seen = folder.path().join("seen");
    std::fs::write(
        &script,
        format!("printf '%s\\n' \"$@\" > {}\nexec {}\n", seen.display(), program().display()),
    )
    .unwrap();
    let awkward = "$(touch /tmp/oops); `id` 'x' *";
    let pool =
        Pool::spawn(&script).interpreter("sh").arg(awkward).args(["b", ""]).start().wait().unwrap();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), format!("{awkward}\nb\n\n"));
    drop(pool);
}

#[test]
fn a_launcher_that_closes_the_channel_does_not_cut_the_worker_off() {
    let worker = program();
    let script =
        format!("for fd in $(seq 3 200); do eval \"exec $fd>&-\"; done; exec {}", worker.display());
    let shell = Pool::command(["bash", "-c", &script]).name("shell");
    let wrapped =
        "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], close_fds=True).returncode)";
    let python = Pool::command(["python3", "-c", wrapped]).arg(&worker).name("python");
    for (builder, is_worker) in [(shell, true), (python, false)] {
        let pool = builder.workers(2).start().wait().unwrap();
        assert_eq!(call(&pool, "echo", "through").unwrap(), "through");
        let actual: u32 = call(&pool, "pid", "").unwrap().parse().unwrap();
        assert_eq!(pool.workers().iter().any(|worker| worker.pid == Some(actual)), is_worker);
        let process = hold(actual);
        pool.stop().wait().unwrap();
        assert!(is_gone(process, LONG));
    }
}

#[test]
fn a_wrapped_worker_that_is_killed_is_replaced() {
    let wrapped = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)";
    let pool = Pool::command(["python3", "-c", wrapped])
        .arg(program())
        .workers(1)
        .name("wrapped")
        .start()
        .wait()
        .unwrap();
    let first: u32 = call(&pool, "pid", "").unwrap().parse().unwrap();
    let running = pool.start_call(request("sleep_ms", "60000")).unwrap();
    common::kill(&hold(first));
    let error = running.wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::WorkerLost, "{error}");
    let second: u32 = call(&pool, "pid", "").unwrap().parse().unwrap();
    assert_ne!(first, second);
}

#[test]
fn workers_hold_only_their_streams_and_their_channel() {
    // One that is not close-on-exec, as a careless host would leave it.
    let careless = std::fs::File::open("/dev/zero").unwrap();
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).unwrap();
    let one = pool().start().wait().unwrap();
    let two = pool().workers(2).start().wait().unwrap();
    for pool in [&one, &two] {
        let open = call(pool, "descriptors", "").unwrap();
        let numbers: Vec<(i32, &str)> = open
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(number, target)| (number.parse().unwrap(), target))
            // What the worker's own runtime opened, and the folder it is reading.
            .filter(|(_, target)| {
                !target.starts_with("anon_inode:") && !target.starts_with("/proc/")
            })
            .collect();
        let streams: Vec<i32> =
            numbers.iter().map(|(number, _)| *number).filter(|number| *number < 3).collect();
        assert_eq!(streams.len(), 3);
        let rest: Vec<_> = numbers.iter().filter(|(number, _)| *number >= 3).collect();
        assert_eq!(rest.len(), 1, "{open}");
        assert!(rest[0].0 >= 64 && rest[0].1.starts_with("socket:"), "{open}");
        assert!(numbers.contains(&(0, "/dev/null")));
    }
}

#[test]
fn a_start_that_is_dropped_leaves_nothing() {
    let start = pool().workers(2).env("MODE", "never_ready").start();
    drop(start);
    let error =
        pool().env("MODE", "never_ready").start().wait_interruptibly(&mut || true).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Cancelled);
}

#[test]
fn a_pool_is_driven_by_the_runtime_it_was_started_in() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = pool().workers(2).start().await.unwrap();
        let calls: Vec<_> =
            (0..8).map(|_| pool.start_call(request("sleep_ms", "10")).unwrap()).collect();
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(
            String::from_utf8(pool.start_call(request("echo", "x")).unwrap().await.unwrap().bytes)
                .unwrap(),
            "x"
        );
        pool.restart_all().await.unwrap();
        let begun = Instant::now();
        for _ in 0..400 {
            pool.start_call(request("echo", "x")).unwrap().await.unwrap();
        }
        if cfg!(feature = "tokio") {
            assert!(
                begun.elapsed() < Duration::from_secs(2),
                "nobody had to stand by: {:?}",
                begun.elapsed()
            );
        }
        pool.stop().await.unwrap();
    });
}

#[test]
fn an_event_loop_hears_of_every_reply_through_a_hub() {
    use std::task::Poll;
    let pool = pool().workers(2).start().wait().unwrap();
    let hub = procall::Hub::new().unwrap();
    pool.attach(&hub).unwrap();
    pool.restart(1).wait().unwrap();
    // More calls than workers, so that some are handed over later; one waker each, by number.
    let mut calls: Vec<_> = (0..10_u64)
        .map(|number| (number, pool.start_call(request("echo", "hub")).unwrap()))
        .collect();
    calls.retain_mut(|(number, call)| call.poll_reply(&hub.waker(*number)).is_pending());
    while !calls.is_empty() {
        assert!(hub.wait(Some(LONG)).unwrap(), "the hub is told");
        for woken in hub.turn() {
            calls.retain_mut(|(number, call)| {
                if *number != woken {
                    return true;
                }
                match call.poll_reply(&hub.waker(*number)) {
                    Poll::Ready(reply) => {
                        assert_eq!(reply.unwrap().bytes, b"hub");
                        false
                    }
                    Poll::Pending => true,
                }
            });
        }
    }
}

#[test]
fn a_python_file_runs_in_python() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("calc.py");
    std::fs::write(
        &script,
        format!("import os\nprint('from python')\nos.execv({0:?}, [{0:?}])\n", program()),
    )
    .unwrap();
    let pool = Pool::spawn(&script).workers(1).start().wait().unwrap();
    assert_eq!(&*pool.workers()[0].name, "calc/1");
    assert_eq!(pool.output_lines(0, 1)[0].text, "from python");
    assert_eq!(text(pool.start_call(request("pid", "")).unwrap()), pid(&pool, 0).to_string());
}

#[test]
fn pools_that_start_in_the_same_moment_do_not_meet() {
    let barrier = std::sync::Barrier::new(8);
    let pids = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for host in 0..8 {
            let (barrier, pids) = (&barrier, &pids);
            scope.spawn(move || {
                barrier.wait();
                // Behind a launcher, so that the workers dial instead of using what they inherited.
                let wrapped =
                    "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)";
                let pool = Pool::command(["python3", "-c", wrapped])
                    .arg(program())
                    .workers(1)
                    .name(format!("host{host}"))
                    .start()
                    .wait()
                    .unwrap();
                for n in 0..20 {
                    let sent = format!("{host}:{n}");
                    assert_eq!(call(&pool, "echo", &sent).unwrap(), sent);
                }
                pids.lock().unwrap().push(call(&pool, "pid", "").unwrap());
                pool.stop().wait().unwrap();
            });
        }
    });
    let pids: std::collections::BTreeSet<String> = pids.into_inner().unwrap().into_iter().collect();
    assert_eq!(pids.len(), 8, "each had a worker of its own");
}

#[test]
fn times_that_no_clock_can_count_to_are_as_good_as_for_ever() {
    let policy = RestartPolicy {
        backoff: Duration::MAX,
        max_backoff: Duration::MAX,
        window: Duration::MAX,
        ..RestartPolicy::default()
    };
    let pool = pool()
        .elastic(1..=2)
        .idle_timeout(Duration::MAX)
        .ready_timeout(Duration::MAX)
        .finish_timeout(Duration::MAX)
        .stop_timeout(Duration::MAX)
        .restart(policy)
        .start()
        .wait()
        .unwrap();
    assert_eq!(call(&pool, "echo", "x").unwrap(), "x");
    let events = pool.events();
    common::kill(&hold(pid(&pool, 0)));
    common::expect(&events, |event| {
        matches!(event.happening, procall_pool::Happening::Restarting { .. })
    });
    pool.stop_within(Duration::MAX, Duration::MAX).wait().unwrap();
    // The supervisor of this process lives on.
    assert!(self::pool().start().wait().is_ok());
}
