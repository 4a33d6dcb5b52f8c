//! The Rust caller: `cancel-caller WORKER`

use std::time::Duration;

use procall_pool::Pool;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let pool = Pool::spawn(worker).workers(1).start().await?;

    // Every call has a deadline: 30 s, if nothing else is said.
    let slow = pool.call::<String>("slowly", (60,)).deadline(Duration::from_millis(100)).await;
    if let Err(error) = slow {
        println!("too slow: {}", error.code());
    }
    let five = Duration::from_secs(5);
    let left: f64 = pool.call("remaining", ()).deadline(five).await?;
    println!("no more than 5 s: {}", if left <= 5.0 { "yes" } else { "no" });
    let left: Option<f64> = pool.call("remaining", ()).no_deadline().await?;
    println!("no deadline: {}", if left.is_none() { "yes" } else { "no" });

    // A call that is dropped is cancelled.
    let call = pool.call::<String>("slowly", (60,)).into_future();
    let _: u64 = pool.call("cancels", ()).await?; // by now the worker has that one too
    drop(call);
    println!("cancelled: yes");

    // The worker sees it a moment later.
    while pool.call::<u64>("cancels", ()).await? < 2 {}
    println!("the worker knows of both");
    pool.stop().await
}
