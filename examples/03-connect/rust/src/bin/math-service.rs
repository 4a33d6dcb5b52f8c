//! The Rust service: run by hand, it listens under its name.

#[procall::service(name = "math-service")]
trait Math {
    /// Adds two numbers.
    #[method(idempotent)]
    async fn add(&self, a: i64, b: i64) -> i64;

    /// Multiplies two numbers.
    #[method(idempotent)]
    async fn multiply(&self, a: i64, b: i64) -> i64;

    /// n! = 1 · 2 · … · n.
    #[method(idempotent)]
    async fn factorial(&self, n: u64) -> Result<u64, procall::Error>;
}

struct MyMath;

impl Math for MyMath {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn multiply(&self, a: i64, b: i64) -> i64 {
        a * b
    }

    async fn factorial(&self, n: u64) -> Result<u64, procall::Error> {
        (1..=n)
            .try_fold(1_u64, |product, factor| product.checked_mul(factor))
            .ok_or_else(|| procall::Error::handler("Overflow", format!("{n}! has over 64 bits")))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    MyMath.into_service().run().await
}
