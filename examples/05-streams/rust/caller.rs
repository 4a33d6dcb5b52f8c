//! The Rust caller: `streams-caller WORKER`

use procall::StreamCall;
use procall_pool::Pool;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let pool = Pool::spawn(worker).workers(1).start().await?;

    // Out of the worker.
    let numbers = pool.stream::<u64>("count", (3,)).collect().await?;
    println!("count: {} {} {}", numbers[0], numbers[1], numbers[2]);

    // Into it.
    let total: i64 = pool.call("total", ()).items(1_i64..=100).await?;
    println!("total: {total}");

    // Both ways.
    let mut double = StreamCall::<i64>::new(&pool, "double", ()).items(1_i64..=3).start();
    for n in 1.. {
        let Some(doubled) = double.next().await else { break };
        println!("double: {n} -> {}", doubled?);
    }

    // Whoever leaves early cancels the call. The worker sees it a moment later.
    let mut endless = pool.stream::<u64>("endless", ());
    while let Some(n) = endless.next().await {
        if n? == 2 {
            break;
        }
    }
    drop(endless);
    while pool.call::<u64>("left", ()).await? == 0 {}
    println!("the worker knows that its reader has left");
    pool.stop().await
}
