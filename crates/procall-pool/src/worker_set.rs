//! A pool as a set of workers that take one type of message and give one type of answer.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use procall::{Call, Error, OnTimeout};
use serde::Serialize;

use crate::pool::Pool;

/// What a worker of a set serves.
const METHOD: &str = "message";

/// Workers that take messages `M`, usually an enum in a crate that both programs share, and answer with `R`.
///
/// It is a typed view of a [`Pool`], and everything a pool can do is there: [`Pool::spawn`] says which program and how many, and what
/// happens in between is the pool's affair (queueing, restarts, deadlines, transports). There is no second builder. Clones share the pool.
///
/// A worker in Rust is a loop over [`procall::messages`]. One in another language is a service with a method `message`.
///
/// ```no_run
/// use procall_pool::{Pool, WorkerSet};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum HostMessage {
///     Add(u32, u32),
///     Sub(u32, u32),
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), procall::Error> {
/// let pool = Pool::spawn("./target/debug/worker_test").workers(4).start().await?;
/// let workers: WorkerSet<HostMessage, u32> = WorkerSet::new(&pool);
///
/// let sum = workers.send(HostMessage::Add(6, 7)).await?;
/// println!("Result -> {sum}");
/// # Ok(()) }
/// ```
pub struct WorkerSet<M, R> {
    pool: Pool,
    types: PhantomData<fn(M) -> R>,
}

impl<M, R> WorkerSet<M, R> {
    /// The workers of this pool.
    pub fn new(pool: &Pool) -> Self {
        Self { pool: pool.clone(), types: PhantomData }
    }

    /// The pool below: to stop it, to restart workers, to see what they do.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl<M: Serialize, R> WorkerSet<M, R> {
    /// Sends a message to the first idle worker, or queues it for the next one. Await the answer or wait for it on a thread; set a deadline
    /// and the like first. It is sent when the call is awaited, not before.
    ///
    /// A message that serde cannot write is INVALID_ARGUMENT. A call that is dropped costs no worker: the worker is told that nobody waits,
    /// and gets its next message when it is done.
    ///
    /// ```no_run
    /// # async fn f(workers: procall_pool::WorkerSet<(u32, u32), u32>) -> Result<(), procall::Error> {
    /// use std::time::Duration;
    ///
    /// let sum = workers.send((6, 7)).deadline(Duration::from_millis(80)).await?;
    /// # Ok(()) }
    /// ```
    pub fn send(&self, message: M) -> Call<R> {
        self.pool.call(METHOD, (message,))
    }

    /// Sends a message and gives up after `timeout` with DEADLINE_EXCEEDED. Then the worker that still works on it is left to finish, and
    /// gets no other message before it has ([`OnTimeout::Return`]), or is started anew ([`OnTimeout::Restart`]).
    ///
    /// It is short for `send(message).deadline(timeout).on_timeout(then)`.
    ///
    /// ```no_run
    /// # async fn f(workers: procall_pool::WorkerSet<(u32, u32), u32>) -> Result<(), procall::Error> {
    /// use std::time::Duration;
    /// use procall::OnTimeout;
    ///
    /// let sum = workers.send_timeout((6, 7), Duration::from_secs(2), OnTimeout::Restart).await?;
    /// # Ok(()) }
    /// ```
    pub fn send_timeout(&self, message: M, timeout: Duration, then: OnTimeout) -> Call<R> {
        self.send(message).deadline(timeout).on_timeout(then)
    }

    /// Sends a message that nobody answers: at most once, to the least busy worker.
    ///
    /// It does not wait for an idle worker in the pool's queue but goes at once, and waits at that worker until its loop takes it. The error
    /// is NO_WORKER when no worker is ready; a worker that dies before it takes the message loses it.
    ///
    /// ```no_run
    /// # fn f(workers: procall_pool::WorkerSet<String, ()>) -> Result<(), procall::Error> {
    /// workers.post("the weights have changed".to_owned())?;
    /// # Ok(()) }
    /// ```
    pub fn post(&self, message: M) -> Result<(), Error> {
        procall::notify(&self.pool, METHOD, (message,))
    }
}

impl<M, R> Clone for WorkerSet<M, R> {
    fn clone(&self) -> Self {
        Self::new(&self.pool)
    }
}

impl<M, R> fmt::Debug for WorkerSet<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSet").field("pool", &self.pool).finish()
    }
}
