//! The Rust worker.

use std::time::Duration;

use procall::Message;
use workers::{HostMessage, own};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let messages = procall::messages::<HostMessage, u32>();
    let mut messages = match own::connect()? {
        Some(link) => messages.over(link).await?,
        None => messages.await?,
    };
    while let Some(message) = messages.recv().await {
        match message {
            Message::Request { data, reply } => match data {
                HostMessage::Add(a, b) => reply.send(a + b),
                HostMessage::Sub(a, b) => reply.send(a - b),
                HostMessage::Toil(millis) => {
                    std::thread::sleep(Duration::from_millis(millis.into()));
                    reply.send(millis);
                }
                HostMessage::Note(_) => {
                    reply.fail(procall::Error::handler("Unasked", "notes are not answered"));
                }
            },
            Message::OneWay { data: HostMessage::Note(text) } => println!("noted: {text}"),
            Message::OneWay { .. } => {}
        }
    }
    Ok(())
}
