//! The Rust host: give it a worker of any language.
//!
//! ```text
//! workers-host WORKER
//! ```

use std::time::Duration;

use procall::OnTimeout;
use procall_pool::{Pool, WorkerSet};
use workers::HostMessage;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let pool = Pool::spawn(worker).workers(4).on_output(|line| eprintln!("{line}")).start().await?;
    let workers: WorkerSet<HostMessage, u32> = WorkerSet::new(&pool);

    println!("Result -> {}", workers.send(HostMessage::Add(6, 7)).await?);
    println!("Result -> {}", workers.send(HostMessage::Sub(21, 19)).await?);

    // Nobody answers this one.
    workers.post(HostMessage::Note("hello".to_owned()))?;

    // The worker is left to finish, and gets nothing else before it has: the next message goes to another one.
    let patience = Duration::from_millis(100);
    let slow = workers.send_timeout(HostMessage::Toil(500), patience, OnTimeout::Return).await;
    println!(
        "too slow: {}",
        slow.map_or_else(|error| error.code().to_string(), |_| "no".to_owned())
    );
    println!("Result -> {}", workers.send(HostMessage::Add(20, 22)).await?);

    pool.stop().await
}
