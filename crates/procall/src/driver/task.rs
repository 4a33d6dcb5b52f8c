//! Tasks that drive connections.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;
use tokio::time::Sleep;

use super::raw::{self, RawService};
use super::readiness::Readiness;
use crate::clock;
use crate::connection::{Batch, Connection, Facts, Hub, coalesce};
use crate::error::Error;
use crate::service::Dispatcher;
use procall_proto::{ErrorCode, Time};

/// Who serves the calls of a connection's peer.
pub(crate) enum Server {
    Nobody,
    Handlers(Arc<Dispatcher>),
    Raw(Arc<dyn RawService>),
}

/// Reads a connection on the current runtime until it is over, and serves its calls.
pub(crate) fn drive(connection: &Connection, server: Server) -> Result<JoinHandle<()>, Error> {
    let readiness = Readiness::new(connection.readiness()).map_err(|error| {
        Error::new(ErrorCode::Internal, "the connection cannot be watched by this runtime")
            .with_source(error)
    })?;
    let task = LinkTask {
        connection: connection.clone(),
        readiness,
        server,
        facts: None,
        batch: Batch::new(),
        answers: Vec::new(),
        timer: Timer::default(),
    };
    Ok(tokio::spawn(task))
}

struct LinkTask {
    connection: Connection,
    readiness: Readiness,
    server: Server,
    /// What a raw service was last told of.
    facts: Option<Facts>,
    batch: Batch,
    answers: Vec<(procall_proto::CallId, Result<crate::connection::Encoded, Error>)>,
    timer: Timer,
}

impl Future for LinkTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.connection.set_driver(cx.waker());
        this.connection.flush_held();
        loop {
            let read = this.turn(cx);
            if let Poll::Ready(Err(_)) = read {
                // The runtime is shutting down: nothing will be read any more.
                this.connection.close();
            }
            this.tell();
            if this.connection.is_closed() {
                return Poll::Ready(());
            }
            let due = this.connection.driver_due();
            if this.timer.poll_due(due, cx) {
                this.connection.turn();
                this.tell();
            } else if read.is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl LinkTask {
    /// Reads what there is and serves it.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Self { connection, readiness, server, batch, answers, .. } = self;
        match server {
            Server::Nobody => readiness.poll_read(cx, || connection.turn()),
            Server::Handlers(dispatcher) => {
                let read = readiness.poll_read(cx, || connection.turn());
                while connection.take_calls(batch) {
                    dispatcher.dispatch(connection, batch, answers, cx);
                    batch.clear();
                }
                read
            }
            // Whatever goes on to other connections in this turn leaves with one write each.
            Server::Raw(service) => coalesce(|| {
                let read = readiness.poll_read(cx, || connection.turn());
                raw::serve(&**service, connection, batch);
                read
            }),
        }
    }

    fn tell(&mut self) {
        if let Server::Raw(service) = &self.server {
            let facts = self.connection.facts();
            if self.facts != Some(facts) {
                self.facts = Some(facts);
                service.changed(&self.connection);
            }
        }
    }
}

/// One timer that is moved only when something earlier is due.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    set_for: Option<Time>,
}

impl Timer {
    /// Whether `due` has come; otherwise the task is woken when it has.
    fn poll_due(&mut self, due: Time, cx: &mut Context<'_>) -> bool {
        if due == Time::NEVER {
            return false;
        }
        let now = clock::now();
        if due <= now {
            self.set_for = None;
            return true;
        }
        if self.set_for.is_none_or(|set| due < set) {
            let deadline = tokio::time::Instant::now() + (due - now);
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
            self.set_for = Some(due);
        }
        let fired = self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if fired {
            self.set_for = None;
        }
        fired
    }
}

/// Reads every connection of a hub on the current runtime, for as long as the task is not aborted.
///
/// Pools use it: their connections come and go, the hub stays.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let hub = procall::Hub::new().unwrap();
/// let task = procall::drive_hub(&hub).unwrap();
/// task.abort();
/// # }
/// ```
pub fn drive_hub(hub: &Hub) -> Result<JoinHandle<()>, Error> {
    let readiness = Readiness::new(hub.descriptor()).map_err(|error| {
        Error::new(ErrorCode::Internal, "the hub cannot be watched by this runtime")
            .with_source(error)
    })?;
    let hub = hub.clone();
    Ok(tokio::spawn(std::future::poll_fn(move |cx| {
        loop {
            let read = readiness.poll_read(cx, || {
                // Tokens belong to wakers of event loops; on a runtime, wakers wake tasks directly.
                let _ = hub.turn();
            });
            match read {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })))
}
