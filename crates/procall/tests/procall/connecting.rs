//! Services found by name: who gets it, what is left behind, and who may come in.

use std::io::{BufRead, BufReader, PipeWriter};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use procall::{BlockingClient, Client, ErrorCode, Executed, Listener, surroundings};

use crate::support::{LONG, within};

/// The program of `examples/named_service.rs`, which `cargo test` builds along.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join("named_service");
    let found = program.is_file();
    assert!(found, "{} is missing: `cargo build --examples` makes it", program.display());
    program
}

#[tokio::test]
async fn a_service_knows_its_callers_by_name() {
    use procall::{ConnectOptions, Context, Service};

    let service = Service::new("who")
        .method("caller", |ctx: Context| ctx.caller().peer().map(|peer| peer.name));
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("who.sock").display());
    let server = procall::Server::bind(&address.parse().unwrap(), service).unwrap();
    let serving = tokio::spawn(server.run_until(std::future::pending()));
    let plain = within(Client::connect(&address)).await.unwrap();
    let name: String = within(plain.call("caller", ()).into_future()).await.unwrap();
    assert_eq!(name, procall::program_name());
    assert!(name.starts_with("procall-"), "{name}");

    let named = ConnectOptions { name: Some("night\u{1b}ly".into()), ..ConnectOptions::default() };
    let client = within(Client::connect_with(&address, named.clone())).await.unwrap();
    assert_eq!(within(client.call::<String>("caller", ()).into_future()).await.unwrap(), "nightly");
    assert_eq!(client.connection().peer().unwrap().name, "who");
    let blocking = tokio::task::spawn_blocking(move || {
        BlockingClient::connect_with(&address, named)?.call::<String>("caller", ()).wait()
    });
    assert_eq!(within(blocking).await.unwrap().unwrap(), "nightly");
    serving.abort();
}

/// A runtime directory of a test's own.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn address(&self, name: &str) -> String {
        format!("unix:{}", self.path().join("procall").join(format!("{name}.sock")).display())
    }

    /// What lies in the runtime directory.
    fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = std::fs::read_dir(self.path().join("procall"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort_unstable();
        files
    }

    /// Processes that begin when the pipe is closed.
    fn waiting(&self, targets: &[&str], verb: &str) -> (Vec<Started>, PipeWriter) {
        let (reader, writer) = std::io::pipe().unwrap();
        let start = |target: &&str| {
            let mut command = Command::new(program());
            command.args([verb, target]).env("XDG_RUNTIME_DIR", self.path());
            command.stdin(reader.try_clone().unwrap()).stdout(Stdio::piped());
            Started::new(command.spawn().unwrap())
        };
        (targets.iter().map(start).collect(), writer)
    }

    fn start(&self, target: &str) -> Started {
        self.waiting(&[target], "serve").0.remove(0)
    }
}

/// A process that ends with the test.
struct Started {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Started {
    fn new(mut child: Child) -> Self {
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends it as `kill -9` does.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn one_of_fifty_that_start_at_once_gets_the_name_also_after_kill_9() {
    let home = Home::new();
    for round in 0..10 {
        let (mut all, barrier) = home.waiting(&["calc"; 50], "serve");
        drop(barrier);
        let mut winners = Vec::new();
        for (at, started) in all.iter_mut().enumerate() {
            let line = started.line();
            if line.starts_with("listening ") {
                winners.push(at);
                continue;
            }
            let said = "NAME_TAKEN \"calc\" is served already by another process (";
            assert!(line.starts_with(said), "round {round}: {line}");
            assert_eq!(started.child.wait().unwrap().code(), Some(1));
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let winner = &mut all[winners[0]];
        let client = BlockingClient::connect(&home.address("calc")).unwrap();
        assert_eq!(client.call::<u32>("pid", ()).wait().unwrap(), winner.pid());
        // Who comes late is told who has the name.
        let line = home.start("calc").line();
        assert!(line.contains(&format!("(pid {}, listening at unix:", winner.pid())), "{line}");
        winner.kill();
        assert_eq!(home.files(), ["calc.sock", "calc.sock.lock"], "what a killed process leaves");
    }
}

#[test]
fn two_names_at_the_same_moment_are_both_served() {
    let home = Home::new();
    for _ in 0..10 {
        let (mut both, barrier) = home.waiting(&["left", "right"], "serve");
        drop(barrier);
        for started in &mut both {
            let line = started.line();
            assert!(line.starts_with("listening "), "{line}");
        }
        for started in &mut both {
            started.kill();
        }
    }
}

#[test]
fn an_explicit_path_has_one_server_too() {
    let home = Home::new();
    let target = format!("unix:{}", home.path().join("sub.socket").display());
    let (mut all, barrier) = home.waiting(&[&*target; 10], "serve");
    drop(barrier);
    let lines: Vec<String> = all.iter_mut().map(Started::line).collect();
    let winners = lines.iter().filter(|line| line.starts_with("listening ")).count();
    let losers = lines.iter().filter(|line| line.starts_with("NAME_TAKEN unix:")).count();
    assert_eq!((winners, losers), (1, 9), "{lines:?}");
}

#[test]
fn a_caller_that_comes_first_waits_for_the_service() {
    let home = Home::new();
    let (mut callers, barrier) = home.waiting(&["calc"; 4], "call");
    drop(barrier);
    let mut service = home.start("calc");
    assert_eq!(service.line(), format!("listening {}", home.address("calc")));
    for caller in &mut callers {
        assert_eq!(caller.line(), "8");
    }
}

#[test]
fn nothing_is_left_after_an_orderly_end() {
    let home = Home::new();
    let mut service = home.start("calc");
    service.line();
    assert_eq!(home.files(), ["calc.sock", "calc.sock.lock"]);
    let pid = rustix::process::Pid::from_child(&service.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(service.child.wait().unwrap().success());
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_end_when_the_service_is_killed_and_the_next_one_is_found() {
    let home = Home::new();
    let address = home.address("calc");
    let mut service = home.start("calc");
    service.line();
    let mut calls = Vec::new();
    for n in 0..8 {
        let client = Client::connect(&address).await.unwrap();
        // Answered, so that the next one is in the handler's hands when the kill comes.
        assert_eq!(client.call::<i64>("add", (n, 1)).await.unwrap(), n + 1);
        calls.push(tokio::spawn(async move {
            let call = client.call::<()>("hang", ()).await;
            (client, call)
        }));
    }
    service.kill();
    for call in calls {
        let (_client, outcome) = within(call).await.unwrap();
        assert_eq!(outcome.unwrap_err().code(), ErrorCode::ConnectionLost);
    }
    let connecting = tokio::spawn(async move {
        let client = Client::connect_within(&address, LONG).await?;
        client.call::<i64>("add", (5, 3)).await
    });
    let mut next = home.start("calc");
    assert!(next.line().starts_with("listening "));
    assert_eq!(within(connecting).await.unwrap().unwrap(), 8);
}

#[test]
fn eight_threads_connect_and_call_at_once() {
    let home = Home::new();
    let address = home.address("calc");
    let mut service = home.start("calc");
    service.line();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let address = &address;
            scope.spawn(move || {
                let client = BlockingClient::connect(address).unwrap();
                for n in 0..100 {
                    let sum: i64 = client.call("add", (thread, n)).wait().unwrap();
                    assert_eq!(sum, thread + n);
                }
            });
        }
    });
}

#[tokio::test]
async fn dropping_the_search_or_its_time_ends_it() {
    let home = Home::new();
    let address = home.address("calc");
    let error = Client::connect_within(&address, std::time::Duration::ZERO).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No));
    let search = tokio::spawn(async move { Client::connect_within(&address, LONG).await });
    tokio::task::yield_now().await;
    search.abort();
    assert!(search.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn whoever_does_not_answer_is_told_from_whoever_is_not_there() {
    let home = Home::new();
    let target = format!("unix:{}", home.path().join("mute.sock").display());
    let _mute = Listener::bind(&target.parse().unwrap()).unwrap();
    let patience = std::time::Duration::from_millis(10);
    let error = Client::connect_within(&target, patience).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No));
    assert!(error.message().contains("does not answer"), "{error}");
    let blocking = tokio::task::spawn_blocking(move || {
        BlockingClient::connect_within(&target, patience).unwrap_err()
    });
    assert!(blocking.await.unwrap().message().contains("does not answer"));
}

#[test]
fn the_port_of_another_is_taken() {
    let first = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
    let error = Listener::bind(first.address()).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NameTaken, Executed::No));
}

#[test]
fn what_is_no_socket_is_never_replaced() {
    let home = Home::new();
    let path = home.path().join("notes");
    std::fs::write(&path, "mine").unwrap();
    let target = format!("unix:{}", path.display());
    let error = Listener::bind(&target.parse().unwrap()).unwrap_err();
    assert!(error.message().contains("is no socket; remove it"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert!(!home.path().join("notes.lock").exists(), "a start that failed leaves nothing");
}

#[test]
fn a_child_process_does_not_hold_the_lock() {
    let home = Home::new();
    let target = format!("unix:{}", home.path().join("calc.sock").display());
    let listener = Listener::bind(&target.parse().unwrap()).unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    drop(listener);
    Listener::bind(&target.parse().unwrap()).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn processes_of_other_users_are_hung_up_on() {
    const STRANGER: u32 = 54_321;
    if !rustix::process::geteuid().is_root() {
        // Only root can become another user; the rule itself is tested where it is written.
        return;
    }
    // A directory and a socket that everybody may use, and a program that everybody can read.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    std::fs::DirBuilder::new().mode(0o755).create(folder.path().join("bin")).unwrap();
    let copy = folder.path().join("bin").join("named_service");
    // Not by this process: a child of another test could have the copy open for writing, and then it could not be executed.
    assert!(Command::new("cp").arg(program()).arg(&copy).status().unwrap().success());
    let path = folder.path().join("calc.sock");
    let target = format!("unix:{}", path.display());
    let listener = Listener::bind(&target.parse().unwrap()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();

    let mut command = Command::new(&copy);
    command.args(["call", &target]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut stranger = Started::new(command.uid(STRANGER).gid(STRANGER).spawn().unwrap());
    let hung_up = std::thread::scope(|scope| {
        let line = scope.spawn(|| stranger.line());
        while !line.is_finished() {
            wait_for_peer(&listener);
            assert!(listener.accept().unwrap().is_none(), "a stranger was let in");
        }
        line.join().unwrap()
    });
    assert!(hung_up.starts_with("CONNECTION_LOST"), "{hung_up}");
    let _own = procall::open(&target).unwrap();
    assert!(listener.accept().unwrap().is_some(), "this user is let in");
}

/// Until somebody is at the listener, or a moment has passed.
fn wait_for_peer(listener: &Listener) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&moment)).unwrap();
}

#[test]
fn addresses_and_names_are_told_apart() {
    assert_eq!(surroundings::resolve("tcp:127.0.0.1:9").unwrap().to_string(), "tcp:127.0.0.1:9");
    let error = surroundings::resolve("http://here").unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}
