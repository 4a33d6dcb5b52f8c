//! The engine over TLS, as a person starts it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Home, Running, ended};

/// The certificates of the tests in the home's folder, and a file of tokens.
fn certificates(home: &Home) {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/certificates");
    for entry in std::fs::read_dir(all).unwrap() {
        let from = entry.unwrap().path();
        file(home, from.file_name().unwrap().to_str().unwrap(), &std::fs::read(&from).unwrap());
    }
    file(home, "tokens", b"ci 0123456789abcdef all\n");
    file(home, "token", b"0123456789abcdef\n");
}

fn file(home: &Home, name: &str, text: &[u8]) -> PathBuf {
    let path = home.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

const OWN: [&str; 4] = ["--tls-cert", "server.pem", "--tls-key", "server.key"];

/// An engine that listens for TLS, and its address.
fn serve(home: &Home, args: &[&str]) -> (Running, String) {
    let given = ["serve", "--listen", "tls:127.0.0.1:0", "--http", "tls:127.0.0.1:0"];
    let engine = home.start(&[&given, &OWN[..], args].concat());
    let line = engine.expect("listening at tls:");
    engine.expect("http at https://127.0.0.1:");
    (engine, line.rsplit(' ').next().unwrap().to_owned())
}

#[test]
fn peers_come_in_over_tls_with_what_the_environment_says() {
    let home = Home::new();
    certificates(&home);
    let (_engine, address) = serve(&home, &["--token-file", "tokens"]);
    let secured = |command: &mut Command| {
        command.env("XDG_RUNTIME_DIR", home.path().join("elsewhere"));
        command.env("PROCALL_ENGINE", address.replace("127.0.0.1", "localhost"));
        command.env("PROCALL_TLS_CA", home.path().join("ca.pem"));
        command.env("PROCALL_ENGINE_TOKEN_FILE", home.path().join("token"));
    };
    let mut worker = Command::new(home.path().join("calc"));
    secured(&mut worker);
    let worker = Running::new(&mut worker);
    worker.expect("registered with");
    let mut call = home.command(&["call", "calc.add", "a=2", "b=3"]);
    secured(&mut call);
    assert_eq!(ended(&mut call).ok().trim(), "5");
    call.env("PROCALL_TLS_CA", home.path().join("other-ca.pem"));
    let refused = ended(&mut call);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("nobody who is trusted here"), "{}", refused.err);
}

#[test]
fn clients_may_have_to_show_a_certificate() {
    let home = Home::new();
    certificates(&home);
    let (_engine, address) = serve(&home, &["--tls-client-ca", "ca.pem"]);
    let ask = |cert: Option<&str>| {
        let mut command = home.command(&["calls"]);
        command.env("XDG_RUNTIME_DIR", home.path().join("elsewhere"));
        command.env("PROCALL_ENGINE", &address);
        command.env("PROCALL_TLS_CA", home.path().join("ca.pem"));
        if let Some(name) = cert {
            command.env("PROCALL_TLS_CERT", home.path().join(format!("{name}.pem")));
            command.env("PROCALL_TLS_KEY", home.path().join(format!("{name}.key")));
        }
        ended(&mut command)
    };
    ask(Some("client")).ok();
    let refused = ask(None);
    assert!(refused.err.contains("PROCALL_TLS_CERT=FILE"), "{refused:?}");
    assert_ne!(ask(Some("other-client")).code, 0);
}

#[test]
fn a_service_that_listens_itself_does_so_over_tls() {
    let home = Home::new();
    certificates(&home);
    let mut worker = Command::new(home.path().join("calc"));
    worker.env("XDG_RUNTIME_DIR", home.path()).env("PROCALL_LISTEN", "tls:127.0.0.1:0");
    let missing = ended(&mut worker);
    assert!(missing.err.contains("PROCALL_TLS_CERT=FILE and PROCALL_TLS_KEY=FILE"), "{missing:?}");
    for (name, file) in [("CERT", "server.pem"), ("KEY", "server.key"), ("CLIENT_CA", "ca.pem")] {
        worker.env(format!("PROCALL_TLS_{name}"), home.path().join(file));
    }
    let worker = Running::new(&mut worker);
    let line = worker.expect("listening at tls:127.0.0.1:");
    let address = line.rsplit(' ').next().unwrap();
    let mut call = home.command(&["call", "--at", address, "calc.add", "a=2", "b=3"]);
    call.env("PROCALL_TLS_CA", home.path().join("ca.pem"));
    assert_ne!(ended(&mut call).code, 0);
    call.env("PROCALL_TLS_CERT", home.path().join("client.pem"));
    call.env("PROCALL_TLS_KEY", home.path().join("client.key"));
    assert_eq!(ended(&mut call).ok().trim(), "5");
}

/// Nobody has this address, so that whoever may listen there cannot either, and says so.
const ELSEWHERE: &str = "192.0.2.1:0";

#[test]
fn other_machines_need_tls_and_a_token_or_that_it_is_typed() {
    let home = Home::new();
    certificates(&home);
    let listen = |scheme: &str, flag: &str, more: &[&str]| {
        let address = format!("{scheme}{ELSEWHERE}");
        let own = if scheme == "tls:" { &OWN[..] } else { &[] };
        home.procall(&[&["serve", flag, &address], own, more].concat())
    };
    let plain = ["--listen", "tcp:127.0.0.1:0"];
    for (flag, plainly, more) in [("--listen", "tcp:", &[][..]), ("--http", "", &plain[..])] {
        let token = [more, &["--token-file", "tokens"]].concat();
        let typed = [more, &["--insecure-listen"]].concat();
        for (scheme, more, why) in [
            (plainly, more, "nothing there is encrypted"),
            (plainly, &token[..], "nothing there is encrypted"),
            ("tls:", more, "anybody there may call"),
        ] {
            let refused = listen(scheme, flag, more);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.err.contains(why), "{refused:?}");
            assert!(refused.err.contains("--insecure-listen"), "{refused:?}");
        }
        for (scheme, more) in [("tls:", &token[..]), ("tls:", &typed[..]), (plainly, &typed[..])] {
            let let_through = listen(scheme, flag, more);
            assert_eq!(let_through.code, 5, "{let_through:?}");
            assert!(!let_through.err.contains("--insecure-listen"), "{let_through:?}");
        }
    }
}

#[test]
fn what_does_not_fit_together_is_refused_with_the_fix() {
    let home = Home::new();
    certificates(&home);
    for (args, words) in [
        (&["--listen", "tls:127.0.0.1:0"][..], "--tls-cert FILE --tls-key FILE"),
        (&["--listen", "tls:127.0.0.1:0", "--tls-cert", "server.pem"], "--tls-key FILE"),
        (&["--listen", "tcp:127.0.0.1:0", OWN[0], OWN[1], OWN[2], OWN[3]], "--listen tls:127"),
        (&["--http", "example.org:80"], "an IP address and a port"),
    ] {
        let refused = home.procall(&[&["serve"], args].concat());
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains(words), "{refused:?}");
    }
    let key = home.path().join("server.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let refused = home.procall(&[&["serve", "--listen", "tls:127.0.0.1:0"], &OWN[..]].concat());
    assert!(refused.err.contains("chmod 600"), "{refused:?}");
}

#[test]
fn the_files_may_stand_in_procall_toml() {
    let home = Home::new();
    certificates(&home);
    let text = "[engine]\nlisten = [\"tls:127.0.0.1:0\"]\ntls_cert = \"server.pem\"\ntls_key = \"server.key\"\n";
    file(&home, "procall.toml", text.as_bytes());
    let mut explained = home.command(&["config", "--explain"]);
    explained.env("PROCALL_ENGINE_TLS_CLIENT_CA", "ca.pem");
    let shown = ended(&mut explained).ok();
    let line = |beginning: &str| shown.lines().find(|line| line.starts_with(beginning)).unwrap();
    assert!(line("tls_cert = ").contains("server.pem") && line("tls_cert = ").contains("toml:3"));
    assert!(line("tls_key = ").ends_with("procall.toml:4"));
    assert!(line("tls_client_ca = ").ends_with("# variable PROCALL_ENGINE_TLS_CLIENT_CA"));
    let engine = home.start(&["serve", "--no-http"]);
    engine.expect("listening at tls:127.0.0.1:");
}
