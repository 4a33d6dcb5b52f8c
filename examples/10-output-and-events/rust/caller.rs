//! The Rust caller: `greeter-caller WORKER`

use std::sync::mpsc;

use procall_pool::{Happening, Pool};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let (say, said) = mpsc::sync_channel(16);
    let pool = Pool::spawn(worker)
        .workers(1)
        .name("greeter")
        .on_output(move |line| {
            // Only the first line is wanted; those that find no room may go.
            let _ = say.try_send(line.to_string());
        })
        .start()
        .await?;
    let greeting: String = pool.call("greet", ("Ada",)).await?;
    println!("{greeting}");
    println!("healthy: {}", if pool.health().is_healthy() { "yes" } else { "no" });

    // A crash, and what the pool does about it.
    let events = pool.events();
    if let Err(error) = pool.call::<()>("crash", ()).await {
        println!("{}", error.message());
    }
    while let Some(event) = events.next(None) {
        let what = match event.happening {
            Happening::Exited { .. } => "exited",
            Happening::Restarting { .. } => "restarting",
            Happening::Started => "started",
            Happening::Ready => "ready",
            _ => "something else",
        };
        println!("event: {what}");
        if what == "ready" {
            break;
        }
    }

    // A restart that was asked for loses no call.
    pool.restart_all().await?;
    let greeting: String = pool.call("greet", ("Grace",)).await?;
    println!("{greeting}");

    let metrics = pool.metrics();
    println!("{} good, {} failed", metrics.successful_requests, metrics.failed_requests);
    println!("{}", said.recv().unwrap_or_default());
    pool.stop().await
}
