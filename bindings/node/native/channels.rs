//! What calls are made on: connections that this side opened, and pools.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use napi_derive::napi;
use procall::transport::Link;
use procall::{Connection, Error, ErrorCode, Hub, Side};
use procall_pool::Pool;

use crate::calls::Operation;
use crate::figures::Metrics;
use crate::state::{self, Kind, token};

/// What calls are made on.
pub(crate) struct Channel {
    pub(crate) calls: Arc<dyn procall::Channel>,
    /// The same once more, when it is a pool.
    pub(crate) pool: Option<Pool>,
}

/// A connection on its way: first the link, then the greeting, which the session gives 5 s.
pub(crate) struct Opening {
    stage: Stage,
    waker: Waker,
}

enum Stage {
    Linking(Arc<Mutex<Option<Linked>>>),
    Greeting(Connection),
}

type Linked = Result<Box<dyn Link>, Error>;

impl Opening {
    pub(crate) fn look(&mut self, hub: &Hub) -> Poll<Result<Channel, Error>> {
        if let Stage::Linking(linked) = &self.stage {
            let Some(linked) = linked.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                return Poll::Pending;
            };
            let connection = match linked {
                Ok(link) => Connection::new(link, Side::Initiator, state::config()),
                Err(error) => return Poll::Ready(Err(error)),
            };
            if let Err(error) = hub.attach(&connection) {
                return Poll::Ready(Err(error));
            }
            self.stage = Stage::Greeting(connection);
        }
        match &self.stage {
            Stage::Greeting(connection) => connection
                .poll_ready(&self.waker)
                .map_ok(|()| Channel { calls: Arc::new(connection.clone()), pool: None }),
            Stage::Linking(_) => Poll::Pending,
        }
    }
}

/// Connects to a service by name or address; the event `DONE` brings the channel's number.
///
/// Unix sockets answer at once, but TCP may take seconds, which a thread of its own waits for.
#[napi]
pub(crate) fn connect(id: u32, target: String) -> napi::Result<()> {
    state::with(|state| {
        let waker = state.hub.waker(token(Kind::Operation, id as usize));
        let linked = Arc::new(Mutex::new(None));
        let stage = Stage::Linking(linked.clone());
        if target.starts_with("tcp:") {
            let waker = waker.clone();
            let thread =
                std::thread::Builder::new().name("procall-connect".to_owned()).spawn(move || {
                    let link = procall::open(&target);
                    *linked.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
                    waker.wake();
                });
            if let Err(error) = thread {
                let error = Error::new(ErrorCode::Internal, "no thread can be started to connect")
                    .with_source(error);
                state.begin(id as usize, Operation::Over(Err(error)));
                return Ok(());
            }
        } else {
            *linked.lock().unwrap_or_else(PoisonError::into_inner) = Some(procall::open(&target));
            state.woken.push_back(token(Kind::Operation, id as usize));
        }
        state.begin(id as usize, Operation::Opening(Opening { stage, waker }));
        Ok(())
    })
}

/// Closes a channel: its calls end with CLOSED. What was counted of them, unless that was told before.
#[napi]
pub(crate) fn close(channel: u32) -> napi::Result<Option<Metrics>> {
    state::with(|state| {
        let channel = state.channels.try_remove(channel as usize);
        Ok(channel.map(|channel| {
            channel.calls.close();
            channel.calls.metrics().into()
        }))
    })
}
