//! The Rust worker: a type is what serde makes of it.

use procall::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Order {
    name: String,
    #[serde(default = "one")]
    count: u32,
}

fn one() -> u32 {
    1
}

#[procall::service(name = "shop")]
trait Shop {
    async fn by_struct(&self, order: Order) -> String;
}

struct Worker;

impl Shop for Worker {
    async fn by_struct(&self, order: Order) -> String {
        format!("{} x {}", order.count, order.name)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    Worker.into_service().run().await
}
