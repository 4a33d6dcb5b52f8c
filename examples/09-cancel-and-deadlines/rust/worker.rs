//! The Rust worker: a handler that nobody waits for is dropped at its next await.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::Context;

#[procall::service(name = "work")]
trait Work {
    async fn slowly(&self, seconds: f64) -> String;
    async fn remaining(&self, ctx: Context) -> Option<f64>;
    async fn cancels(&self) -> u64;
}

#[derive(Clone, Default)]
struct Worker {
    cancelled: Arc<AtomicU64>,
}

/// Counts the handlers that end before they are done.
struct Watch(Option<Arc<AtomicU64>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(cancelled) = &self.0 {
            cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Work for Worker {
    async fn slowly(&self, seconds: f64) -> String {
        let mut watch = Watch(Some(self.cancelled.clone()));
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        watch.0 = None;
        "done".to_owned()
    }

    async fn remaining(&self, ctx: Context) -> Option<f64> {
        ctx.remaining().map(|left| left.as_secs_f64())
    }

    async fn cancels(&self) -> u64 {
        self.cancelled.load(Ordering::Relaxed)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    Worker::default().into_service().run().await
}
