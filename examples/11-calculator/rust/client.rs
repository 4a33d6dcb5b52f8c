//! The Rust client: `cargo run --bin calculator-client`, while the worker runs in another terminal.

use std::time::Duration;

use procall::Client;
use serde::Serialize;

#[derive(Serialize)]
struct AddArgs {
    a: i32,
    b: i32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let client = Client::connect("calculator").await?;

    let result: i32 = client.call("add", AddArgs { a: 10, b: 20 }).await?;
    println!("Result: {result}");

    // With a time-out.
    let pong: String = client.call("ping", ()).deadline(Duration::from_secs(5)).await?;
    println!("ping: {pong}");

    client.close();
    Ok(())
}
