//! Calling a pool as one calls a client.

use std::sync::Arc;

use procall::{AsChannel, Call, Channel, Stream, StreamCall};
use serde::Serialize;

use crate::pool::Pool;

impl AsChannel for Pool {
    fn as_channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.clone())
    }
}

impl Pool {
    /// Calls a method on the first idle worker; await the call or wait for it, or set its options first.
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
