//! `config`, and what `serve` makes of `procall.toml`.

use rustix::process::Signal;

use crate::support::{Home, Running, ended, gone, hold, kill};

const CALC: &str = "
[service.calc]
command = \"calc\"
workers = 2
start = \"call\"
";

/// An engine at a free port, and nothing but it.
fn serve(home: &Home, args: &[&str]) -> Running {
    let run = home.start(&[&["serve", "--listen", "tcp:127.0.0.1:0"], args].concat());
    run.expect("listening at unix:");
    run.expect("listening at tcp:");
    run
}

fn write(home: &Home, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = home.path().join("procall.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn every_value_says_where_it_comes_from() {
    let home = Home::new();
    write(&home, &format!("[engine]\nqueue = 9\ndrain = \"1m\"\n{CALC}"));
    let mut command = home.command(&["config", "--explain", "--queue", "7"]);
    let shown = ended(command.env("PROCALL_ENGINE_POLICY", "least-loaded")).ok();
    let file = home.path().join("procall.toml").display().to_string();
    let line = |beginning: &str| {
        let found = shown.lines().find(|line| line.starts_with(beginning));
        found.unwrap_or_else(|| panic!("no {beginning} in\n{shown}")).to_owned()
    };
    assert!(line("queue = 7").ends_with("# flag --queue"));
    assert!(line("policy = \"least_loaded\"").ends_with("# variable PROCALL_ENGINE_POLICY"));
    assert!(line("drain = \"60s\"").ends_with(&format!("# {file}:3")));
    assert!(line("validate = true").ends_with("# default"));
    assert!(line("# state is not set").ends_with("# default"));
    assert!(line("workers = 2").ends_with(&format!("# {file}:7")));
    let json = home.procall(&["config", "--json", "--explain"]).json();
    assert_eq!(json["engine"]["queue"]["value"], 9);
    assert_eq!(json["engine"]["queue"]["origin"], format!("{file}:2"));
    assert_eq!(json["service"]["calc"]["start"]["value"], "call");
}

#[test]
fn what_it_prints_is_a_file_that_says_the_same() {
    let home = Home::new();
    let more = "env = { A = \"b\\n\" }\nrestart = { jitter = 0.5 }\n[service.\"a.b\"]\ncommand = [\"x\", \"y z\"]\n";
    write(&home, &format!("[engine]\nstate = \"s\"\n{CALC}{more}"));
    let first = home.procall(&["config"]).ok();
    write(&home, &first);
    assert_eq!(home.procall(&["config"]).ok(), first);
    assert!(first.contains("[service.\"a.b\"]\ncommand = [\"x\",\"y z\"]"), "{first}");
}

#[test]
fn without_a_file_there_are_defaults() {
    let home = Home::new();
    let json = home.procall(&["config", "--json"]).json();
    assert_eq!(json["config"], serde_json::Value::Null);
    assert_eq!(json["engine"]["listen"], serde_json::json!(["tcp:127.0.0.1:8080"]));
}

#[test]
fn a_mistake_is_told_with_its_line_before_anything_starts() {
    let home = Home::new();
    write(&home, "[service.calc]\ncommand = \"calc\"\nworker = 2\nmemory = \"lots\"\n");
    for verb in ["config", "serve"] {
        let failed = home.procall(&[verb]);
        assert_eq!(failed.code, 2, "{failed:?}");
        assert!(
            failed.err.contains("procall.toml:3: [service.calc] has no key \"worker\""),
            "{failed:?}"
        );
        assert!(failed.err.contains("did you mean workers?"), "{failed:?}");
        assert!(failed.err.contains("procall.toml:4: memory: \"lots\""), "{failed:?}");
    }
    let failed = home.procall(&["config", "--config", "absent.toml"]);
    assert!(failed.code == 2 && failed.err.contains("absent.toml cannot be read"), "{failed:?}");
}

#[test]
fn a_call_starts_the_service_and_its_lines_are_shown_with_its_name() {
    let home = Home::new();
    write(&home, CALC);
    let run = serve(&home, &[]);
    run.expect("1 service of ");
    assert_eq!(home.procall(&["call", "calc.add", "a=2", "b=3"]).ok(), "5\n");
    run.expect("calc runs: 2 workers, 16 methods");
    home.procall(&["call", "calc.print", "line=hello"]).ok();
    let mut seen = [run.expect_on("hello"), run.expect_on("hello")];
    seen.sort_by_key(|(output, _)| *output);
    assert!(seen[0].1.starts_with("calc/") && seen[0].1.ends_with(" | hello too"), "{seen:?}");
    assert!(seen[1].0 == "out" && seen[1].1.ends_with(" | hello"), "{seen:?}");
    run.signal(Signal::TERM);
    let (code, printed) = run.end();
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("calc stops: the engine stops"), "{printed}");
}

#[test]
fn a_service_that_does_not_come_up_is_told_to_the_caller() {
    let home = Home::new();
    write(&home, &format!("{CALC}env = {{ MODE = \"exit\" }}\nrestart = {{ max_unready = 1 }}\n"));
    let run = serve(&home, &[]);
    let failed = home.procall(&["call", "calc.add", "a=2", "b=3"]);
    assert_eq!(failed.code, 4, "{failed:?}");
    assert!(failed.err.contains("error[NO_WORKER] calc does not run"), "{failed:?}");
    assert!(failed.err.contains("cannot load the model"), "{failed:?}");
    run.expect("calc has failed");
}

#[test]
fn a_killed_engine_leaves_no_worker_and_its_successor_knows_what_it_knew() {
    let home = Home::new();
    write(&home, &format!("[engine]\nstate = \"state\"\n{CALC}"));
    let run = serve(&home, &[]);
    assert_eq!(home.procall(&["call", "calc.add", "a=2", "b=3"]).ok(), "5\n");
    // One that is told to stop has written everything.
    run.signal(Signal::TERM);
    assert_eq!(run.end().0, 0);
    let run = serve(&home, &[]);
    let pid: u32 = home.procall(&["call", "calc.pid"]).ok().trim().parse().unwrap();
    let (engine, worker) = (hold(run.pid()), hold(pid));
    kill(&engine);
    gone(&engine);
    gone(&worker);
    drop(run);
    let run = serve(&home, &[]);
    let listed = home.procall(&["ls"]).ok();
    assert!(listed.contains("calc.add"), "it is known before it runs: {listed}");
    assert_eq!(home.procall(&["call", "add", "a=2", "b=3"]).ok(), "5\n");
    run.expect("calc runs");
}

#[test]
fn damaged_state_is_told_once() {
    let home = Home::new();
    let state = home.path().join("state");
    let run = serve(&home, &["--state", "state"]);
    run.signal(Signal::TERM);
    assert_eq!(run.end().0, 0);
    std::fs::write(state.join("directory.redb"), "garbage").unwrap();
    let run = home.start(&["serve", "--listen", "tcp:127.0.0.1:0", "--state", "state"]);
    let told = run.expect("damaged");
    assert!(told.contains("directory.redb.damaged-"), "{told}");
    run.expect("listening at tcp:");
    let other = home.procall(&["serve", "--listen", "tcp:127.0.0.1:0", "--state", "state"]);
    assert_eq!(other.code, 3, "{other:?}");
}
