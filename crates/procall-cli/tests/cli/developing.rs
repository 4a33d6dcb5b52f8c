//! `dev`: what changes is started anew, and what does not start leaves those that serve alone.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::support::{Home, Running, gone, hold};

/// A program that serves calc.
const SERVES: &str = "#!/bin/sh\nexec ./calc\n";
/// One that serves the same under another name, with one method.
const SERVES_OTHER: &str = "#!/bin/sh\nMODE=other exec ./calc\n";
const FAILS: &str = "#!/bin/sh\necho 'line 7: no such thing' >&2\nexit 3\n";

fn write(home: &Home, text: &str) {
    let (new, program) = (home.path().join(".new"), home.path().join("shop"));
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, program).unwrap();
}

fn develop(home: &Home, args: &[&str]) -> Running {
    write(home, SERVES);
    let dev = home.start(&[&["dev", "./shop", "--workers", "1"], args].concat());
    dev.expect("calc  1 worker of ./shop, 16 methods");
    dev
}

#[test]
fn a_change_brings_new_workers_and_calls_in_flight_end_with_the_old_ones() {
    let home = Home::new();
    let dev = develop(&home, &[]);
    let (first, fifo) = (home.pid(0), home.fifo());
    let call = home.start(&["call", "calc.hold", &fifo.text()]);
    dev.expect("holding");
    write(&home, SERVES);
    dev.expect("shop has changed: starting calc anew");
    dev.expect("calc  reloaded: 1 worker, 16 methods");
    let second = home.pid(0);
    assert_ne!(first, second);
    assert_eq!(home.procall(&["call", "calc.pid"]).ok(), format!("{second}\n"));
    let old = hold(first);
    fifo.release();
    assert_eq!(call.end(), (0, "1".to_owned()));
    gone(&old);
    dev.signal(Signal::INT);
    let (code, printed) = dev.end();
    assert_eq!(code, 0, "{printed}");
    assert!(printed.ends_with("stopped"), "{printed}");
    assert!(!home.sockets().join("calc.sock").exists());
}

#[test]
fn workers_that_do_not_start_leave_the_old_ones_in_their_place() {
    let home = Home::new();
    let dev = develop(&home, &[]);
    let first = home.pid(0);
    write(&home, FAILS);
    dev.expect("SPAWN_FAILED");
    dev.expect("line 7: no such thing");
    dev.expect("calc was not reloaded: the workers from before serve on");
    assert_eq!(home.procall(&["call", "calc.pid"]).ok(), format!("{first}\n"));
    // A change during a start that never ends is not lost either.
    write(&home, "#!/bin/sh\nexec sleep 1000\n");
    dev.expect("shop has changed");
    write(&home, SERVES);
    dev.expect("calc  reloaded");
    assert_ne!(home.procall(&["call", "calc.pid"]).ok(), format!("{first}\n"));
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().0, 0);
}

#[test]
fn methods_may_come_and_go() {
    let home = Home::new();
    let dev = develop(&home, &[]);
    write(&home, SERVES_OTHER);
    dev.expect("calc  reloaded: 1 worker, 1 method");
    let listed = home.procall(&["ls", "--json"]).json();
    assert_eq!(listed["services"][0]["methods"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(home.procall(&["call", "other.add", "7"]).ok(), "7\n");
    assert_eq!(home.procall(&["call", "calc.pid"]).code, 4, "it is no longer there");
    write(&home, SERVES);
    dev.expect("calc  reloaded: 1 worker, 16 methods");
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
}

#[test]
fn an_engine_is_told_of_the_new_methods() {
    let home = Home::new();
    let (engine, _) = home.engine(&[]);
    let dev = develop(&home, &[]);
    dev.expect("registered with");
    let call = |method: &str, value: &str| home.procall(&["call", "--at", "engine", method, value]);
    assert_eq!(call("calc.text", "name=here").ok(), "here\n");
    write(&home, SERVES_OTHER);
    dev.expect("calc  reloaded: 1 worker, 1 method");
    let until = std::time::Instant::now() + crate::support::LONG;
    // The engine takes the new registration a moment later.
    while call("other.add", "7").code != 0 {
        assert!(std::time::Instant::now() < until, "the engine never knew of it");
    }
    assert_eq!(call("calc.text", "name=here").code, 4);
    // And so is one that comes after it, when the workers are with it again.
    engine.signal(Signal::KILL);
    engine.end();
    let (_engine, _) = home.engine(&[]);
    while call("other.add", "8").code != 0 {
        assert!(std::time::Instant::now() < until, "the next engine never knew of it");
    }
}

#[test]
fn other_files_that_are_named_count_too() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("weights")).unwrap();
    write(&home, SERVES);
    let watch = ["dev", "./shop", "--workers", "1", "--watch", "weights", "--json"];
    let dev = home.start(&watch);
    dev.expect("\"serving\"");
    std::fs::write(home.path().join("weights").join("new.bin"), "1").unwrap();
    let line: serde_json::Value = serde_json::from_str(&dev.expect("\"changed\"")).unwrap();
    assert_eq!(line["files"], serde_json::json!(["weights/new.bin"]));
    let line: serde_json::Value = serde_json::from_str(&dev.expect("\"reloaded\"")).unwrap();
    assert_eq!((&line["service"], &line["workers"]), (&"calc".into(), &1.into()));
    write(&home, FAILS);
    let line: serde_json::Value = serde_json::from_str(&dev.expect("\"not_reloaded\"")).unwrap();
    assert_eq!(line["error"]["code"], "SPAWN_FAILED", "{line}");
    assert_eq!(line["error"]["trace"], "line 7: no such thing", "{line}");
}

#[test]
fn what_cannot_be_run_at_all_ends_it() {
    let home = Home::new();
    write(&home, FAILS);
    let ended = home.procall(&["dev", "./shop"]);
    assert_eq!(ended.code, home.procall(&["run", "./shop"]).code, "{ended:?}");
    assert!(ended.err.contains("line 7: no such thing"), "{ended:?}");
    let ended = home.procall(&["dev", "./shopp"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("./shop"), "{ended:?}");
    let ended = home.procall(&["dev", "./shop", "--watch", "nowhere"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("there is no nowhere to watch"), "{ended:?}");
}

#[test]
fn workers_that_ignore_a_cancel_are_ended_where_that_was_said() {
    let home = Home::new();
    let ends = ["--on-cancel", "kill", "--cancel-grace", "200ms"];
    let refused = home.procall(&[&["run", "./calc", "--workers", "1"], &ends[..]].concat());
    assert!(refused.err.contains("registered for 1024 calls at once"), "{refused:?}");
    let wrong = home.procall(&["run", "./calc", "--on-cancel", "stop"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("there are abandon and kill"), "{wrong:?}");
    let wrong = home.procall(&["run", "./calc", "--hang-timeout", "0s"]);
    assert_eq!(wrong.code, 2);
}
