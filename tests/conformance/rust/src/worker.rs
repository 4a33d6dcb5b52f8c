//! What the subject serves.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream as FutureStream;
use procall::{Bytes, Client, Context, Error, Service, Stream, Value};

use crate::lines::{fill, is_fill};

#[procall::service(name = "subject")]
trait Subject {
    async fn empty(&self) -> ();
    async fn echo(&self, value: Value) -> Value;
    #[method(name = "größe.名前")]
    async fn named(&self, text: String) -> String;
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn swap(&self, data: Bytes, size: usize) -> Result<Bytes, Error>;
    async fn total(&self, items: Stream<i64>) -> Result<i64, Error>;
    async fn each(&self, values: Vec<i64>) -> Stream<i64>;
    async fn mirror(&self, items: Stream<Value>) -> Stream<Value>;
    async fn after(&self, items: Stream<i64>) -> Result<Stream<i64>, Error>;
    async fn first(&self, n: usize, items: Stream<i64>) -> Result<Stream<i64>, Error>;
    async fn broken(&self, n: u64) -> Stream<u64>;
    async fn endless(&self, token: String) -> Stream<u64>;
    async fn sleep(&self, token: String, ms: u64) -> u64;
    async fn note(&self, token: String, event: Value) -> ();
    async fn happened(&self, token: String) -> Vec<Value>;
    async fn fail(&self, message: String) -> Result<(), Error>;
    async fn bad_result(&self) -> Value;
    async fn large(&self, size: usize) -> Bytes;
    async fn die(&self, code: i32) -> ();
    async fn die_once(&self, token: String) -> String;
    async fn steps(&self, ctx: Context, n: u64) -> u64;
    async fn facts(&self, ctx: Context) -> Value;
    async fn who(&self) -> Value;
    async fn hop(
        &self,
        targets: Vec<String>,
        method: String,
        params: Vec<Value>,
    ) -> Result<Value, Error>;
}

/// What happened, by token.
#[derive(Clone, Default)]
struct Worker {
    events: Arc<Mutex<HashMap<String, Vec<Value>>>>,
}

impl Worker {
    fn record(&self, token: &str, event: impl Into<Value>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.entry(token.to_owned()).or_default().push(event.into());
    }

    fn replace(&self, token: &str, event: impl Into<Value>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.insert(token.to_owned(), vec![event.into()]);
    }
}

/// Records a cancel when a handler is dropped before it is done.
struct Watch {
    worker: Worker,
    token: Option<String>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            self.worker.record(token, "cancelled");
        }
    }
}

struct Endless {
    watch: Watch,
    made: u64,
}

impl Iterator for Endless {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.made += 1;
        if let Some(token) = &self.watch.token {
            self.watch.worker.replace(token, self.made);
        }
        Some(self.made - 1)
    }
}

/// So many items, then an error.
struct Broken {
    left: std::ops::Range<u64>,
}

impl FutureStream for Broken {
    type Item = Result<u64, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let all = self.left.end;
        let item = self.left.next();
        Poll::Ready(Some(
            item.ok_or_else(|| Error::handler("Failure", format!("after {all} items"))),
        ))
    }
}

impl Subject for Worker {
    async fn empty(&self) {}

    async fn echo(&self, value: Value) -> Value {
        value
    }

    async fn named(&self, text: String) -> String {
        format!("größe.名前: {text}")
    }

    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn swap(&self, data: Bytes, size: usize) -> Result<Bytes, Error> {
        if is_fill(&data.0) {
            Ok(Bytes(fill(size)))
        } else {
            Err(Error::handler("Failure", "these bytes are not the pattern"))
        }
    }

    async fn total(&self, mut items: Stream<i64>) -> Result<i64, Error> {
        let mut total = 0;
        while let Some(item) = items.next().await {
            total += item?;
        }
        Ok(total)
    }

    async fn each(&self, values: Vec<i64>) -> Stream<i64> {
        Stream::from_iter(values)
    }

    async fn mirror(&self, items: Stream<Value>) -> Stream<Value> {
        items
    }

    async fn after(&self, items: Stream<i64>) -> Result<Stream<i64>, Error> {
        let mut taken = items.collect().await?;
        taken.reverse();
        Ok(Stream::from_iter(taken))
    }

    async fn first(&self, n: usize, mut items: Stream<i64>) -> Result<Stream<i64>, Error> {
        let mut taken = Vec::new();
        while taken.len() < n
            && let Some(item) = items.next().await
        {
            taken.push(item?);
        }
        Ok(Stream::from_iter(taken))
    }

    async fn broken(&self, n: u64) -> Stream<u64> {
        Stream::new(Broken { left: 0..n })
    }

    async fn endless(&self, token: String) -> Stream<u64> {
        self.replace(&token, 0_u64);
        let watch = Watch { worker: self.clone(), token: Some(token) };
        Stream::from_iter(Endless { watch, made: 0 })
    }

    async fn sleep(&self, token: String, ms: u64) -> u64 {
        self.record(&token, "started");
        let mut watch = Watch { worker: self.clone(), token: Some(token.clone()) };
        tokio::time::sleep(Duration::from_millis(ms)).await;
        watch.token = None;
        self.record(&token, "ended");
        ms
    }

    async fn note(&self, token: String, event: Value) {
        self.record(&token, event);
    }

    async fn happened(&self, token: String) -> Vec<Value> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.get(&token).cloned().unwrap_or_default()
    }

    async fn fail(&self, message: String) -> Result<(), Error> {
        Err(Error::handler("Failure", message))
    }

    async fn bad_result(&self) -> Value {
        Value::Int(1 << 64)
    }

    async fn large(&self, size: usize) -> Bytes {
        Bytes(fill(size))
    }

    async fn die(&self, code: i32) {
        std::process::exit(code);
    }

    /// Exits when it is called with a token for the first time, whichever worker that was.
    async fn die_once(&self, token: String) -> String {
        let folder = std::env::var_os("SUBJECT_FOLDER").unwrap_or_default();
        let mark = std::path::Path::new(&folder).join(format!("died {token}"));
        if !mark.exists() {
            // Without the mark it would exit for ever, which the case would show.
            let _ = std::fs::File::create(mark);
            std::process::exit(1);
        }
        token
    }

    async fn steps(&self, ctx: Context, n: u64) -> u64 {
        for step in 1..=n {
            ctx.progress(step, Some(n), &format!("step {step}"));
        }
        n
    }

    async fn facts(&self, ctx: Context) -> Value {
        let remaining = ctx.remaining().and_then(|left| i64::try_from(left.as_millis()).ok());
        Value::Map(vec![
            ("method".to_owned(), Value::Text(ctx.method().to_owned())),
            ("meta".to_owned(), ctx.meta().unwrap_or(Value::Map(Vec::new()))),
            ("remaining_ms".to_owned(), remaining.map_or(Value::Nil, Value::from)),
        ])
    }

    async fn who(&self) -> Value {
        Value::Map(vec![
            ("language".to_owned(), Value::from("rust")),
            ("pid".to_owned(), Value::from(std::process::id())),
        ])
    }

    async fn hop(
        &self,
        targets: Vec<String>,
        method: String,
        params: Vec<Value>,
    ) -> Result<Value, Error> {
        let mut targets = targets.into_iter();
        let target = targets.next().ok_or_else(|| Error::invalid("there is no target"))?;
        let others: Vec<String> = targets.collect();
        let client = Client::connect_within(&target, Duration::from_secs(20)).await?;
        if others.is_empty() {
            client.call(&method, params).await
        } else {
            client.call("hop", (others, method, params)).await
        }
    }
}

/// The service, under the name and with the bounds that the environment gives it.
pub(crate) fn service() -> Service {
    let name = std::env::var("SUBJECT_NAME").unwrap_or_else(|_| "subject".to_owned());
    let mut service =
        if name == "subject" { Worker::default().into_service() } else { another(&name) };
    if let Some(calls) = std::env::var("SUBJECT_CONCURRENCY").ok().and_then(|n| n.parse().ok()) {
        service = service.concurrency(calls);
    }
    if let Ok(name) = std::env::var("SUBJECT_WORKER_NAME") {
        service = service.worker_name(name);
    }
    service
}

/// What calls go through, under another name: the name of a trait's service is settled when it is compiled.
fn another(name: &str) -> Service {
    let worker = Worker::default();
    let on = || worker.clone();
    let (hop, sleep, happened, fail, facts) = (on(), on(), on(), on(), on());
    Service::new(name)
        .async_method("add", async |a: i64, b: i64| Ok::<_, Error>(a + b))
        .params("add", &["a", "b"])
        .async_method("hop", move |targets: Vec<String>, method: String, params: Vec<Value>| {
            let worker = hop.clone();
            async move { worker.hop(targets, method, params).await }
        })
        .async_method("sleep", move |token: String, ms: u64| {
            let worker = sleep.clone();
            async move { Ok::<_, Error>(worker.sleep(token, ms).await) }
        })
        .async_method("happened", move |token: String| {
            let worker = happened.clone();
            async move { Ok::<_, Error>(worker.happened(token).await) }
        })
        .async_method("fail", move |message: String| {
            let worker = fail.clone();
            async move { worker.fail(message).await }
        })
        .async_method("facts", move |ctx: Context| {
            let worker = facts.clone();
            async move { Ok::<_, Error>(worker.facts(ctx).await) }
        })
}
