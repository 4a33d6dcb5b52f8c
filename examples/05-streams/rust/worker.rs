//! The Rust worker: what gives a `Stream` is one, and what takes a `Stream` gets one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt;
use procall::{Error, Stream};

#[procall::service(name = "streams")]
trait Streams {
    async fn count(&self, n: u64) -> Stream<u64>;
    async fn total(&self, items: Stream<i64>) -> Result<i64, Error>;
    async fn double(&self, items: Stream<i64>) -> Stream<i64>;
    async fn endless(&self) -> Stream<u64>;
    async fn left(&self) -> u64;
}

#[derive(Clone, Default)]
struct Worker {
    left_early: Arc<AtomicU64>,
}

/// 0, 1, 2 and so on; its end is that of its reader.
struct Endless(std::ops::RangeFrom<u64>, Arc<AtomicU64>);

impl Iterator for Endless {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0.next()
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

impl Streams for Worker {
    async fn count(&self, n: u64) -> Stream<u64> {
        Stream::from_iter(0..n)
    }

    async fn total(&self, mut items: Stream<i64>) -> Result<i64, Error> {
        let mut sum = 0;
        while let Some(item) = items.next().await {
            sum += item?;
        }
        Ok(sum)
    }

    async fn double(&self, items: Stream<i64>) -> Stream<i64> {
        Stream::new(items.map_ok(|item| 2 * item))
    }

    async fn endless(&self) -> Stream<u64> {
        Stream::from_iter(Endless(0.., self.left_early.clone()))
    }

    async fn left(&self) -> u64 {
        self.left_early.load(Ordering::Relaxed)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    Worker::default().into_service().run().await
}
