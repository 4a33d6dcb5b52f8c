//! The engine against strangers: its tokens, and what happens when it runs out of descriptors.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use procall::{BlockingClient, ConnectOptions, ErrorCode};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::{Home, LONG, Running};

const SECRET: &str = "canary-0123456789abcdef";

/// A file of this user's, with this mode.
fn file(home: &Home, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = home.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path
}

/// An engine at a free port; and its address.
fn engine(home: &Home, args: &[&str]) -> (Running, String) {
    let running = home.start(&[&["serve", "--listen", "tcp:127.0.0.1:0"], args].concat());
    let line = running.expect("listening at tcp:");
    let address = line.split("listening at ").nth(1).unwrap().trim().to_owned();
    (running, address)
}

#[test]
fn a_token_file_that_others_may_read_is_refused_with_the_fix() {
    let home = Home::new();
    for mode in [0o644, 0o640, 0o602] {
        let path = file(&home, "tokens", &format!("ci {SECRET} all\n"), mode);
        let path = path.to_str().unwrap();
        let ended = home.procall(&["serve", "--token-file", path]);
        assert_ne!(ended.code, 0);
        assert!(ended.err.contains(&format!("chmod 600 {path}")), "{}", ended.err);
        assert!(!ended.err.contains(SECRET) && !ended.out.contains(SECRET));
    }
}

#[test]
fn a_token_file_with_a_mistake_is_refused_with_the_line_and_without_the_secret() {
    let home = Home::new();
    for (line, part) in [
        (format!("ci {SECRET}"), "name secret rights"),
        (format!("ci {SECRET} everything"), "no right"),
        (format!("ci all {SECRET}"), "no right"),
        (format!("{SECRET} x all"), "16 to 256"),
        (String::new(), "has no tokens"),
    ] {
        let path = file(&home, "tokens", &format!("# ours\n{line}\n"), 0o600);
        let path = path.to_str().unwrap();
        let ended = home.procall(&["serve", "--token-file", path]);
        assert_ne!(ended.code, 0, "{line}");
        assert!(ended.err.contains(part), "{line}: {}", ended.err);
        assert!(line.is_empty() || ended.err.contains(&format!("{path}:2")), "{}", ended.err);
        let shown = ended.err.contains(SECRET) && !line.starts_with(SECRET);
        assert!(!shown, "{}", ended.err);
    }
}

#[test]
fn a_token_lets_in_and_is_seen_nowhere() {
    let home = Home::new();
    let tokens = format!("# ours\n\nci {SECRET} register=calc call=procall.engine.peers\n");
    let tokens = file(&home, "tokens", &tokens, 0o600);
    let (engine, address) = engine(&home, &["--token-file", tokens.to_str().unwrap()]);
    let error = BlockingClient::connect(&address).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    let options = ConnectOptions { token: Some(SECRET.into()), ..ConnectOptions::default() };
    let client = BlockingClient::connect_with(&address, options).unwrap();
    let peers: serde_json::Value = client.call("procall.engine.peers", ()).wait().unwrap();
    assert_eq!(peers[0]["token"], "ci");

    // From a file, by a process of its own that serves.
    let token = file(&home, "token", &format!("{SECRET}\n"), 0o600);
    let mut command = Command::new(home.path().join("calc"));
    command.env("XDG_RUNTIME_DIR", home.path());
    command.env("PROCALL_ENGINE", &address).env("PROCALL_ENGINE_TOKEN_FILE", &token);
    let worker = Running::new(&mut command);
    worker.expect("registered with");

    for pid in [engine.pid(), worker.pid()] {
        for file in ["cmdline", "environ"] {
            let seen = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
            assert!(!String::from_utf8_lossy(&seen).contains("canary"), "{file}");
        }
    }
    assert!(!peers.to_string().contains("canary"), "{peers}");
    engine.signal(rustix::process::Signal::TERM);
    let (code, printed) = engine.end();
    assert_eq!(code, 0, "{printed}");
    assert!(!printed.contains("canary"), "{printed}");
}

#[test]
fn without_descriptors_those_who_come_are_told_and_later_ones_are_served_again() {
    const LIMIT: u64 = 128;
    let home = Home::new();
    let (engine, address) = engine(&home, &[]);
    let client = BlockingClient::connect(&address).unwrap();
    let pid = Pid::from_raw(i32::try_from(engine.pid()).unwrap());
    let limit = Rlimit { current: Some(LIMIT), maximum: Some(LIMIT) };
    prlimit(pid, Resource::Nofile, limit).unwrap();

    let socket = address.strip_prefix("tcp:").unwrap();
    let mut crowd: Vec<TcpStream> =
        (0..2 * LIMIT).map(|_| TcpStream::connect(socket).unwrap()).collect();
    // Those who are not served are told so before they have said anything, and hung up on: the last one in any case.
    let mut last = crowd.pop().unwrap();
    last.set_read_timeout(Some(LONG)).unwrap();
    let mut words = Vec::new();
    last.read_to_end(&mut words).unwrap();
    let words = String::from_utf8_lossy(&words);
    assert!(words.contains("no descriptors left"), "{words:?}");
    // Whoever was there before is served all the same.
    let _: serde_json::Value = client.call("procall.engine.peers", ()).wait().unwrap();
    let error = BlockingClient::connect(&address).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded, "{error}");

    // Nobody waits: with the crowd gone there is room.
    for stranger in &mut crowd {
        // One that was refused is closed already.
        let _ = stranger.write_all(b"\0");
    }
    drop(crowd);
    let options = ConnectOptions { patience: LONG, ..ConnectOptions::default() };
    let until = std::time::Instant::now() + LONG;
    let later = loop {
        match BlockingClient::connect_with(&address, options.clone()) {
            Ok(client) => break client,
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::Overloaded, "{error}");
                assert!(std::time::Instant::now() < until, "it never recovers");
            }
        }
    };
    let _: serde_json::Value = later.call("procall.engine.peers", ()).wait().unwrap();
}
