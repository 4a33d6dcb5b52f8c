//! `run`: what it says, what it leaves behind, how it stops.

use rustix::process::Signal;

use crate::support::{Home, Running, gone, hold, kill};

#[test]
fn it_says_what_can_be_called_and_passes_on_what_workers_print() {
    let home = Home::new();
    let run = home.start(&["run", "./calc", "--workers", "2"]);
    run.expect("is ready");
    run.expect("calc  2 workers of ./calc, 16 methods");
    run.expect("  calc.add(a: integer, b: integer) -> integer  Adds two numbers.");
    assert_eq!(run.expect("procall call"), "procall call calc.add a=… b=…");
    home.procall(&["call", "print", "line=hello"]).ok();
    // Both outputs are read at once here, so either line may be the first one seen.
    let mut seen = [run.expect_on("hello"), run.expect_on("hello")];
    seen.sort_by_key(|(output, _)| *output);
    let [err, out] = seen;
    assert_eq!((err.0, out.0), ("err", "out"));
    assert!(out.1.starts_with("calc/") && out.1.ends_with(" | hello"), "{out:?}");
    assert!(err.1.ends_with(" | hello too"), "{err:?}");
}

#[test]
fn lines_say_which_call_printed_them_for_whoever_asks() {
    let home = Home::new();
    let run = home.run(&["--workers", "1", "--verbose"]);
    home.procall(&["call", "print", "line=hello"]).ok();
    let line = run.expect("hello");
    let (before, number) = line.split(" |").next().unwrap().rsplit_once(' ').unwrap();
    assert!(before.starts_with("calc/1 #") && number == "calc.print", "{line}");
    let home = Home::new();
    let run = home.start(&["run", "./calc", "--workers", "1", "--json"]);
    run.expect("\"serving\"");
    home.procall(&["call", "print", "line=hello"]).ok();
    let line: serde_json::Value = serde_json::from_str(&run.expect("hello")).unwrap();
    assert_eq!(line["method"], "calc.print", "{line}");
    assert!(line["call"].is_u64(), "{line}");
}

#[test]
fn raw_lines_have_nothing_before_them() {
    let home = Home::new();
    let run = home.run(&["--workers", "1", "--raw"]);
    home.procall(&["call", "print", "line=hello"]).ok();
    assert!(run.expect("hello").starts_with("hello"));
}

#[test]
fn scripts_get_events_as_json() {
    let home = Home::new();
    let run = home.start(&["run", "./calc", "--workers", "1", "--json"]);
    let line = run.expect("\"serving\"");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["service"], &event["workers"]), (&"calc".into(), &1.into()));
    assert!(event["address"].as_str().unwrap().starts_with("unix:/"));
}

#[test]
fn another_name_is_where_it_is_found() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1", "--name", "math"]);
    assert_eq!(home.workers()[0]["name"], "math/1");
    for name in ["math.add", "calc.add", "add"] {
        assert_eq!(home.procall(&["call", name, "1", "2"]).ok(), "3\n", "{name}");
    }
    // The old name is free.
    let _other = home.run(&["--workers", "1"]);
    let both = home.procall(&["call", "calc.add", "1", "2"]);
    assert_eq!(both.code, 0, "the service calc has it: {}", both.err);
    assert_eq!(home.procall(&["call", "math.add", "1", "2"]).ok(), "3\n");
}

#[test]
fn a_call_in_flight_finishes() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let fifo = home.fifo();
    let call = home.start(&["call", "calc.hold", &fifo.text()]);
    run.expect("holding");
    run.signal(Signal::INT);
    run.expect("stopping: 1 call may finish");
    fifo.release();
    assert_eq!(call.end(), (0, "1".to_owned()));
    let (code, printed) = run.end();
    assert_eq!(code, 0, "{printed}");
    assert!(printed.ends_with("stopped"), "{printed}");
    assert!(!home.sockets().join("calc.sock").exists());
}

#[test]
fn a_second_signal_does_not_wait() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let call = home.start(&["call", "calc.hold", &home.fifo().text()]);
    let worker = hold(home.pid(0));
    run.expect("holding");
    run.signal(Signal::TERM);
    run.expect("stopping: 1 call may finish");
    run.signal(Signal::TERM);
    run.expect("stopping at once");
    gone(&worker);
    assert_eq!(run.end().0, 0);
    let (code, printed) = call.end();
    assert_eq!(code, 5, "{printed}");
}

#[test]
fn a_name_that_is_taken_is_exit_code_3() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let second = home.procall(&["run", "./calc", "--workers", "1"]);
    assert_eq!(second.code, 3, "{second:?}");
    assert!(second.err.contains("a service \"calc\" runs already"), "{}", second.err);
    assert!(second.err.contains("--name NAME"), "{}", second.err);
    assert_eq!(
        home.procall(&["call", "calc.add", "1", "2"]).ok(),
        "3\n",
        "the first one serves on"
    );
}

#[test]
fn two_files_with_one_service_are_refused() {
    let home = Home::new();
    std::fs::copy(home.path().join("calc"), home.path().join("copy")).unwrap();
    let both = home.procall(&["run", "./calc", "./copy", "--workers", "1"]);
    assert_eq!(both.code, 2, "{both:?}");
    assert!(both.err.contains("both register the service \"calc\""), "{}", both.err);
    assert_eq!(home.procall(&["ls"]).ok(), "");
}

#[test]
fn what_cannot_be_started_leaves_nothing_behind() {
    let home = Home::new();
    let missing = home.procall(&["run", "./calx"]);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("there is no file ./calx"), "{}", missing.err);
    assert!(missing.err.contains("did you mean  calc\n"), "{}", missing.err);

    let mut command = home.command(&["run", "./calc", "--workers", "1"]);
    let output = command.env("MODE", "exit").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{err}");
    assert!(err.contains("error[SPAWN_FAILED] "), "{err}");
    assert!(err.contains("  stderr  cannot load the model\n"), "{err}");
    assert!(err.contains("exited with code 3"), "{err}");
    assert_eq!(std::fs::read_dir(home.sockets()).map_or(0, Iterator::count), 0);

    assert_eq!(home.procall(&["run", "./calc", "--workers", "0"]).code, 2);
    assert_eq!(home.procall(&["run", "./calc", "./calc", "--name", "x"]).code, 2);
}

#[test]
fn interrupted_before_it_is_ready_is_130() {
    let home = Home::new();
    let script = home.path().join("slow");
    std::fs::write(&script, "#!/bin/sh\necho loading $$ >&2\nexec sleep 1000\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let run = home.start(&["run", "./slow", "--workers", "1"]);
    let line = run.expect("loading");
    let worker = hold(line.rsplit(' ').next().unwrap().parse().unwrap());
    run.signal(Signal::INT);
    let (code, printed) = run.end();
    assert_eq!(code, 130, "{printed}");
    gone(&worker);
}

#[test]
fn a_worker_that_is_killed_is_back() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let before = home.pid(0);
    kill(&hold(before));
    run.expect("was killed by SIGKILL");
    run.expect("will be started again in");
    run.expect("is ready");
    let row = home.workers()[0].clone();
    assert_eq!((&row["restarts"], &row["state"]), (&1.into(), &"ready".into()));
    assert_eq!(row["last_exit"], "was killed by SIGKILL");
    assert_ne!(home.pid(0), before);
    let table = home.procall(&["ps"]).ok();
    assert!(table.contains("was killed by SIGKILL"), "{table}");
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
}

#[test]
fn a_run_that_is_killed_takes_its_workers_along_and_is_replaced_without_cleaning() {
    let home = Home::new();
    let run = home.run(&["--workers", "2"]);
    let workers = [hold(home.pid(0)), hold(home.pid(1))];
    run.signal(Signal::KILL);
    for worker in &workers {
        gone(worker);
    }
    drop(run);
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).code, 4);
    let _again: Running = home.run(&["--workers", "1"]);
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
}

#[test]
fn a_worker_that_stays_down_says_why() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    // One more than is restarted within a minute.
    for death in 0..6 {
        let lost = home.procall(&["call", "calc.die", "--wait", "60s"]);
        assert_eq!(lost.code, 5, "{lost:?}");
        run.expect("exited with code 9");
        if death < 5 {
            run.expect("is ready");
        }
    }
    run.expect("failed: ");
    let row = home.workers()[0].clone();
    assert_eq!(row["state"], "failed");
    assert!(row["reason"].as_str().unwrap().contains("more than 5 restarts"), "{row}");
    assert_eq!(row["stderr"].as_array().unwrap().last().unwrap(), "last words");
    let shown = home.procall(&["ps", "-v"]).ok();
    assert!(shown.contains("last words of calc/1\n  last words\n"), "{shown}");
    let call = home.procall(&["call", "calc.add", "1", "2"]);
    assert_eq!(call.code, 4, "NO_WORKER: {call:?}");
}

#[test]
fn a_line_stays_behind_the_name_of_its_worker() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let line = "\u{1b}[32mgreen\u{1b}[0m \u{1b}[2K\u{1b}[1Gcalc/9 | forged";
    home.procall(&["call", "calc.print", &format!("line=10%\r{line}")]).ok();
    let printed = run.expect("forged");
    assert_eq!(
        printed.trim_end_matches(" too"),
        "calc/1 | \u{1b}[32mgreen\u{1b}[0m \\u001b[2K\\u001b[1Gcalc/9 | forged"
    );
    run.signal(rustix::process::Signal::TERM);
    assert_eq!(run.end().0, 0);
}
