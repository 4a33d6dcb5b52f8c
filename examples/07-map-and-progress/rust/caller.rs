//! The Rust caller: `many-caller WORKER`

use std::sync::mpsc;

use procall_pool::Pool;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let pool = Pool::spawn(worker).workers(2).start().await?;

    // Calls that are started together, and their results later: `into_future` starts a call.
    let words = ["one", "three", "eleven"];
    let calls = words.map(|word| pool.call::<u64>("size", (word,)).into_future());
    let mut sum = 0;
    for call in calls {
        sum += call.await?;
    }
    println!("submit: {sum}");

    // How far a call has come. At most ten reports a second travel.
    let (reports, told) = mpsc::sync_channel(16);
    let learned: String = pool
        .call("learn", (3,))
        .on_progress(move |progress| {
            // Only the first report is wanted; those that find no room may go.
            let _ = reports.try_send((progress.done, progress.total));
        })
        .await?;
    println!("progress: {learned} after {:?}", told.recv().ok());
    pool.stop().await
}
