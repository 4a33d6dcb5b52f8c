//! The Rust caller: `errors-caller WORKER`

use std::time::Duration;

use procall::{Client, Error};
use procall_pool::Pool;
use serde::Deserialize;

#[derive(Deserialize)]
struct NotAnImage {
    path: String,
}

fn tell(error: &Error) {
    println!("{}: executed {}, retryable {}", error.code(), error.executed(), error.is_retryable());
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let pool = Pool::spawn(worker).workers(1).start().await?;

    // A declared error comes with its own members.
    if let Err(error) = pool.call::<u32>("width", ("notes.txt",)).await
        && let Some(NotAnImage { path }) = error.details()
    {
        println!("not an image: {path}");
    }

    let wrong = [
        pool.call::<f64>("divide", (1, 0)).await.err(),
        pool.call::<f64>("divide", (1,)).await.err(),
        pool.call::<f64>("multiply", (1, 2)).await.err(),
        pool.call::<()>("crash", ()).await.err(),
        Client::connect_within("nobody", Duration::ZERO).await.err(),
    ];
    wrong.iter().flatten().for_each(tell);
    pool.stop().await
}
