//! `call`: arguments, results, errors, exit codes.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::{Home, Running, on_a_terminal};

#[test]
fn a_call_prints_its_result_whichever_way_the_arguments_are_given() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    std::fs::write(home.path().join("args.json"), "{\"a\": 2, \"b\": 3}").unwrap();
    let ways: [&[&str]; 8] = [
        &["calc.add", "a=2", "b=3"],
        &["add", "a=2", "b:=3"],
        &["calc.add", "2", "3"],
        &["calc.add", "8", "-3"],
        &["calc.add", "{\"a\": 2, \"b\": 3}"],
        &["calc.add", "[2, 3]"],
        &["calc.add", "@args.json"],
        &["calc.add", "a=2", "b=3", "--deadline", "5s", "--idempotent", "--wait", "5s"],
    ];
    for way in ways {
        assert_eq!(home.procall(&[&["call"], way].concat()).ok(), "5\n", "{way:?}");
    }
    assert_eq!(home.procall_with(&["call", "add", "-"], "[2, 3]").ok(), "5\n");
}

#[test]
fn a_wrong_argument_is_named_and_costs_exit_code_2() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let wrong = home.procall(&["call", "calc.add", "a=2", "b=x"]);
    assert_eq!((wrong.code, &*wrong.out), (2, ""));
    assert!(wrong.err.starts_with("error[INVALID_ARGUMENT] "), "{}", wrong.err);
    assert!(wrong.err.lines().next().unwrap().ends_with("   executed: no"), "{}", wrong.err);
    assert!(wrong.err.contains("\n  field  b: "), "{}", wrong.err);
    assert!(wrong.err.contains("\n  more   procall explain INVALID_ARGUMENT"), "{}", wrong.err);

    let unknown = home.procall(&["call", "calc.add", "a=2", "bb=3", "--json"]);
    assert_eq!(unknown.code, 2);
    assert_eq!(unknown.error()["code"], "INVALID_ARGUMENT");
    assert_eq!(unknown.error()["candidates"][0], "b");

    for usage in [
        &["call", "calc.add", "a=2", "3"][..],
        &["call", "calc.add", "a:=x"],
        &["call", "calc.add", "{"],
        &["call", "calc.add", "a=@nowhere"],
        &["call", "calc.add", "--deadline", "soon"],
        &["call", "calc.add", "--dedline", "5s"],
        &["call", "calc.count", "n=1"],
        &["call", "calc.sum"],
        &["call"],
        &["cal"],
    ] {
        let ended = home.procall(usage);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{usage:?}: {}", ended.err);
    }
    let stream = home.procall(&["call", "calc.count", "n=1"]);
    assert!(stream.err.contains("procall stream calc.count n=…"), "{}", stream.err);
}

#[test]
fn text_stays_text_where_the_schema_says_so() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    assert_eq!(home.procall(&["call", "text", "name=5"]).ok(), "5\n");
    assert_eq!(home.procall(&["call", "text", "name=5", "--json"]).json()["result"], "5");
    assert_eq!(home.procall(&["call", "text", "5"]).ok(), "5\n");
    assert_eq!(home.procall(&["call", "text", "name:=5"]).code, 2);
    std::fs::write(home.path().join("a.txt"), "from a file").unwrap();
    assert_eq!(home.procall(&["call", "text", "name=@a.txt"]).ok(), "from a file\n");
}

#[test]
fn results_are_compact_and_objects_keep_their_order() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    assert_eq!(home.procall(&["call", "person"]).ok(), "{\"name\":\"Ada\",\"age\":36}\n");
    let printed = home.procall(&["call", "person", "--json"]).ok();
    assert_eq!(printed, "{\"method\":\"calc.person\",\"result\":{\"name\":\"Ada\",\"age\":36}}\n");
    let nan = home.procall(&["call", "nan"]);
    assert_eq!(nan.code, 1, "{nan:?}");
    assert!(nan.err.starts_with("error[INVALID_RESULT] ") && nan.err.contains("executed: yes"));
}

#[test]
fn bytes_go_in_from_files_and_out_as_they_are() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    std::fs::write(home.path().join("blob"), [0_u8, 255, 254]).unwrap();
    assert_eq!(home.procall(&["call", "size", "blob=@blob"]).ok(), "3\n");
    let blob = home.command(&["call", "blob"]).output().unwrap();
    assert_eq!(blob.stdout, [0, 255, 10, 7]);
    let shown = home.procall(&["call", "blob", "--json"]).json();
    assert_eq!(shown["result"]["$bytes"], "AP8KBw==");
}

#[test]
fn an_error_of_the_handler_arrives_with_its_trace() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let failed = home.procall(&["call", "fail", "why=no room"]);
    assert_eq!(failed.code, 1);
    assert!(failed.err.starts_with("error[HANDLER_ERROR] Refused: no room   executed: yes\n"));
    assert!(failed.err.contains("  trace  in fail\n         in main\n"), "{}", failed.err);
    let failed = home.procall(&["call", "fail", "why=no", "--json"]);
    assert_eq!(failed.error()["type"], "Refused");
    assert_eq!(failed.error()["exit"], 1);
}

#[test]
fn an_unknown_method_is_exit_code_4_with_what_was_perhaps_meant() {
    let home = Home::new();
    let nothing = home.procall(&["call", "calc.add", "a=2"]);
    assert_eq!(nothing.code, 4);
    assert!(nothing.err.contains("no service runs here"), "{}", nothing.err);
    assert!(nothing.err.contains("procall run calc.py"), "{}", nothing.err);

    let _run = home.run(&["--workers", "2"]);
    let unknown = home.procall(&["call", "calc.forver", "a=2"]);
    assert_eq!(unknown.code, 4);
    assert_eq!(
        unknown.err,
        "error[NOT_FOUND] no method \"calc.forver\"   executed: no\n  \
         did you mean  calc.forever   (calc, 2 workers)\n  \
         fix           procall ls   or start a worker: procall run calc.py\n  \
         more          procall explain NOT_FOUND\n"
    );
    let at = home.procall(&["call", "x.y", "--at", "unix:/nowhere/at/all.sock"]);
    assert_eq!(at.code, 4, "{at:?}");
}

#[test]
fn the_only_method_of_a_bare_name_is_meant_and_several_are_listed() {
    let home = Home::new();
    let _calc = home.run(&["--workers", "1"]);
    let mut other = home.command(&["run", "./calc", "--workers", "1"]);
    let other = Running::new(other.env("MODE", "other"));
    other.expect("procall call other.add");
    let both = home.procall(&["call", "add", "1"]);
    assert_eq!(both.code, 4);
    assert!(both.err.contains("could be one of 2 methods"), "{}", both.err);
    assert!(both.err.contains("calc.add   (calc, 1 worker)"), "{}", both.err);
    assert_eq!(home.procall(&["call", "other.add", "1"]).ok(), "1\n");
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
}

#[test]
fn waiting_ends_when_the_service_is_there() {
    let home = Home::new();
    let call = home.start(&["call", "calc.add", "a=2", "b=3", "--wait", "60s"]);
    let _run = home.run(&["--workers", "1"]);
    assert_eq!(call.end(), (0, "5".to_owned()));
    let home = Home::new();
    assert_eq!(home.procall(&["call", "calc.add", "--wait", "100ms"]).code, 4);
}

#[test]
fn a_deadline_is_exit_code_6() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let late = home.procall(&["call", "forever", "--deadline", "50ms"]);
    assert_eq!(late.code, 6);
    assert!(late.err.starts_with("error[DEADLINE_EXCEEDED] "), "{}", late.err);
}

#[test]
fn a_worker_that_dies_is_exit_code_5_with_its_last_words() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let lost = home.procall(&["call", "die"]);
    assert_eq!(lost.code, 5);
    assert!(lost.err.starts_with("error[WORKER_LOST] "), "{}", lost.err);
    assert!(lost.err.contains("executed: maybe"), "{}", lost.err);
    assert!(lost.err.contains("  stderr  last words\n"), "{}", lost.err);
    run.expect("exited with code 9");
    run.expect("is ready");
}

#[test]
fn ctrl_c_cancels_the_call() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let fifo = home.fifo();
    let call = home.start(&["call", "calc.hold", &fifo.text()]);
    run.expect("holding");
    call.signal(Signal::INT);
    let (code, printed) = call.end();
    assert_eq!(code, 130, "{printed}");
    assert!(printed.starts_with("error[CANCELLED] interrupted   executed: "), "{printed}");
    fifo.release();
    assert_eq!(home.procall(&["call", "add", "1", "1"]).ok(), "2\n");
}

#[test]
fn progress_is_a_bar_on_a_terminal_and_nothing_elsewhere() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let shown = on_a_terminal(&home, &["call", "report", "n=3"], "NO_COLOR", "1");
    // At most ten a second travel, but the one that completes the total always does.
    let bar = shown.split('\r').find(|line| line.contains("3/3")).unwrap_or_default();
    assert!(bar.starts_with("[########################] 100%  3/3  "), "{shown:?}");
    assert!(bar.ends_with("/s  working\x1b[K"), "{shown:?}");
    assert!(shown.ends_with("\r\x1b[K3\r\n"), "it is taken away: {shown:?}");
    for option in ["--quiet", "--json"] {
        let shown = on_a_terminal(&home, &["call", "report", "n=3", option], "NO_COLOR", "1");
        assert!(!shown.contains("3/3"), "{shown:?}");
    }
    let elsewhere = home.procall(&["call", "report", "n=3"]);
    assert_eq!((&*elsewhere.err, &*elsewhere.out), ("", "3\n"));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command: Command = home.command(&["call", "add", "1", "2"]);
    let output = command.stdout(Stdio::from(writer)).output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

#[test]
fn a_call_can_name_its_worker() {
    let home = Home::new();
    let _run = home.run(&["--workers", "3"]);
    for (index, name) in ["calc/1", "calc/2", "calc/3"].into_iter().enumerate() {
        let pid = home.procall(&["call", "pid", "--to", name]).ok();
        assert_eq!(pid.trim(), home.pid(index).to_string(), "{name}");
    }
    let unknown = home.procall(&["call", "pid", "--to", "calc/9"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(unknown.err.contains("calc/9"), "{}", unknown.err);
}

#[test]
fn times_that_no_clock_can_count_to_are_long_times() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let long = "5000000000000000h";
    let args = ["call", "calc.add", "1", "2", "--wait", long, "--deadline", long];
    assert_eq!(home.procall(&args).ok(), "3\n");
}

#[test]
fn a_result_that_cannot_be_written_was_computed_all_the_same() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    for args in [&["call", "calc.add", "1", "2"][..], &["stream", "calc.count", "n=3"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = home.command(&[args, &["--json"]].concat());
        let output = command.stdout(full).output().unwrap();
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((output.status.code(), &error["error"]["executed"]), (Some(5), &"yes".into()));
    }
}

#[test]
fn what_a_handler_says_does_not_act_on_the_terminal() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let failed =
        home.procall(&["call", "calc.fail", "why=a\u{1b}[2J\nerror[INTERNAL] forged\u{9b}A"]);
    let mut lines = failed.err.lines();
    assert_eq!(lines.next(), Some("error[HANDLER_ERROR] Refused: a\\u001b[2J   executed: yes"));
    assert_eq!(lines.next(), Some("  error[INTERNAL] forged\\u009bA"));
    let args = ["call", "calc.fail", "why=a\u{9b}A\u{7f}", "--json"];
    let failed = home.procall(&args);
    assert_eq!(failed.error()["message"], "a\u{9b}A\u{7f}");
    assert!(!failed.err.trim_end().contains(char::is_control), "{}", failed.err);
    // A file gets the result as it is.
    assert_eq!(home.procall(&["call", "calc.text", "name=a\u{1b}[2J"]).ok(), "a\u{1b}[2J\n");
}
