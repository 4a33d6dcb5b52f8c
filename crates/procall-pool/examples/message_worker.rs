//! The worker of messages that this crate's tests run, and a host of it that can be killed. What it does is said by the variable `MODE`.

use std::error::Error;

use procall::{Message, Reply, transport};
use procall_pool::{Pool, WorkerSet};

#[path = "../tests/common/messages.rs"]
mod messages;
use messages::HostMessage;

#[path = "../../../examples/02-workers/rust/src/link.rs"]
#[allow(unreachable_pub, reason = "there it is a library")]
mod link;
#[path = "../../../examples/02-workers/rust/src/own.rs"]
#[allow(unreachable_pub, reason = "there it is a library")]
mod own;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::var("MODE").as_deref() {
        Ok("host") => host().await,
        Ok("exit") => std::process::exit(3),
        Ok("plain") => work(false).await,
        _ => work(true).await,
    }
}

/// Tells the process ids of its workers, then waits to be killed.
async fn host() -> Result<(), Box<dyn Error>> {
    let builder = Pool::command([std::env::current_exe()?]).workers(2).env("MODE", "work");
    let pool = match std::env::var("TRANSPORT").as_deref() {
        Ok("own") => builder.transport(own::Scrambled).start().await?,
        _ => builder.start().await?,
    };
    let workers: WorkerSet<HostMessage, u32> = WorkerSet::new(&pool);
    workers.send(HostMessage::Pid).await?;
    for worker in pool.workers() {
        println!("{}", worker.pid.unwrap_or_default());
    }
    println!();
    std::future::pending().await
}

async fn work(over_own: bool) -> Result<(), Box<dyn Error>> {
    let concurrency = std::env::var("CONCURRENCY").map_or(1, |text| text.parse().unwrap_or(1));
    let builder = procall::messages::<HostMessage, u32>().name("test").concurrency(concurrency);
    let mut messages = match own::connect()?.filter(|_| over_own) {
        Some(link) => builder.over(link).await?,
        None => builder.await?,
    };
    let (mut held, mut given_up, mut notes) = (Vec::<(u32, Reply<u32>)>::new(), 0, 0);
    while let Some(message) = messages.recv().await {
        let (data, reply) = match message {
            Message::Request { data, reply } => (data, reply),
            Message::OneWay { data } => {
                notes += u32::from(matches!(data, HostMessage::Note));
                println!("noted");
                continue;
            }
        };
        match data {
            HostMessage::Add(a, b) => reply.send(a + b),
            HostMessage::Sub(a, b) => reply.send(a - b),
            HostMessage::Pid => reply.send(std::process::id()),
            HostMessage::Read(path) => {
                std::fs::read(path)?;
                reply.send(std::process::id());
            }
            HostMessage::Hold(number) => {
                held.push((number, reply));
                if held.len() == 3 {
                    held.drain(..).rev().for_each(|(number, reply)| reply.send(number));
                }
            }
            HostMessage::Endless => {
                while reply.is_wanted() {
                    std::hint::spin_loop();
                }
                given_up += 1;
            }
            HostMessage::Patient => {
                println!("waiting");
                reply.cancelled().await;
                given_up += 1;
            }
            HostMessage::GivenUp => reply.send(given_up),
            HostMessage::Forget => drop(reply),
            HostMessage::Fail(text) => reply.fail(procall::Error::handler("Refused", text)),
            HostMessage::Exit(code) => std::process::exit(code),
            HostMessage::Note => reply.send(0),
            HostMessage::Notes => reply.send(notes),
            HostMessage::Undecodable => {
                reply.send(u32::try_from(messages.undecodable()).unwrap_or(u32::MAX));
            }
            HostMessage::Leave => {
                drop(messages);
                reply.send(std::process::id());
                break;
            }
        }
    }
    Ok(())
}
