//! From arrived calls to handlers, and from their answers back to the connection.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream as FutureStream;
use procall_proto::{CallId, Config, ErrorCode, Executed, Time};

use super::Service;
use super::handler::{Answer, Arrival, Handler};
use super::table::{MethodTable, Target};
use crate::chain::Place;
use crate::client::config;
use crate::clock;
use crate::connection::{Batch, Connection, Encoded, Incoming};
use crate::context::with_place;
use crate::error::Error;
use crate::registration::Registration;
use crate::trace;

/// Answers do not wait longer than this for their slower neighbours in a batch.
const FLUSH_AFTER: Duration = Duration::from_micros(100);

type Answers = Vec<(CallId, Result<Encoded, Error>)>;

/// Serves calls with a service's handlers on the current tokio runtime.
pub(crate) struct Dispatcher {
    table: MethodTable,
    compression: bool,
    handlers: Vec<Arc<dyn Handler>>,
}

impl Dispatcher {
    pub(crate) fn new(service: Service) -> Self {
        let compression = service.compresses();
        let (registration, handlers) = service.into_parts();
        Self { table: MethodTable::new(registration), compression, handlers }
    }

    /// What the other side is told of a service of this name.
    pub(crate) fn config(&self, name: &str) -> Config {
        Config { compression: self.compression, ..config(Some(name)) }
    }

    pub(crate) fn registration(&self) -> &Registration {
        self.table.registration()
    }

    /// Begins every call of a batch. What is ready at once is answered in one write.
    pub(crate) fn dispatch(
        &self,
        connection: &Connection,
        batch: &Batch,
        answers: &mut Answers,
        cx: &mut TaskContext<'_>,
    ) {
        let mut flushed = clock::now();
        for incoming in batch.iter() {
            let now = clock::now();
            if !answers.is_empty() && now - flushed > FLUSH_AFTER {
                connection.answer_all(answers);
                flushed = now;
            }
            let answer = match self.refuse(connection, batch, incoming, now) {
                Some(error) => Answer::Ready(Err(error)),
                None => self.begin(connection, batch, incoming),
            };
            match (answer, incoming.id) {
                (Answer::Ready(answer), Some(id)) => answers.push((id, answer)),
                (Answer::Later, _) => {}
                (answer, id) => {
                    if let Some(answer) = go_on(connection, answer, incoming, cx) {
                        answers.extend(id.map(|id| (id, answer)));
                    }
                }
            }
        }
        if !answers.is_empty() {
            connection.answer_all(answers);
        }
    }

    /// Why a call is not started although it arrived: it waited too long behind others.
    fn refuse(
        &self,
        connection: &Connection,
        batch: &Batch,
        incoming: &Incoming,
        now: Time,
    ) -> Option<Error> {
        let late = incoming.deadline() <= now;
        let unwanted = || {
            let id = incoming.id.filter(|_| batch.len() > 1);
            id.is_some_and(|id| !connection.is_wanted(id))
        };
        (late || unwanted()).then(|| not_started(incoming.deadline()))
    }

    fn begin(&self, connection: &Connection, batch: &Batch, incoming: &Incoming) -> Answer {
        match self.table.resolve(batch.method(incoming), incoming.items_in, incoming.items_out) {
            Err(error) => Answer::Ready(Err(error)),
            Ok(Target::Ping) => Answer::Ready(Ok(Encoded::NONE)),
            Ok(Target::Methods) => Answer::Ready(Encoded::of(self.registration())),
            Ok(Target::Method(at)) => {
                let arrival =
                    Arrival::new(connection, batch, incoming, &self.registration().methods[at]);
                let call = AssertUnwindSafe(|| {
                    handle(incoming.inherited(), place(connection, incoming.id), || {
                        match trace::tracer() {
                            None => self.handlers[at].call(&arrival),
                            Some(tracer) => trace::serve(&**tracer, &arrival, || {
                                self.handlers[at].call(&arrival)
                            }),
                        }
                    })
                });
                catch_unwind(call).unwrap_or_else(|panic| Answer::Ready(Err(panicked(&*panic))))
            }
        }
    }
}

/// Follows an answer that is not there yet. A future gets one poll here: most are ready at once and need no task.
fn go_on(
    connection: &Connection,
    answer: Answer,
    incoming: &Incoming,
    cx: &mut TaskContext<'_>,
) -> Option<Result<Encoded, Error>> {
    let (id, deadline, start_by) = (incoming.id, incoming.inherited(), incoming.deadline());
    match answer {
        Answer::Ready(answer) => return Some(answer),
        Answer::Later => {}
        Answer::Future(mut future) => {
            if let Poll::Ready(answer) =
                poll_guarded(future.as_mut(), deadline, place(connection, id), cx)
            {
                return Some(answer);
            }
            let connection = connection.clone();
            tokio::spawn(async move {
                let answer = poll_fn(|cx| {
                    // A call that is no longer wanted drops its handler here.
                    if let Some(id) = id
                        && connection.poll_cancelled(id, cx.waker()).is_ready()
                    {
                        return Poll::Ready(Err(given_up()));
                    }
                    poll_guarded(future.as_mut(), deadline, place(&connection, id), cx)
                })
                .await;
                drop(future);
                send(&connection, id, answer);
            });
        }
        Answer::Blocking(work) => {
            let connection = connection.clone();
            tokio::task::spawn_blocking(move || {
                // The wait for a thread counts too. The clock is asked as well: whoever reads the connection may be late to note that time is up.
                let unwanted = || id.is_some_and(|id| !connection.is_wanted(id));
                let answer = match start_by <= clock::now() || unwanted() {
                    true => Err(not_started(start_by)),
                    false => catch_unwind(AssertUnwindSafe(|| {
                        with_place(deadline, place(&connection, id), work)
                    }))
                    .unwrap_or_else(|panic| Err(panicked(&*panic))),
                };
                send(&connection, id, answer);
            });
        }
        Answer::Stream(stream) => {
            let id = id?;
            tokio::spawn(send_stream(connection.clone(), id, deadline, stream));
        }
    }
    None
}

/// Runs a handler, or one poll of it, which may take its time.
fn handle<R>(deadline: Time, place: Option<Place>, f: impl FnOnce() -> R) -> R {
    clock::outside_turn(|| with_place(deadline, place, f))
}

/// A call that was given up while its handler ran. When its deadline was the reason, the session says so.
fn given_up() -> Error {
    let message = "the caller gave the call up before the handler was done";
    Error::new(ErrorCode::Cancelled, message).with_executed(Executed::Yes)
}

/// A call that was given up before its handler could start.
fn not_started(deadline: Time) -> Error {
    let (code, message) = if deadline <= clock::now() {
        (ErrorCode::DeadlineExceeded, "the deadline passed before the handler started")
    } else {
        (ErrorCode::Cancelled, "cancelled before the handler started")
    };
    Error::new(code, message).with_executed(Executed::No)
}

fn send(connection: &Connection, id: Option<CallId>, answer: Result<Encoded, Error>) {
    match (id, answer) {
        (Some(id), Ok(value)) => connection.reply(id, value),
        (Some(id), Err(error)) => connection.fail(id, &error),
        (None, _) => {}
    }
}

async fn send_stream(
    connection: Connection,
    id: CallId,
    deadline: Time,
    mut stream: Pin<Box<dyn FutureStream<Item = Result<Encoded, Error>> + Send>>,
) {
    loop {
        let item = poll_fn(|cx| {
            if connection.poll_cancelled(id, cx.waker()).is_ready() {
                return Poll::Ready(Some(Err(given_up())));
            }
            let poll = AssertUnwindSafe(|| {
                let place = place(&connection, Some(id));
                handle(deadline, place, || stream.as_mut().poll_next(cx))
            });
            catch_unwind(poll).unwrap_or_else(|panic| Poll::Ready(Some(Err(panicked(&*panic)))))
        })
        .await;
        match item {
            Some(Ok(item)) => {
                let sent = poll_fn(|cx| {
                    if connection.poll_cancelled(id, cx.waker()).is_ready() {
                        return Poll::Ready(Err(procall_proto::Blocked::Over));
                    }
                    connection.poll_item_out(id, item.encoding, &item.bytes, cx.waker())
                });
                if sent.await.is_err() {
                    // The caller is gone or gave up: the handler's stream ends here, and so does the call.
                    drop(stream);
                    return connection.fail(id, &given_up());
                }
            }
            Some(Err(error)) => {
                drop(stream);
                return connection.fail(id, &error);
            }
            None => return connection.end_items_out(id),
        }
    }
}

fn poll_guarded(
    future: Pin<&mut (dyn Future<Output = Result<Encoded, Error>> + Send)>,
    deadline: Time,
    place: Option<Place>,
    cx: &mut TaskContext<'_>,
) -> Poll<Result<Encoded, Error>> {
    catch_unwind(AssertUnwindSafe(|| handle(deadline, place, || future.poll(cx))))
        .unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
}

/// Where a call is served whose handler may make others; a notification waits for nothing.
fn place(connection: &Connection, id: Option<CallId>) -> Option<Place> {
    id.map(|id| Place::new(connection.clone(), id))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the handler panicked");
    Error::handler("panic", message)
}
