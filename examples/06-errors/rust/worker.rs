//! The Rust worker: what goes wrong is a type like any other.

use procall::Error;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct NotAnImage {
    path: String,
}

impl std::fmt::Display for NotAnImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not an image", self.path)
    }
}

impl std::error::Error for NotAnImage {}

#[procall::service(name = "images")]
trait Images {
    async fn width(&self, path: String) -> Result<u32, NotAnImage>;
    async fn divide(&self, a: i64, b: i64) -> Result<i64, Error>;
    async fn crash(&self) -> ();
}

struct Worker;

impl Images for Worker {
    async fn width(&self, path: String) -> Result<u32, NotAnImage> {
        if path.ends_with(".png") { Ok(80) } else { Err(NotAnImage { path }) }
    }

    async fn divide(&self, a: i64, b: i64) -> Result<i64, Error> {
        // An error that nobody declared.
        a.checked_div(b).ok_or_else(|| Error::handler("DivideByZero", "the divisor is 0"))
    }

    async fn crash(&self) {
        std::process::exit(1);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    Worker.into_service().run().await
}
