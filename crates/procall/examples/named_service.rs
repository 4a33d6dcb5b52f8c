//! The program that the tests of services found by name start and kill: `named_service serve TARGET` or `named_service call TARGET`.

#![allow(missing_docs, reason = "a program")]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use procall::{Client, Server, Service, surroundings};
use rustix::event::{PollFd, PollFlags, poll};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The start: all that wait at one pipe go when it is closed.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let outcome = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", target] => serve(target).await,
        ["call", target] => call(target).await,
        _ => panic!("usage: named_service serve|call TARGET"),
    };
    if let Err(error) = outcome {
        say(&format!("{} {}", error.code(), error.message()));
        std::process::exit(1);
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    // Nobody who reads is nobody who minds.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

async fn serve(target: &str) -> Result<(), procall::Error> {
    let service = Service::new("named")
        .method("add", |a: i64, b: i64| a + b)
        .method("pid", std::process::id)
        .async_method("hang", std::future::pending::<Result<(), procall::Error>>);
    let server = Server::bind(&surroundings::resolve(target)?, service)?;
    // Before it is said that the service is there: the test may end it at once.
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    say(&format!("listening {}", server.address()));
    let (gone, mut asked) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        // When the test is gone, so is the reader of our output.
        let out = std::io::stdout();
        let _ = poll(&mut [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::empty())], None);
        let _ = gone.blocking_send(());
    });
    server
        .run_until(async {
            tokio::select! {
                _ = asked.recv() => {}
                _ = terminate.recv() => {}
            }
        })
        .await
}

async fn call(target: &str) -> Result<(), procall::Error> {
    let client = Client::connect_within(target, Duration::from_secs(60)).await?;
    let sum: i64 = client.call("add", (5, 3)).await?;
    say(&format!("{sum}"));
    Ok(())
}
