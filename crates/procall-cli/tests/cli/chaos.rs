//! `chaos`: who is hit, who is not, and that nothing stays broken.

use rustix::process::Signal;

use crate::serving::with_services;
use crate::support::{Home, Running, gone, hold};

/// The letter that the kernel has for what a process does: `T` when it stands still.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[test]
fn a_worker_is_killed_and_comes_back() {
    let home = Home::new();
    let run = home.run(&["--workers", "2"]);
    let (first, second) = (home.pid(0), home.pid(1));
    let process = hold(first);
    let ended = home.procall(&["chaos", "kill", "calc/1", "--json"]);
    let event = ended.json();
    assert_eq!((&event["event"], &event["worker"]), (&"killed".into(), &"calc/1".into()));
    assert_eq!(event["pid"], first);
    gone(&process);
    run.expect("SIGKILL");
    run.expect("is ready");
    assert_ne!(home.pid(0), first);
    assert_eq!(home.pid(1), second, "the other one was not meant");
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
}

#[test]
fn a_service_loses_one_of_its_workers_again_and_again() {
    let home = Home::new();
    let run = home.run(&["--workers", "2"]);
    let rhythm = ["--every", "100ms", "--for", "250ms", "--json"];
    let ended = home.procall(&[&["chaos", "kill", "calc"][..], &rhythm].concat());
    let events = ended.ok();
    assert!(events.lines().count() >= 1);
    for line in events.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["worker"].as_str().unwrap().starts_with("calc/"), "{event}");
        run.expect("SIGKILL");
    }
    // Whoever says neither how often nor how long means once.
    assert_eq!(home.procall(&["chaos", "kill", "calc", "--for", "1s"]).code, 2);
}

#[test]
fn a_worker_stands_still_and_goes_on() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let worker = home.pid(0);
    let ended = home.procall(&["chaos", "stop", "calc/1", "--time", "50ms", "--json"]);
    let events: Vec<serde_json::Value> =
        ended.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&events[0]["event"], &events[1]["event"]),
        (&"stopped".into(), &"continued".into())
    );
    assert_ne!(state(worker), 'T');
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
    assert_eq!(home.pid(0), worker, "it is the same one");
}

#[test]
fn however_it_is_interrupted_the_worker_goes_on() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let worker = home.pid(0);
    for signal in [Signal::INT, Signal::TERM] {
        let stop = home.start(&["chaos", "stop", "calc/1", "--time", "10m"]);
        stop.expect("stands still");
        // The kernel stops each of its threads when it next looks at signals.
        while state(worker) != 'T' {
            std::thread::yield_now();
        }
        stop.signal(signal);
        assert_eq!(stop.end().0, 130);
        assert_ne!(state(worker), 'T');
    }
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
}

#[test]
fn who_is_not_known_is_an_error_with_the_names_that_are_near() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    for verb in ["kill", "stop"] {
        let ended = home.procall(&["chaos", verb, "calk/1", "--json"]);
        assert_eq!(ended.code, 4);
        let error = ended.error();
        assert_eq!(error["code"], "NOT_FOUND");
        assert!(error["candidates"].as_array().unwrap().contains(&"calc/1".into()), "{error}");
    }
}

#[test]
fn a_worker_of_a_service_that_an_engine_starts_is_killed_and_comes_back() {
    let home = Home::new();
    let engine = with_services(&home);
    let (first, second) = (home.pid(0), home.pid(1));
    let process = hold(second);
    assert_eq!(home.procall(&["chaos", "kill", "calc/2", "--json"]).json()["pid"], second);
    gone(&process);
    engine.expect("SIGKILL");
    assert_eq!(home.pid(0), first, "the other one was not meant");
    // One that sleeps has no process.
    let ended = home.procall(&["chaos", "kill", "late", "--json"]);
    assert_eq!((ended.code, &ended.error()["code"]), (4, &"NO_WORKER".into()), "{ended:?}");
}

#[test]
fn who_is_asked_from_afar_loses_nobody() {
    let home = Home::new();
    let (_engine, address) = home.engine(&[]);
    let worker = home.worker("");
    let ended = home.procall(&["chaos", "kill", "calc", "--at", &address, "--json"]);
    assert_eq!((ended.code, &ended.error()["code"]), (7, &"PERMISSION_DENIED".into()));
    // Over its Unix socket the engine is known to be here.
    home.procall(&["chaos", "kill", "calc"]).ok();
    assert_eq!(worker.end().0, -1, "it was killed");
}

/// The address that it prints first.
fn door(running: &Running) -> String {
    running.expect("unix:/")
}

#[test]
fn behind_a_delay_everything_is_late_and_otherwise_the_same() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let (_engine, tcp) = home.engine(&[]);
    let _worker = home.worker("");
    for behind in ["calc", &tcp] {
        let delay = home.start(&["chaos", "delay", behind, "--by", "20ms"]);
        let address = door(&delay);
        let called = home.procall(&["call", "calc.add", "1", "2", "--at", &address]);
        assert_eq!(called.ok(), "3\n", "{behind}");
        let counted = home.procall(&["stream", "calc.count", "n=3", "--at", &address]);
        assert_eq!(counted.ok(), "0\n1\n2\n", "{behind}");
        delay.signal(Signal::INT);
        assert_eq!(delay.end().0, 0);
        let folder = address.trim_start_matches("unix:").trim_end_matches("/door");
        assert!(!std::path::Path::new(folder).exists(), "it leaves nothing behind");
    }
}

#[test]
fn connections_break_and_new_ones_are_taken() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let drop = home.start(&["chaos", "drop", "calc", "--every", "500ms", "--json"]);
    let line = drop.expect("\"listening\"");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = event["address"].as_str().unwrap().to_owned();
    let fifo = home.fifo();
    let hold = ["call", "calc.hold", &fifo.text(), "--at", &address, "--retries", "0", "--json"];
    let call = home.start(&hold);
    run.expect("holding");
    drop.expect("\"dropped\"");
    call.expect("CONNECTION_LOST");
    assert_eq!(call.end().0, 5);
    fifo.release();
    // Who comes between two breaks is served.
    while home.procall(&["call", "calc.add", "1", "2", "--at", &address]).code != 0 {}
}

#[test]
fn a_door_to_nowhere_is_not_opened() {
    let home = Home::new();
    for verb in ["delay", "drop"] {
        let ended = home.procall(&["chaos", verb, "tcp:127.0.0.1:1", "--json"]);
        assert_eq!((ended.code, &ended.error()["code"]), (4, &"NO_WORKER".into()), "{ended:?}");
        let ended = home.procall(&["chaos", verb, "tls:127.0.0.1:1", "--json"]);
        assert_eq!(ended.code, 2, "{ended:?}");
    }
}
