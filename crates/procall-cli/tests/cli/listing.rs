//! `ls`, `describe`, `ps`, `explain`, and how all output looks.

use std::process::Stdio;

use procall::ErrorCode;

use crate::support::{Home, on_a_terminal};

#[test]
fn nothing_runs_is_no_error() {
    let home = Home::new();
    for verb in ["ls", "ps"] {
        let ended = home.procall(&[verb]);
        assert!(ended.err.contains("procall run calc.py"), "{}", ended.err);
        assert_eq!(ended.ok(), "");
    }
    assert_eq!(home.procall(&["ls", "--json"]).json()["services"], serde_json::json!([]));
    // A socket that nobody listens at any more is nothing either.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::create_dir_all(home.sockets()).unwrap();
    std::fs::set_permissions(home.sockets(), mode).unwrap();
    let socket = home.sockets().join("old.sock");
    drop(std::os::unix::net::UnixListener::bind(socket).unwrap());
    assert_eq!(home.procall(&["ls"]).ok(), "");
}

#[test]
fn methods_are_listed_with_their_types() {
    let home = Home::new();
    let _run = home.run(&["--workers", "2"]);
    let listed = home.procall(&["ls"]).ok();
    let mut lines = listed.lines();
    assert!(lines.next().unwrap().starts_with("METHOD "), "{listed}");
    let add = lines.next().unwrap();
    let cells: Vec<&str> = add.split("  ").filter(|cell| !cell.is_empty()).collect();
    assert_eq!(
        cells.iter().map(|cell| cell.trim()).collect::<Vec<_>>(),
        ["calc.add", "a: integer, b: integer", "integer", "2", "Adds two numbers."]
    );
    assert!(!listed.contains("procall.workers") && !listed.contains('\x1b'), "{listed}");
    assert_eq!(home.procall(&["ls", "calc.co*"]).ok().lines().count(), 2);

    let object = home.procall(&["ls", "ad", "--json"]).json();
    let service = &object["services"][0];
    assert_eq!((&service["service"], &service["workers"]), (&"calc".into(), &2.into()));
    assert_eq!(service["methods"].as_array().unwrap().len(), 1);
    assert_eq!(service["methods"][0]["params_schema"]["required"][1], "b");
}

#[test]
fn a_service_that_does_not_answer_is_no_error_for_the_others() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let mute = home.sockets().join("mute.sock");
    let _mute = std::os::unix::net::UnixListener::bind(mute).unwrap();
    let listed = home.procall(&["ls"]).ok();
    assert!(listed.contains("calc.add ") && listed.contains("mute.?"), "{listed}");
    let listed = home.procall(&["ps"]).ok();
    assert!(listed.contains("calc/1 ") && listed.contains("silent"), "{listed}");
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
}

#[test]
fn a_method_is_described() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let described = home.procall(&["describe", "add"]).ok();
    for part in [
        "calc.add(a: integer, b: integer) -> integer\n  Adds two numbers.\n",
        "  params      a  integer, required\n",
        "  idempotent  yes\n",
        "  streams     none\n",
        "  try         procall call calc.add a=… b=…\n",
    ] {
        assert!(described.contains(part), "{part}: {described}");
    }
    let failing = home.procall(&["describe", "calc.fail"]).ok();
    assert!(failing.contains("  errors      Refused\n              Postponed\n"), "{failing}");
    let stream = home.procall(&["describe", "calc.echo"]).ok();
    assert!(stream.contains("the caller sends one, and the answer is one"), "{stream}");
    let object = home.procall(&["describe", "calc.add", "--json"]).json();
    assert_eq!(object["method"]["idempotent"], true);
    assert_eq!(object["example"], "procall call calc.add a=… b=…");
    let service = home.procall(&["describe", "calc"]).ok();
    assert!(service.contains("1 worker") && service.contains("calc.add(a: integer"), "{service}");
    assert_eq!(home.procall(&["describe", "calx"]).code, 4);
}

#[test]
fn a_service_that_was_started_by_hand_has_a_row() {
    let home = Home::new();
    let mut command = std::process::Command::new(home.path().join("calc"));
    let worker = crate::support::Running::new(
        command.env("XDG_RUNTIME_DIR", home.path()).stdin(Stdio::null()),
    );
    worker.expect("listening at");
    let rows = home.workers();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["name"], &rows[0]["state"]), (&"calc".into(), &"ready".into()));
    assert!(home.pid(0) > 1);
    let table = home.procall(&["ps"]).ok();
    assert!(table.starts_with("NAME  PID "), "{table}");
    assert_eq!(home.procall(&["call", "calc.add", "a=1", "b=1"]).ok(), "2\n");
}

#[test]
fn every_code_is_explained() {
    let home = Home::new();
    for code in ErrorCode::ALL {
        let explained = home.procall(&["explain", &code.name().to_lowercase()]).ok();
        for text in [code.name(), code.sentence(), code.cause(), code.fix()] {
            assert!(explained.contains(text), "{explained}");
        }
    }
    let object = home.procall(&["explain", "NOT_FOUND", "--json"]).json();
    assert_eq!((&object["exit"], &object["number"]), (&4.into(), &2.into()));
    let all = home.procall(&["explain"]).ok();
    assert_eq!(all.lines().count(), 1 + ErrorCode::ALL.len());
    let unknown = home.procall(&["explain", "worker_los"]);
    assert_eq!(unknown.code, 4);
    assert!(unknown.err.contains("did you mean  WORKER_LOST"), "{}", unknown.err);
}

#[test]
fn help_begins_with_examples() {
    let home = Home::new();
    let verbs = [
        "run",
        "serve",
        "ls",
        "describe",
        "call",
        "stream",
        "ps",
        "calls",
        "cancel",
        "events",
        "logs",
        "drain",
        "restart",
        "stop",
        "limits",
        "doctor",
        "completions",
        "explain",
    ];
    for verb in verbs {
        let help = home.procall(&[verb, "--help"]).ok();
        assert!(help.starts_with(&format!("Examples:\n  procall {verb}")), "{help}");
    }
    assert_eq!(home.procall(&[]).code, 2);
    assert!(home.procall(&["--version"]).ok().starts_with("procall "));
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let home = Home::new();
    let shown = on_a_terminal(&home, &["explain"], "NO_COLOR", "");
    assert!(shown.starts_with("\x1b[2mCODE "), "{shown}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_a_terminal(&home, &["explain"], name, value);
        assert!(plain.starts_with("CODE ") && !plain.contains('\x1b'), "{plain}");
    }
}

#[test]
fn results_are_indented_on_a_terminal() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let shown = on_a_terminal(&home, &["call", "person"], "NO_COLOR", "1");
    assert_eq!(shown, "{\r\n  \"name\": \"Ada\",\r\n  \"age\": 36\r\n}\r\n");
    let shown = on_a_terminal(&home, &["call", "text", "name=a b"], "NO_COLOR", "1");
    assert_eq!(shown, "a b\r\n");
}

#[test]
fn one_service_is_asked_at_its_address() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let address = format!("unix:{}", home.sockets().join("calc.sock").display());
    assert!(home.procall(&["ls", "--at", &address]).ok().contains("calc.add "));
    let described = home.procall(&["describe", "calc", "--at", &address]).ok();
    assert!(described.contains("served by") && described.contains("calc.add("), "{described}");

    let nobody = format!("unix:{}", home.sockets().join("nobody.sock").display());
    for verb in [&["ls"][..], &["describe", "calc"], &["call", "calc.add", "1", "2"]] {
        let ended = home.procall(&[verb, &["--at", &nobody, "--json"]].concat());
        assert_eq!((ended.code, &*ended.out), (4, ""), "{verb:?}: {}", ended.err);
        assert_eq!(ended.error()["code"], "NO_WORKER", "{verb:?}");
    }
}
