//! Calling a pool as one calls a client, and all of its workers at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use procall::{AsChannel, Call, CallFuture, Channel, Error, ErrorCode, Stream, StreamCall};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::pool::Pool;

impl AsChannel for Pool {
    fn as_channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.clone())
    }
}

impl Pool {
    /// Calls a method on the worker that the dispatch policy picks; await the call or wait for it, or set its options first.
    ///
    /// ```no_run
    /// # async fn f(pool: procall_pool::Pool) -> Result<(), procall::Error> {
    /// let sum: i64 = pool.call("add", (1, 2)).await?;
    /// # Ok(()) }
    /// ```
    pub fn call<R>(&self, method: &str, params: impl Serialize) -> Call<R> {
        Call::new(self, method, params)
    }

    /// Calls a method whose answer is a stream.
    ///
    /// ```no_run
    /// # async fn f(pool: procall_pool::Pool) -> Result<(), procall::Error> {
    /// let mut numbers = pool.stream::<u64>("count", (3,));
    /// while let Some(n) = numbers.next().await {
    ///     println!("{}", n?);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn stream<T>(&self, method: &str, params: impl Serialize) -> Stream<T> {
        StreamCall::new(self, method, params).start()
    }
}

/// One worker's part in a [`Broadcast`].
#[derive(Debug, Clone)]
pub struct Answer<R> {
    /// The worker's name, such as `calc/2`.
    pub worker: Arc<str>,
    /// What it answered, or why it did not.
    pub result: Result<R, Error>,
}

impl Pool {
    /// Calls a method on every worker and gives all answers, in the order of the workers. A worker that is busy or starting gets the call when it
    /// has room; one that has failed answers NO_WORKER. None of the calls is made again by itself. The errors of some are no error of the whole.
    ///
    /// ```no_run
    /// # async fn f(pool: procall_pool::Pool) {
    /// for answer in pool.broadcast::<u64>("reload", ("model-7.bin",)).await {
    ///     match answer.result {
    ///         Ok(bytes) => println!("{} loaded {bytes} bytes", answer.worker),
    ///         Err(error) => eprintln!("{}: {error}", answer.worker),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn broadcast<R>(&self, method: &str, params: impl Serialize) -> Broadcast<R> {
        let call = |worker: Arc<str>| {
            let call = Call::new(self, method, &params).to(worker.clone()).retries(0);
            (worker, call)
        };
        Broadcast { calls: self.names().into_iter().map(call).collect() }
    }
}

/// A call to every worker that has not started: await it, or [`wait`](Self::wait) for it on a thread. Dropping the future cancels all calls.
#[derive(Debug)]
#[must_use = "a broadcast does nothing until it is awaited or waited for"]
pub struct Broadcast<R> {
    calls: Vec<(Arc<str>, Call<R>)>,
}

impl<R> Broadcast<R> {
    /// Gives up on whoever has not answered after this long; the default is 30 s.
    pub fn deadline(self, timeout: std::time::Duration) -> Self {
        self.with(|call| call.deadline(timeout))
    }

    /// Never gives up.
    pub fn no_deadline(self) -> Self {
        self.with(Call::no_deadline)
    }

    /// Says that the method may run more than once without harm.
    pub fn idempotent(self) -> Self {
        self.with(Call::idempotent)
    }

    /// Sends facts along that are no arguments: anything that serde makes a map of.
    pub fn meta(self, meta: &impl Serialize) -> Self {
        self.with(|call| call.meta(meta))
    }

    fn with(self, set: impl Fn(Call<R>) -> Call<R>) -> Self {
        Self { calls: self.calls.into_iter().map(|(worker, call)| (worker, set(call))).collect() }
    }
}

impl<R: DeserializeOwned> Broadcast<R> {
    /// Makes the calls and waits on this thread until all have ended.
    pub fn wait(self) -> Vec<Answer<R>> {
        let calls = self.into_future().calls;
        calls
            .into_iter()
            .map(|part| match part {
                Part::Open(worker, call) => Answer { worker, result: call.wait() },
                Part::Over(answer) => answer.unwrap_or_else(taken),
            })
            .collect()
    }
}

impl<R: DeserializeOwned> IntoFuture for Broadcast<R> {
    type Output = Vec<Answer<R>>;
    type IntoFuture = BroadcastFuture<R>;

    /// Starts all calls.
    fn into_future(self) -> BroadcastFuture<R> {
        let start = |(worker, call): (Arc<str>, Call<R>)| Part::Open(worker, call.into_future());
        BroadcastFuture { calls: self.calls.into_iter().map(start).collect() }
    }
}

/// A broadcast under way. Dropping it cancels the calls that have not ended.
#[derive(Debug)]
pub struct BroadcastFuture<R> {
    calls: Vec<Part<R>>,
}

#[derive(Debug)]
enum Part<R> {
    Open(Arc<str>, CallFuture<R>),
    /// The answer, until it is taken.
    Over(Option<Answer<R>>),
}

// Nothing in it is pinned: an answer is moved out when all are there.
impl<R> Unpin for BroadcastFuture<R> {}

impl<R: DeserializeOwned> Future for BroadcastFuture<R> {
    type Output = Vec<Answer<R>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut open = false;
        for part in &mut self.calls {
            if let Part::Open(worker, call) = part {
                match Pin::new(call).poll(cx) {
                    Poll::Ready(result) => {
                        *part = Part::Over(Some(Answer { worker: worker.clone(), result }));
                    }
                    Poll::Pending => open = true,
                }
            }
        }
        if open {
            return Poll::Pending;
        }
        let answer = |part| match part {
            Part::Over(Some(answer)) => answer,
            Part::Over(None) | Part::Open(..) => taken(),
        };
        Poll::Ready(std::mem::take(&mut self.calls).into_iter().map(answer).collect())
    }
}

fn taken<R>() -> Answer<R> {
    let error = Error::new(ErrorCode::Internal, "this answer was taken before");
    Answer { worker: "".into(), result: Err(error) }
}
