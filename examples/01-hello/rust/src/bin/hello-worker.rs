//! The Rust worker.

#[procall::service(name = "hello")]
trait Hello {
    /// Adds two numbers.
    #[method(idempotent)]
    async fn add(&self, a: i64, b: i64) -> i64;

    /// Multiplies two numbers.
    async fn multiply(&self, a: i64, b: i64) -> i64;

    /// n! = 1 · 2 · … · n.
    async fn factorial(&self, n: u64) -> u64;
}

struct MyHello;

impl Hello for MyHello {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn multiply(&self, a: i64, b: i64) -> i64 {
        a * b
    }

    async fn factorial(&self, n: u64) -> u64 {
        (1..=n).product()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    MyHello.into_service().run().await
}
