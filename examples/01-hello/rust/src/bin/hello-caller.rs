//! The Rust caller: give it a worker of any language.
//!
//! ```text
//! hello-caller WORKER
//! ```

use procall_pool::Pool;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let pool = Pool::spawn(worker).workers(1).start().await?;
    let sum: i64 = pool.call("add", (1, 2)).await?;
    let product: i64 = pool.call("multiply", (4, 7)).await?;
    let factorial: u64 = pool.call("factorial", (10,)).await?;
    let other: i64 = pool.call("add", (21, 3)).await?;
    println!("1 + 2 = {sum}\n4 * 7 = {product}\n10! = {factorial}\n21 + 3 = {other}");
    pool.stop().await?;
    Ok(())
}
