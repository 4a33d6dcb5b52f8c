//! `serve`: what it says, and what it refuses.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::support::Home;

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
    std::fs::write(&token, "secret\n").unwrap();
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
    let methods = get(address, "/v1/methods", "Authorization: Bearer secret\r\n");
    assert!(methods.starts_with("HTTP/1.1 200 "), "{methods}");
}

#[test]
fn it_refuses_http_for_other_machines_and_tokens_that_are_none() {
    let home = Home::new();
    let refused = home.procall(&["serve", "--http", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("--insecure-listen"), "{}", refused.err);
    let empty = home.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let refused = home.procall(&["serve", "--http-token-file", empty.to_str().unwrap()]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("has no token"), "{}", refused.err);
}
