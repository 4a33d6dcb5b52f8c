//! The Rust worker.

use procall::Context;

#[procall::service(name = "words")]
trait Words {
    #[method(idempotent)]
    async fn size(&self, word: String) -> usize;
    async fn learn(&self, ctx: Context, epochs: u64) -> String;
}

struct Worker;

impl Words for Worker {
    async fn size(&self, word: String) -> usize {
        word.chars().count()
    }

    async fn learn(&self, ctx: Context, epochs: u64) -> String {
        for epoch in 0..epochs {
            ctx.progress(epoch, Some(epochs), "learning");
        }
        "learned".to_owned()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    Worker.into_service().run().await
}
