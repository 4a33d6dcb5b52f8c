//! The engine is killed under load and started again, and started by many at once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use procall::{Client, ErrorCode, Executed, Service};
use rustix::process::Signal;

use crate::support::{Home, LONG, Running};

/// An engine at a socket of the test's own, so that nothing of this process's environment matters.
fn serve(home: &Home, socket: &str) -> Running {
    let running = home.start(&["serve", "--listen", socket]);
    running.expect(socket);
    running
}

/// What the callers were told and what the handler did, by the number of the call.
#[derive(Default)]
struct Ledger {
    executed: Mutex<Vec<u64>>,
    succeeded: Mutex<HashSet<u64>>,
    /// The caller was told that it never ran.
    refused: Mutex<HashSet<u64>>,
    wrong: Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_killed_under_load_loses_no_outcome_and_everybody_comes_back() {
    const KILLS: u64 = 6;
    let home = Home::new();
    let socket = format!("unix:{}/e.sock", home.path().display());
    let mut engine = serve(&home, &socket);
    let ledger = Arc::new(Ledger::default());
    let service = Service::new("ledger").method("note", {
        let ledger = ledger.clone();
        move |number: u64| {
            ledger.executed.lock().unwrap().push(number);
            number
        }
    });
    let worker = tokio::spawn(service.engine(&socket).run());
    let stop = Arc::new(AtomicBool::new(false));
    let (next, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = Vec::new();
    for _ in 0..4 {
        let client = Client::connect(&socket).await.unwrap();
        let (stop, next, answered, ledger) =
            (stop.clone(), next.clone(), answered.clone(), ledger.clone());
        callers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match client.call::<u64>("ledger.note", (number,)).deadline(LONG).await {
                    Ok(same) if same == number => {
                        ledger.succeeded.lock().unwrap().insert(number);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(other) => ledger.wrong.lock().unwrap().push(format!("{number} -> {other}")),
                    Err(error) => {
                        let known = [
                            ErrorCode::ConnectionLost,
                            ErrorCode::Unavailable,
                            ErrorCode::NoWorker,
                            ErrorCode::NotFound,
                            ErrorCode::WorkerLost,
                        ];
                        if !known.contains(&error.code()) {
                            ledger.wrong.lock().unwrap().push(format!("{number}: {error}"));
                        }
                        if error.executed() == Executed::No {
                            ledger.refused.lock().unwrap().insert(number);
                        }
                    }
                }
            }
        }));
    }
    for _ in 0..KILLS {
        let enough = answered.load(Ordering::Relaxed) + 50;
        let under_load = async {
            while answered.load(Ordering::Relaxed) < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, under_load).await.expect("nobody came back");
        engine.signal(Signal::KILL);
        engine.end();
        engine = serve(&home, &socket);
    }
    let enough = answered.load(Ordering::Relaxed) + 50;
    let back = async {
        while answered.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, back).await.expect("nobody came back after the last kill");
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        tokio::time::timeout(LONG, caller).await.expect("a call hangs").unwrap();
    }
    worker.abort();
    assert_eq!(*ledger.wrong.lock().unwrap(), Vec::<String>::new());
    let executed = ledger.executed.lock().unwrap();
    let once: HashSet<u64> = executed.iter().copied().collect();
    assert_eq!(once.len(), executed.len(), "no call ran twice");
    assert!(ledger.succeeded.lock().unwrap().is_subset(&once));
    assert!(ledger.refused.lock().unwrap().is_disjoint(&once), "\"executed: no\" is a guarantee");
    drop(engine);
}

/// Engines that start at once: 24, or as many as `PROCALL_STARTS` says, which `make long` has say 200.
fn starts() -> usize {
    std::env::var("PROCALL_STARTS").map_or(24, |starts| starts.parse().expect("a number"))
}

#[test]
fn of_many_that_start_at_once_one_wins_and_the_others_say_so() {
    let home = Home::new();
    let starts = starts();
    for _ in 0..3 {
        let all: Vec<Running> =
            (0..starts).map(|_| home.start(&["serve", "--listen", "tcp:127.0.0.1:0"])).collect();
        let mut winner = None;
        let mut refused = 0;
        for running in all {
            match running.expect_any(&["next: ", "NAME_TAKEN"]) {
                0 => assert!(winner.replace(running).is_none(), "two of them run"),
                _ => {
                    assert_eq!(running.end().0, 3);
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, starts - 1);
        // What is left of one that is killed is in nobody's way.
        let winner = winner.expect("one of them runs");
        winner.signal(Signal::KILL);
        winner.end();
    }
}

#[test]
fn what_is_left_of_one_that_was_killed_is_in_nobodys_way() {
    let home = Home::new();
    // Each is started in what the one before has left: its socket, its lock, its files.
    for _ in 0..starts() / 2 {
        let (engine, _) = home.engine(&[]);
        engine.signal(Signal::KILL);
        engine.end();
    }
    let (engine, _) = home.engine(&[]);
    engine.signal(Signal::TERM);
    assert_eq!(engine.end().0, 0);
}
