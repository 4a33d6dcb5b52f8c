//! The Rust caller: finds the service by its name, in whatever language it is written.

use procall::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let math = Client::connect("math-service").await?;
    let sum: i64 = math.call("add", (5, 3)).await?;
    let product: i64 = math.call("multiply", (4, 7)).await?;
    let factorial: u64 = math.call("factorial", (10,)).await?;
    println!("5 + 3 = {sum}\n4 * 7 = {product}\n10! = {factorial}");
    Ok(())
}
