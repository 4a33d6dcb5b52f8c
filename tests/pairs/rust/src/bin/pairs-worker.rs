//! The Rust worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::{Error, Stream, Value};

/// What the pairs call.
#[procall::service(name = "pairs")]
trait Pairs {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn echo(&self, value: Value) -> Value;
    async fn nothing(&self) -> ();
    async fn greet(&self, name: String, greeting: Option<String>) -> String;
    async fn too_large(&self) -> Value;
    async fn launched(&self) -> Launched;
    async fn mirror(&self, items: Stream<Value>) -> Stream<Value>;
    async fn fail(&self, message: String) -> Result<(), Error>;
    async fn count(&self, n: u64) -> Stream<u64>;
    async fn endless(&self) -> Stream<u64>;
    async fn total(&self, items: Stream<i64>) -> Result<i64, Error>;
    async fn sleep(&self, ms: u64) -> u64;
    async fn cancels(&self) -> u64;
    async fn die(&self, code: i32) -> ();
}

/// How this process was started.
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Launched {
    language: String,
    program: String,
    args: Vec<String>,
    cwd: String,
    env: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Worker {
    cancels: Arc<AtomicU64>,
}

/// Counts a cancel when the handler is dropped before it is done.
struct Watch(Option<Arc<AtomicU64>>);

impl Watch {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(cancels) = &self.0 {
            cancels.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct Endless {
    _watch: Watch,
    next: u64,
}

impl Iterator for Endless {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.next += 1;
        Some(self.next - 1)
    }
}

impl Pairs for Worker {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn echo(&self, value: Value) -> Value {
        value
    }

    async fn nothing(&self) {}

    async fn greet(&self, name: String, greeting: Option<String>) -> String {
        format!("{} {name}", greeting.as_deref().unwrap_or("hello"))
    }

    async fn too_large(&self) -> Value {
        Value::Int(1 << 64)
    }

    async fn launched(&self) -> Launched {
        let text = |path: std::io::Result<std::path::PathBuf>| {
            path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
        };
        Launched {
            language: "rust".to_owned(),
            program: text(std::env::current_exe()),
            args: std::env::args().skip(1).collect(),
            cwd: text(std::env::current_dir()),
            env: std::env::vars().filter(|(name, _)| name.starts_with("PAIRS_")).collect(),
        }
    }

    async fn mirror(&self, items: Stream<Value>) -> Stream<Value> {
        items
    }

    async fn fail(&self, message: String) -> Result<(), Error> {
        Err(Error::handler("Failure", message))
    }

    async fn count(&self, n: u64) -> Stream<u64> {
        Stream::from_iter(0..n)
    }

    async fn endless(&self) -> Stream<u64> {
        Stream::from_iter(Endless { _watch: Watch(Some(self.cancels.clone())), next: 0 })
    }

    async fn total(&self, mut items: Stream<i64>) -> Result<i64, Error> {
        let mut total = 0;
        while let Some(item) = items.next().await {
            total += item?;
        }
        Ok(total)
    }

    async fn sleep(&self, ms: u64) -> u64 {
        let watch = Watch(Some(self.cancels.clone()));
        tokio::time::sleep(Duration::from_millis(ms)).await;
        watch.done();
        ms
    }

    async fn cancels(&self) -> u64 {
        self.cancels.load(Ordering::SeqCst)
    }

    async fn die(&self, code: i32) {
        std::process::exit(code);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    Worker::default().into_service().run().await
}
