//! `serve`: what it says, and what it refuses.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Home, Running};

/// The answer to a request without a body.
fn get(address: &str, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_answers_http_where_it_says_to_whom_it_should() {
    let home = Home::new();
    let token = home.path().join("token");
    std::fs::write(&token, "a-secret-of-tests\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let token = token.to_str().unwrap();
    let run = home.start(&[
        "serve",
        "--listen",
        "tcp:127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--http-token-file",
        token,
    ]);
    let line = run.expect("procall: http at http://127.0.0.1:");
    let address = line.rsplit("http://").next().unwrap();
    assert!(get(address, "/healthz", "").starts_with("HTTP/1.1 200 "));
    assert!(get(address, "/v1/methods", "").starts_with("HTTP/1.1 401 "));
    let methods = get(address, "/v1/methods", "Authorization: Bearer a-secret-of-tests\r\n");
    assert!(methods.starts_with("HTTP/1.1 200 "), "{methods}");
}

/// An engine with the workers of a file of settings.
pub(crate) fn with_services(home: &Home) -> Running {
    let file = "[service.calc]\ncommand = [\"./calc\"]\nworkers = 2\n\n[service.late]\ncommand = [\"./calc\"]\nstart = \"call\"\n";
    std::fs::write(home.path().join("procall.toml"), file).unwrap();
    let engine = home.start(&["serve", "--listen", "tcp:127.0.0.1:0", "--no-http"]);
    engine.expect("calc runs: 2 workers");
    engine
}

#[test]
fn workers_of_its_services_are_shown_and_started_anew() {
    let home = Home::new();
    let _engine = with_services(&home);
    let table = home.procall(&["ps"]).ok();
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(&head[..3], ["NAME", "PID", "STATE"]);
    assert!(head.contains(&"MEMORY") && head.contains(&"AGE"), "{table}");
    for name in ["calc/1", "calc/2"] {
        let row = lines.next().unwrap();
        assert!(row.starts_with(name) && row.contains(" ready ") && row.contains(" MiB "), "{row}");
    }
    assert!(lines.next().unwrap().starts_with("late") && table.contains(" asleep "), "{table}");
    assert_eq!(
        table.matches("calc").count(),
        2,
        "the service is no peer beside its workers: {table}"
    );
    let object = home.procall(&["ps", "--json"]).json();
    assert_eq!(object["workers"].as_array().unwrap().len(), 3);
    assert_eq!(object["engines"][0]["services"][1]["state"], "asleep");

    let before = [home.pid(0), home.pid(1)];
    let restarted = home.procall(&["restart", "calc/2", "--json"]).json();
    assert_eq!(restarted["restarted"], serde_json::json!(["calc/2"]));
    assert_eq!(home.pid(0), before[0]);
    assert_ne!(home.pid(1), before[1]);
    home.procall(&["restart", "calc"]).ok();
    assert_ne!(home.pid(0), before[0]);
}

#[test]
fn what_workers_of_its_services_print_is_kept() {
    let home = Home::new();
    let engine = with_services(&home);
    home.procall(&["call", "calc.print", "line=hello"]).ok();
    engine.expect("| hello too");
    let logs = home.procall(&["logs", "calc", "-v"]).ok();
    let said = logs.lines().find(|line| line.ends_with("| hello")).unwrap();
    assert!(
        said.starts_with("calc/") && said.contains(" #") && said.contains("calc.print |"),
        "{logs}"
    );
    let json = home.procall(&["logs", "calc", "-n", "1", "--json"]).json();
    assert!(json["engine_call"].as_u64().unwrap() > 0, "{json}");
    let follow = home.start(&["logs", "-f", "-n", "0", "calc"]);
    // It follows from when the engine has heard of it; what is printed until then it does not see.
    let until = std::time::Instant::now() + crate::support::LONG;
    while !follow.has("| again") {
        assert!(std::time::Instant::now() < until, "it follows nothing");
        home.procall(&["call", "calc.print", "line=again"]).ok();
    }
    let nobody = home.procall(&["logs", "calc/9"]);
    assert_eq!((nobody.code, &*nobody.out), (4, ""), "{}", nobody.err);
}

#[test]
fn it_refuses_http_for_other_machines_and_tokens_that_are_none() {
    let home = Home::new();
    let refused = home.procall(&["serve", "--http", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("--insecure-listen"), "{}", refused.err);
    let empty = home.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let serve = || home.procall(&["serve", "--http-token-file", empty.to_str().unwrap()]);
    std::fs::set_permissions(&empty, Permissions::from_mode(0o644)).unwrap();
    let open = serve();
    assert_eq!(open.code, 7, "{}", open.err);
    assert!(open.err.contains("chmod 600"), "{}", open.err);
    std::fs::set_permissions(&empty, Permissions::from_mode(0o600)).unwrap();
    let refused = serve();
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("has no token"), "{}", refused.err);
    std::fs::write(&empty, "short\n").unwrap();
    let short = serve();
    assert_eq!(short.code, 2, "{}", short.err);
    assert!(short.err.contains("needs 16 or more"), "{}", short.err);
}

#[test]
fn what_happens_is_written_for_programs_and_for_people() {
    let home = Home::new();
    let args = ["serve", "--listen", "tcp:127.0.0.1:0", "--no-http", "--log"];
    let engine = home.start(&[&args[..], &["json"]].concat());
    let address = engine.expect("listening at tcp:");
    let address = address.rsplit(' ').next().unwrap().to_owned();
    let _worker = home.worker("");
    let line = engine.expect("\"peer registered\"");
    let registered: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&registered["level"], &registered["peer"]), (&"INFO".into(), &"calc/1".into()));
    assert!(registered["time"].as_str().unwrap().ends_with('Z'), "{line}");
    home.procall(&["call", "calc.add", "1", "2", "--at", &address]).ok();
    let line = engine.expect("\"method\":\"calc.add\"");
    let call: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&call["message"], &call["peer"]), (&"call ended".into(), &"calc/1".into()));
    assert!(call["queue_ms"].is_number() && call["handler_ms"].is_number(), "{line}");
    assert!(call["call"].as_u64().unwrap() > 0 && call["in_flight"] == 0, "{line}");
    home.procall(&["stop"]).ok();
    assert_eq!(engine.end().0, 0);

    let engine = home.start(&[&args[..], &["text", "--log-level", "warn"]].concat());
    engine.expect("listening at tcp:");
    let _another = home.worker("");
    home.procall(&["call", "calc.add", "1", "2", "--wait", "60s"]).ok();
    assert_eq!(home.procall(&["call", "calc.fail", "why=x", "--at", "engine"]).code, 1);
    let failed = engine.expect("call failed");
    assert!(failed.contains(" WARN ") && failed.contains("code=HANDLER_ERROR"), "{failed}");
    assert!(!engine.has("call ended"), "that is no warning");
    let wrong = home.procall(&["serve", "--log-level", "wran", "--log", "json"]);
    assert!(wrong.code == 2 && wrong.err.contains("did you mean warn"), "{}", wrong.err);
}
