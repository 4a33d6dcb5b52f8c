//! The same set, over a transport of its own.
//!
//! ```text
//! workers-own-link WORKER
//! ```

use procall_pool::{Pool, WorkerSet};
use workers::HostMessage;
use workers::own::Scrambled;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "workers-worker".to_owned());
    let pool = Pool::spawn(worker).workers(4).transport(Scrambled).start().await?;
    let workers: WorkerSet<HostMessage, u32> = WorkerSet::new(&pool);
    println!("Result -> {}", workers.send(HostMessage::Add(6, 7)).await?);
    pool.stop().await
}
