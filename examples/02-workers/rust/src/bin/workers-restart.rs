//! A time-out that does not wait for the worker: it is started anew.
//!
//! ```text
//! workers-restart WORKER
//! ```

use std::time::Duration;

use procall::OnTimeout;
use procall_pool::{Happening, Pool, WorkerSet};
use workers::HostMessage;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let pool = Pool::spawn(worker).workers(1).start().await?;
    let workers: WorkerSet<HostMessage, u32> = WorkerSet::new(&pool);
    let events = pool.events();

    let patience = Duration::from_millis(100);
    let slow = workers.send_timeout(HostMessage::Toil(60_000), patience, OnTimeout::Restart).await;
    println!(
        "too slow: {}",
        slow.map_or_else(|error| error.code().to_string(), |_| "no".to_owned())
    );

    // What happens to the workers comes in order: this one went, and came again.
    while let Some(event) = events.next(Some(Duration::from_secs(30))) {
        if event.happening == Happening::Ready {
            println!("{} is there again", event.worker);
            break;
        }
    }
    println!("Result -> {}", workers.send(HostMessage::Add(6, 7)).await?);
    pool.stop().await
}
