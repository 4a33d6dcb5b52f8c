//! `logs`, and what is done to a pool; `limits`, `doctor`, `completions`.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::Home;

fn objects(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_are_shown_later_and_followed() {
    let home = Home::new();
    let run = home.run(&["--workers", "2"]);
    for number in 0..3 {
        home.procall(&["call", "print", &format!("line=first {number}"), "--to", "calc/1"]).ok();
    }
    home.procall(&["call", "print", "line=second", "--to", "calc/2"]).ok();
    // What the run has printed it has kept before.
    run.expect("second too");
    let all = home.procall(&["logs"]).ok();
    for part in ["calc/1 | first 0\n", "calc/1 | first 2 too\n", "calc/2 | second\n"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let last = home.procall(&["logs", "-n", "2", "calc/1", "--json"]).ok();
    let last = objects(&last);
    assert_eq!(last.len(), 2);
    assert!(last.iter().all(|line| line["worker"] == "calc/1"), "{last:?}");
    assert!(last[1]["text"].as_str().unwrap().starts_with("first 2"), "{last:?}");

    let follow = home.start(&["logs", "-f", "calc"]);
    follow.expect("calc/2 | second");
    home.procall(&["call", "print", "line=third", "--to", "calc/1"]).ok();
    follow.expect("calc/1 | third");
    let nobody = home.procall(&["logs", "calc/9"]);
    assert_eq!((nobody.code, nobody.out.as_str()), (4, ""), "{}", nobody.err);
}

#[test]
fn workers_of_a_pool_are_started_anew() {
    let home = Home::new();
    let _run = home.run(&["--workers", "2"]);
    let before = [home.pid(0), home.pid(1)];
    let one = home.procall(&["restart", "calc/2", "--json"]).json();
    assert_eq!(one["restarted"], serde_json::json!(["calc/2"]));
    assert_eq!(home.pid(0), before[0]);
    assert_ne!(home.pid(1), before[1]);
    home.procall(&["restart", "calc"]).ok();
    assert_ne!(home.pid(0), before[0]);
    assert_eq!(home.procall(&["call", "calc.add", "1", "2"]).ok(), "3\n");
    let nobody = home.procall(&["restart", "calc/9"]);
    assert_eq!(nobody.code, 4, "{}", nobody.err);
}

#[test]
fn a_pool_is_drained_and_stopped() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let fifo = home.fifo();
    let call = home.start(&["call", "calc.hold", &fifo.text()]);
    run.expect("holding");
    assert_eq!(home.procall(&["drain", "calc/1"]).code, 2, "one worker cannot be");
    assert_eq!(home.procall(&["drain", "calc", "--wait", "100ms"]).code, 6);
    let refused = home.procall(&["call", "calc.add", "1", "2"]);
    assert_eq!(refused.code, 5, "{}", refused.err);
    let stop = home.start(&["stop", "calc"]);
    run.expect("stopping: 1 call may finish");
    fifo.release();
    assert_eq!(call.end(), (0, "1".to_owned()));
    assert_eq!(stop.end(), (0, "calc has stopped".to_owned()));
    assert_eq!(run.end().0, 0);
}

#[test]
fn limits_are_those_of_the_code() {
    let home = Home::new();
    let object = home.procall(&["limits", "--json"]).json();
    let limits = object["limits"].as_array().unwrap();
    let value = |name: &str| {
        let found = limits.iter().find(|limit| limit["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["value"].clone()
    };
    assert_eq!(value("call deadline"), 30.0);
    assert_eq!(value("message"), 1 << 20);
    assert_eq!(value("peers of an engine"), 4_096);
    assert_eq!(value("restarts of a worker"), 5);
    let table = home.procall(&["limits"]).ok();
    assert_eq!(table.lines().count(), 1 + limits.len());
    assert!(table.contains("body                                 256 MiB"), "{table}");
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let home = Home::new();
    let verdict = |checks: &Value, name: &str| {
        let checks = checks["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("no {name}: {checks:?}"))["verdict"].clone()
    };
    let (_engine, _) = home.engine(&[]);
    let well = home.procall(&["doctor", "--json"]).json();
    assert_eq!(well["ok"], true);
    for check in ["version", "runtime directory", "engine", "open files", "clock", "memfd"] {
        assert_eq!(verdict(&well, check), "ok", "{well}");
    }
    let stale = home.sockets().join("old.sock");
    drop(std::os::unix::net::UnixListener::bind(stale).unwrap());
    let mute = std::os::unix::net::UnixListener::bind(home.sockets().join("mute.sock")).unwrap();
    let ill = home.procall(&["doctor"]);
    assert_eq!(ill.code, 1, "{}", ill.err);
    assert!(ill.out.contains("WRONG  services") && ill.out.contains("mute"), "{}", ill.out);
    assert!(ill.out.contains("old.sock"), "{}", ill.out);
    drop(mute);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(home.sockets(), open).unwrap();
    let ill = home.procall(&["doctor", "--json"]);
    assert_eq!(ill.code, 1);
    let checks: Value = serde_json::from_str(&ill.out).unwrap();
    assert_eq!(
        (verdict(&checks, "runtime directory"), &checks["ok"]),
        ("wrong".into(), &false.into())
    );
    assert!(ill.out.contains("chmod 700"), "{}", ill.out);
}

#[test]
fn shells_learn_every_verb() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.procall(&["completions", shell]).ok();
        for verb in ["serve", "events", "completions"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
    let syntax = home.path().join("script");
    std::fs::write(&syntax, home.procall(&["completions", "bash"]).ok()).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(&syntax).status().unwrap();
    assert!(checked.success());
    assert_eq!(home.procall(&["completions", "tcsh"]).code, 2);
}
