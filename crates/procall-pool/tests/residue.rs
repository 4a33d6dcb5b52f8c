//! Nothing is left behind. In a binary of its own, since it counts what its whole process holds.

mod common;

use std::time::Duration;

use common::{call, count, expect_ready, hold, kill, pid, pool};
use procall_pool::RestartPolicy;

/// Children of this process, zombies included.
fn children() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let lists = threads
        .filter_map(Result::ok)
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.map(|list| list.split_whitespace().count()).sum()
}

fn names_in_temp() -> usize {
    let own = format!("procall-{}-", std::process::id());
    let names = std::fs::read_dir(std::env::temp_dir()).unwrap().filter_map(Result::ok);
    names.filter(|name| name.file_name().to_string_lossy().starts_with(&own)).count()
}

#[test]
fn a_thousand_kills_leave_nothing_behind() {
    let policy = RestartPolicy {
        backoff: Duration::from_millis(1),
        max_restarts: 10_000,
        jitter: 0.0,
        max_backoff: Duration::from_millis(1),
        ..RestartPolicy::default()
    };
    // The threads and descriptors of the process itself come with the first pool.
    pool().start().wait().unwrap().stop().wait().unwrap();
    let before = (count("fd"), count("task"), children());
    {
        let pool = pool().workers(2).restart(policy).start().wait().unwrap();
        let while_running = (count("fd"), count("task"), children());
        let events = pool.events();
        for round in 0..1000 {
            kill(&hold(pid(&pool, round % 2)));
            expect_ready(&events);
            assert_eq!(call(&pool, "echo", "x").unwrap(), "x");
        }
        let (descriptors, threads, processes) = while_running;
        // A connection has one descriptor more once a thread has waited on it.
        assert!(count("fd").abs_diff(descriptors) <= 2, "{} instead of {descriptors}", count("fd"));
        assert_eq!((count("task"), children()), (threads, processes));
        assert_eq!(pool.workers().iter().map(|worker| worker.restarts).sum::<u64>(), 1000);
        pool.stop().wait().unwrap();
    }
    assert_eq!((count("fd"), count("task"), children()), before);
    // Workers that overrun a deadline, and pools that come and go.
    for _ in 0..20 {
        let pool = pool().workers(2).start().wait().unwrap();
        let mut request = common::within(5, "sleep_ms", "60000");
        request.options.on_timeout = procall::OnTimeout::Restart;
        pool.start_call(request).unwrap().wait().unwrap_err();
        drop(pool.start_call(common::request("sleep_ms", "60000")).unwrap());
        pool.close();
    }
    assert_eq!((count("fd"), count("task"), children()), before);
    assert_eq!(children(), 0);
    assert_eq!(names_in_temp(), 0);
}
