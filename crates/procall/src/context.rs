//! Facts that travel with a call, as its handler sees them.

use std::cell::Cell;
use std::task::Poll;
use std::time::Duration;

use procall_proto::{CallId, Encoding, Time};

use crate::chain;
use crate::chain::Place;
use crate::clock;
use crate::connection::Connection;
use crate::stream::{Stream, StreamSource};

thread_local! {
    static DEADLINE: Cell<Time> = const { Cell::new(Time::NEVER) };
    static NESTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a handler runs on this thread now: calls that are made are part of its own.
pub(crate) fn is_nested() -> bool {
    NESTED.get()
}

/// The deadline of the call whose handler runs on this thread now; never when none does.
pub(crate) fn current_deadline() -> Time {
    DEADLINE.get()
}

/// Runs a handler, or one poll of it, so that calls it makes inherit `deadline`. They belong to no call that is served here.
pub(crate) fn with_deadline<R>(deadline: Time, f: impl FnOnce() -> R) -> R {
    with_place(deadline, None, f)
}

/// The same for the handler of a call, which waits for those that it makes.
pub(crate) fn with_place<R>(deadline: Time, place: Option<Place>, f: impl FnOnce() -> R) -> R {
    /// Restores the outer deadline even when the handler panics.
    struct Restore(Time, bool, Option<Place>);
    impl Drop for Restore {
        fn drop(&mut self) {
            DEADLINE.set(self.0);
            NESTED.set(self.1);
            chain::replace(self.2.take());
        }
    }
    let _restore = Restore(DEADLINE.replace(deadline), NESTED.replace(true), chain::replace(place));
    f()
}

/// What is left to the call whose handler runs on this thread: calls made now have at most that. `None` is no limit.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(procall::remaining(), None);
/// procall::with_remaining(Some(Duration::from_millis(50)), || assert!(procall::remaining() <= Some(Duration::from_millis(50))));
/// ```
pub fn remaining() -> Option<Duration> {
    clock::left(current_deadline())
}

/// Runs `f` as part of a call that has `remaining` time: calls made in it inherit that, and are made again only when they were not executed,
/// since it is for the outermost caller to repeat the whole. `None` is no deadline.
///
/// The language packages use it around each handler.
///
/// ```
/// use std::time::Duration;
/// procall::with_remaining(Some(Duration::from_millis(50)), || { /* calls made here have at most 50 ms */ });
/// ```
pub fn with_remaining<R>(remaining: Option<Duration>, f: impl FnOnce() -> R) -> R {
    with_deadline(remaining.map_or(Time::NEVER, |remaining| clock::now() + remaining), f)
}

/// The same for the handler of a call that came over `connection`: the calls made in it carry the chain of those that wait for them. A
/// notification, which has no id, waits for nothing.
///
/// The language packages use it around each handler.
pub fn with_call<R>(
    connection: &Connection,
    id: Option<CallId>,
    remaining: Option<Duration>,
    f: impl FnOnce() -> R,
) -> R {
    let deadline = remaining.map_or(Time::NEVER, |remaining| clock::now() + remaining);
    with_place(deadline, id.map(|id| Place::new(connection.clone(), id)), f)
}

/// What a handler may know of its call: who calls, how long it has, whether it is still wanted.
///
/// A service method gets one by naming a parameter of this type.
///
/// ```
/// use procall::{Context, Service};
///
/// let service = Service::new("sum").method("slowly", |ctx: Context, n: u64| {
///     for step in 0..n {
///         if ctx.is_cancelled() {
///             break;
///         }
///         ctx.progress(step, Some(n), "adding");
///     }
///     n
/// });
/// # let _ = service;
/// ```
#[derive(Debug, Clone)]
pub struct Context {
    connection: Connection,
    id: Option<CallId>,
    method: String,
    deadline: Time,
    meta: Vec<u8>,
}

impl Context {
    pub(crate) fn new(
        connection: Connection,
        id: Option<CallId>,
        method: String,
        deadline: Time,
        meta: Vec<u8>,
    ) -> Self {
        Self { connection, id, method, deadline, meta }
    }

    /// The method's full name.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Time left until the caller gives up; `None` when it never does.
    pub fn remaining(&self) -> Option<Duration> {
        clock::left(self.deadline)
    }

    /// Whether the caller no longer wants the answer.
    pub fn is_cancelled(&self) -> bool {
        self.id.is_some_and(|id| !self.connection.is_wanted(id))
    }

    /// Resolves once the caller no longer wants the answer.
    pub async fn cancelled(&self) {
        let Some(id) = self.id else { return std::future::pending().await };
        std::future::poll_fn(|cx| match self.connection.poll_cancelled(id, cx.waker()) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        })
        .await;
    }

    /// Tells the caller how far the work has come. At most ten reports a second travel.
    pub fn progress(&self, done: u64, total: Option<u64>, text: &str) {
        if let Some(id) = self.id {
            self.connection.progress(id, done, total, text);
        }
    }

    /// A value of the call's metadata, when it is there and a `T`.
    pub fn meta<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        crate::codec::decode(Encoding::Msgpack, &self.meta).ok()
    }

    /// The stream that the caller sends, when there is one.
    pub(crate) fn items<T: serde::de::DeserializeOwned + 'static>(&self, sent: bool) -> Stream<T> {
        match self.id.filter(|_| sent) {
            Some(id) => Stream::from_source(StreamSource::served(self.connection.clone(), id)),
            None => Stream::empty(),
        }
    }

    /// The connection the call came on: the way to call the caller back.
    pub fn caller(&self) -> &Connection {
        &self.connection
    }
}
