//! What there is to see and to do at an engine.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Home, Running, on_a_terminal};

/// Waits until the engine's list of calls has so many.
fn until_calls(home: &Home, count: usize) -> Vec<Value> {
    let until = std::time::Instant::now() + crate::support::LONG;
    loop {
        let calls = home.procall(&["calls", "--json"]).json()["calls"].as_array().unwrap().clone();
        if calls.len() == count {
            return calls;
        }
        assert!(std::time::Instant::now() < until, "{calls:?}");
    }
}

#[test]
fn what_registered_is_listed_described_and_called() {
    let home = Home::new();
    let (_engine, _) = home.engine(&[]);
    let nothing = home.procall(&["ls"]);
    assert!(nothing.err.contains("nobody has registered with the engine"), "{}", nothing.err);
    let _one = home.worker("");
    let _two = home.worker("");
    let listed = home.procall(&["ls", "calc.add"]).ok();
    let add: Vec<&str> = listed.lines().nth(1).unwrap().split("  ").collect();
    let add: Vec<&str> = add.into_iter().map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(add, ["calc.add", "a: integer, b: integer", "integer", "2", "Adds two numbers."]);
    let object = home.procall(&["ls", "calc.add", "--json"]).json();
    let service = &object["services"][0];
    assert_eq!((&service["service"], &service["workers"]), (&"calc".into(), &2.into()));
    assert_eq!(service["peers"], serde_json::json!(["calc/1", "calc/2"]));
    assert_eq!(service["away"], serde_json::json!([]));

    assert_eq!(home.procall(&["call", "calc.add", "10", "20"]).ok(), "30\n");
    assert_eq!(home.procall(&["call", "add", "a=1", "b=2"]).ok(), "3\n");
    assert_eq!(home.procall(&["stream", "calc.count", "n=3"]).ok(), "0\n1\n2\n");
    assert_eq!(home.procall(&["call", "calc.add", "1", "x"]).code, 2);
    let described = home.procall(&["describe", "calc"]).ok();
    assert!(described.contains("2 peers of the engine: calc/1, calc/2"), "{described}");
    let described = home.procall(&["describe", "calc.add"]).ok();
    assert!(described.starts_with("calc.add(a: integer, b: integer) -> integer\n"), "{described}");

    let pid = home.procall(&["call", "pid", "--to", "calc/2"]).ok();
    assert_eq!(home.procall(&["call", "pid", "--to", "calc/2"]).ok(), pid);
    let nobody = home.procall(&["call", "pid", "--to", "calc/9"]);
    assert_eq!((nobody.code, nobody.err.contains("calc/9")), (4, true), "{}", nobody.err);
}

#[test]
fn peers_are_shown_with_what_they_do() {
    let home = Home::new();
    let (_engine, address) = home.engine(&[]);
    let worker = home.worker("");
    let peers = home.peers();
    let [peer] = &peers[..] else { panic!("{peers:?}") };
    assert_eq!(peer["name"], "calc/1");
    assert_eq!((&peer["speaks"], &peer["state"]), (&"native".into(), &"ready".into()));
    assert!(peer["age"].as_f64().unwrap() >= peer["last_seen"].as_f64().unwrap());
    let table = home.procall(&["ps"]).ok();
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("engine, pid "), "{table}");
    assert!(lines.next().unwrap().starts_with("NAME    SPEAKS  ADDRESS "), "{table}");
    let row = lines.next().unwrap();
    assert!(row.starts_with("calc/1  native  unix:") && row.contains("  ready  "), "{table}");
    assert_eq!(lines.next(), None, "{table}");

    let fifo = home.fifo();
    let call = home.start(&["call", "calc.hold", &fifo.text()]);
    worker.expect("holding");
    assert_eq!(home.peers().iter().find(|peer| peer["name"] == "calc/1").unwrap()["state"], "busy");
    fifo.release();
    assert_eq!(call.end(), (0, "1".to_owned()));

    // The same by its address.
    let at = home.procall(&["ps", "--json", "--at", &address]).json();
    assert_eq!(at["engines"][0]["peers"][0]["name"], "calc/1");
    assert!(home.procall(&["ls", "--at", &address]).ok().contains("calc.add "));
    assert_eq!(home.procall(&["call", "calc.add", "1", "2", "--at", &address]).ok(), "3\n");
    let elsewhere = Home::new();
    let mut command = elsewhere.command(&["call", "calc.add", "1", "2"]);
    let output = command.env("PROCALL_ENGINE", &address).output().unwrap();
    assert_eq!(output.stdout, b"3\n", "{output:?}");
}

#[test]
fn a_bare_name_of_several_methods_lists_them() {
    let home = Home::new();
    let (_engine, _) = home.engine(&[]);
    let _calc = home.worker("");
    let _other = home.worker("other");
    let several = home.procall(&["call", "add", "1", "2", "--json"]);
    assert_eq!(several.code, 4, "{}", several.err);
    assert_eq!(several.error()["candidates"], serde_json::json!(["calc.add", "other.add"]));
    assert_eq!(home.procall(&["call", "other.add", "1"]).ok(), "1\n");
}

#[test]
fn who_has_gone_is_away_and_can_be_waited_for() {
    let home = Home::new();
    let (_engine, _) = home.engine(&[]);
    let worker = home.worker("");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0, 0);
    let listed = home.procall(&["ls", "calc.add"]).ok();
    assert!(listed.lines().nth(1).unwrap().contains("  away  "), "{listed}");
    let refused = home.procall(&["call", "calc.add", "1", "2"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let waiting = home.start(&["call", "calc.add", "1", "2", "--wait", "60s"]);
    let _worker = home.worker("");
    assert_eq!(waiting.end(), (0, "3".to_owned()));
}

#[test]
fn a_pool_with_the_engine_is_listed_once() {
    let home = Home::new();
    let (_engine, _) = home.engine(&[]);
    let run = home.start(&["run", "./calc", "--workers", "2"]);
    run.expect("registered with engine");
    let listed = home.procall(&["ls", "calc.add"]).ok();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert_eq!(home.workers().len(), 2);
    let table = home.procall(&["ps"]).ok();
    assert_eq!(table.matches("calc/").count(), 2, "{table}");
    assert!(table.contains("engine, pid ") && table.contains("1 peer"), "{table}");
    // Through the engine too.
    assert_eq!(home.procall(&["call", "calc.add", "1", "2", "--at", "engine"]).ok(), "3\n");
    // With one more worker that only the engine has, it is called there.
    let _hand = home.worker("");
    assert_eq!(home.procall(&["ls", "calc.add"]).ok().lines().count(), 2);
    assert_eq!(home.procall(&["ls", "--json"]).json()["services"][0]["workers"], 2);

    let stopped = home.procall(&["stop", "calc", "--json"]).json();
    assert_eq!(stopped["stopped"], "calc");
    assert_eq!(run.end().0, 0);
}

#[test]
fn a_call_that_came_through_the_engine_finishes_when_its_pool_is_stopped() {
    let home = Home::new();
    let (_engine, _) = home.engine(&[]);
    let run = home.start(&["run", "./calc", "--workers", "1"]);
    run.expect("registered with engine");
    let fifo = home.fifo();
    let call = home.start(&["call", "calc.hold", &fifo.text(), "--at", "engine"]);
    run.expect("holding");
    run.signal(Signal::TERM);
    run.expect("stopping: 1 call may finish");
    fifo.release();
    assert_eq!(call.end(), (0, "1".to_owned()));
    assert_eq!(run.end().0, 0);
}

#[test]
fn events_are_followed_as_json() {
    let home = Home::new();
    let (engine, _) = home.engine(&[]);
    let events = home.start(&["events"]);
    events.expect("following");
    let worker = home.worker("");
    let line = events.expect("\"registered\"");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["peer"]["name"], "calc/1");
    assert!(event["methods"].as_array().unwrap().contains(&"calc.add".into()), "{event}");
    assert!(event["at_ms"].as_u64().unwrap() > 1_704_067_200_000);
    worker.signal(Signal::TERM);
    let left = |line: String| serde_json::from_str::<Value>(&line).unwrap()["peer"]["name"].clone();
    while left(events.expect("\"left\"")) != "calc/1" {}
    // With the engine the events end.
    engine.signal(Signal::TERM);
    assert_eq!(engine.end().0, 0);
    let (code, printed) = events.end();
    assert_eq!(code, 5, "{printed}");
}

#[test]
fn events_on_a_terminal_are_dim_lines_with_the_time() {
    let home = Home::new();
    let (_engine, _) = home.engine(&[]);
    let shown = std::thread::scope(|scope| {
        let events = scope.spawn(|| on_a_terminal(&home, &["events", "-n", "1"], "NO_COLOR", ""));
        // Whoever looks at the engine joins it.
        while !events.is_finished() {
            home.procall(&["calls"]).ok();
        }
        events.join().unwrap()
    });
    let is_event = |line: &&str| ["  joined  ", "  left  "].iter().any(|word| line.contains(word));
    let line = shown.lines().find(is_event).unwrap_or_default();
    assert!(
        line.starts_with("\x1b[2m") && line.contains(" +") && line.contains("s  "),
        "{shown:?}"
    );
    assert!(line.trim_end().ends_with("\x1b[0m"), "{shown:?}");
}

#[test]
fn a_call_is_shown_and_cancelled() {
    let home = Home::new();
    let (_engine, _) = home.engine(&[]);
    let _worker = home.worker("");
    let call = home.start(&["call", "calc.forever", "--deadline", "1h"]);
    let rows = until_calls(&home, 1);
    let row = &rows[0];
    assert_eq!((&row["method"], &row["worker"]), (&"calc.forever".into(), &"calc/1".into()));
    assert_eq!(row["client"], "procall");
    let table = home.procall(&["calls"]).ok();
    assert!(table.starts_with("CALL  METHOD ") && table.contains("calc.forever"), "{table}");
    let id = row["call"].to_string();
    assert_eq!(home.procall(&["cancel", &id, "--json"]).json()["cancelled"], row["call"]);
    let (code, printed) = call.end();
    assert_eq!(code, 130, "{printed}");
    assert!(
        printed.contains("error[CANCELLED]") && printed.contains("executed: maybe"),
        "{printed}"
    );
    until_calls(&home, 0);
    let over = home.procall(&["cancel", &id]);
    assert_eq!((over.code, over.err.contains("procall calls")), (4, true), "{}", over.err);
}

#[test]
fn a_peer_is_drained_and_gets_calls_again() {
    let home = Home::new();
    let (_engine, _) = home.engine(&[]);
    let worker = home.worker("");
    let fifo = home.fifo();
    let call = home.start(&["call", "calc.hold", &fifo.text()]);
    worker.expect("holding");
    let busy = home.procall(&["drain", "calc", "--wait", "100ms"]);
    assert_eq!(busy.code, 6, "{}", busy.err);
    let refused = home.procall(&["call", "calc.add", "1", "2"]);
    assert_eq!(refused.code, 5, "{}", refused.err);
    let draining = home.start(&["drain", "calc/1", "--json"]);
    fifo.release();
    assert_eq!(call.end(), (0, "1".to_owned()));
    let (code, printed) = draining.end();
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, object["names"].clone()), (0, serde_json::json!(["calc/1"])));
    assert!(home.procall(&["ps"]).ok().contains("  drained  "));
    home.procall(&["drain", "calc", "--undo"]).ok();
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
    assert_eq!(home.procall(&["restart", "calc"]).code, 2, "it has no pool");
    assert_eq!(home.procall(&["drain", "nobody"]).code, 4);
}

#[test]
fn without_an_engine_it_is_exit_code_3() {
    let home = Home::new();
    for verb in [&["calls"][..], &["events"], &["cancel", "1"], &["stop"]] {
        let ended = home.procall(&[verb, &["--json"]].concat());
        assert_eq!((ended.code, &*ended.out), (3, ""), "{verb:?}: {}", ended.err);
        let error = ended.error();
        assert_eq!((&error["code"], &error["exit"]), (&"NO_WORKER".into(), &3.into()));
        assert!(error["fix"].as_str().unwrap().contains("procall serve"), "{error}");
    }
    let _run = home.run(&["--workers", "1"]);
    let address = format!("unix:{}", home.sockets().join("calc.sock").display());
    let service = home.procall(&["calls", "--at", &address]);
    assert_eq!((service.code, service.err.contains("not an engine")), (2, true));
    let (_engine, _) = home.engine(&[]);
    let second = home.procall(&["serve", "--listen", "tcp:127.0.0.1:0"]);
    assert_eq!(second.code, 3, "{}", second.err);
}

/// An engine with a call in flight: itself, the call, and the worker.
fn in_flight(home: &Home, fifo: &str) -> (Running, Running, Running) {
    let (engine, _) = home.engine(&[]);
    let worker = home.worker("");
    let call = home.start(&["call", "calc.hold", fifo]);
    worker.expect("holding");
    (engine, call, worker)
}

#[test]
fn an_engine_that_is_told_to_stop_lets_calls_finish() {
    let home = Home::new();
    let fifo = home.fifo();
    let (engine, call, _worker) = in_flight(&home, &fifo.text());
    engine.signal(Signal::TERM);
    engine.expect("calls in flight may finish");
    fifo.release();
    assert_eq!(call.end(), (0, "1".to_owned()));
    assert_eq!(engine.end().0, 0);
    assert!(!home.sockets().join("engine.sock").exists());
}

#[test]
fn an_engine_that_is_told_twice_stops_at_once() {
    let home = Home::new();
    let (engine, call, _worker) = in_flight(&home, &home.fifo().text());
    engine.signal(Signal::INT);
    engine.expect("calls in flight may finish");
    engine.signal(Signal::TERM);
    assert_eq!(engine.end().0, 0);
    let (code, printed) = call.end();
    assert_eq!(code, 5, "{printed}");
}

#[test]
fn stop_ends_the_engine_after_its_calls() {
    let home = Home::new();
    let fifo = home.fifo();
    let (engine, call, _worker) = in_flight(&home, &fifo.text());
    let stop = home.start(&["stop"]);
    engine.expect("calls in flight may finish");
    fifo.release();
    assert_eq!(call.end(), (0, "1".to_owned()));
    let (code, printed) = stop.end();
    assert_eq!((code, &*printed), (0, "engine has stopped"));
    assert_eq!(engine.end().0, 0);
}
