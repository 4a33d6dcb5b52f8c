//! Tasks that drive connections.

use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use procall_transport::shm::Look;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use super::raw::{self, RawService};
use super::readiness::Readiness;
use crate::clock;
use crate::connection::{Batch, Before, Connection, Facts, Hub, Outlook, coalesce_turn};
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
    let watch = Watch::new(connection).map_err(|error| {
        Error::new(ErrorCode::Internal, "the connection cannot be watched by this runtime")
            .with_source(error)
    })?;
    let task = LinkTask {
        connection: connection.clone(),
        watch,
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
    watch: Watch,
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
        clock::turn(|| self.poll_turns(cx))
    }
}

impl LinkTask {
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.driven_by(cx.waker());
        if self.watch.looks_on(&self.connection, cx) {
            return Poll::Pending;
        }
        let mut pieces = 0;
        loop {
            if self.turn(cx).is_err() {
                // The runtime is shutting down: nothing will be read any more.
                self.connection.close();
                self.watch.unread = false;
            }
            if self.watch.unread {
                pieces += 1;
                if pieces < PIECES {
                    continue;
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let outlook = self.connection.outlook();
            self.tell(outlook.facts);
            if outlook.facts.over {
                return Poll::Ready(());
            }
            // Whatever is read from here on wakes this task, and so does whoever wants it back earlier.
            if self.timer.poll_due(outlook.due, cx) {
                self.connection.turn();
                self.watch.unread = self.watch.bell.is_some();
            } else if !self.watch.follow(&self.connection, outlook, cx) {
                return Poll::Pending;
            }
        }
    }

    /// Reads what there is and serves it. An error when nothing is watched any more.
    fn turn(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        let Self { connection, watch, server, batch, answers, .. } = self;
        match server {
            Server::Nobody => watch.poll_read(cx, connection),
            Server::Handlers(dispatcher) => {
                let read = watch.poll_read(cx, connection);
                while connection.take_calls(batch) {
                    dispatcher.dispatch(connection, batch, answers, cx);
                    batch.clear();
                }
                read
            }
            // Whatever goes on to other connections in this turn leaves with one write each, or with what others have for them.
            Server::Raw(service) => coalesce_turn(|| {
                let read = watch.poll_read(cx, connection);
                raw::serve(&**service, connection, batch);
                read
            }),
        }
    }

    fn tell(&mut self, facts: Facts) {
        if let Server::Raw(service) = &self.server
            && self.facts != Some(facts)
        {
            self.facts = Some(facts);
            service.changed(&self.connection);
        }
    }
}

/// Pieces of what has arrived that are read and served before others of the runtime get their turn.
const PIECES: u32 = 64;

/// What a task waits on for a connection.
struct Watch {
    news: Readiness,
    /// Whether that is the link's socket, which does not tell of room to send.
    is_socket: bool,
    /// Only while bytes are unsent for want of room.
    room: Option<Readiness>,
    /// Nobody has read since the watch began.
    fresh: bool,
    /// In shared memory, what the other side rings: the socket then tells nothing but its end.
    bell: Option<Readiness>,
    /// There is something to read that nobody will tell of again.
    unread: bool,
    /// A look is under way.
    looking: Option<Looking>,
}

impl Watch {
    fn new(connection: &Connection) -> std::io::Result<Self> {
        let socket = connection.with_edges(|socket| socket.map(Readiness::of_socket));
        let is_socket = socket.is_some();
        let news = socket.unwrap_or_else(|| Readiness::new(connection.readiness()))?;
        Ok(Self {
            news,
            is_socket,
            room: None,
            fresh: is_socket,
            bell: None,
            unread: false,
            looking: None,
        })
    }

    /// Reads what there is. The task is woken when more comes, whatever this gives.
    fn poll_read(&mut self, cx: &mut Context<'_>, connection: &Connection) -> std::io::Result<()> {
        if let Some(bell) = &self.bell {
            let told = self.news.poll_edge(cx)?;
            let rung = bell.poll_edge(cx)?;
            if told || rung || self.unread {
                self.unread = connection.turn_in_memory(told);
            }
            // The last that goes over the socket may still wait for room there.
            return match self.room.as_ref().map(|room| room.poll_read(cx, || connection.turn())) {
                Some(Poll::Ready(Err(error))) => Err(error),
                _ => Ok(()),
            };
        }
        if std::mem::take(&mut self.fresh) {
            // What the link remembers of its last read, that there was no more, is older than the watch: after one `None` it looks itself.
            connection.turn();
            connection.turn();
        }
        for readiness in [Some(&self.news), self.room.as_ref()].into_iter().flatten() {
            if let Poll::Ready(Err(error)) = readiness.poll_read(cx, || connection.turn()) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Goes by what the connection wants watched. True when the task is to go on, because of a new watch or of what is there already.
    fn follow(&mut self, connection: &Connection, outlook: Outlook, cx: &mut Context<'_>) -> bool {
        if let Some(bell) = outlook.bell.filter(|_| self.is_socket) {
            return self.hear(connection, bell);
        }
        match outlook.before {
            Before::Read => {
                self.unread = true;
                return true;
            }
            Before::Look(look, time) => {
                self.looking = Some(Looking { look, until: Instant::now() + time });
                return !self.looks_on(connection, cx);
            }
            Before::Sleep => {}
        }
        let wanted = self.is_socket && outlook.wants_room;
        if wanted == self.room.is_some() {
            return false;
        }
        self.room = wanted.then(|| Readiness::new(connection.readiness()).ok()).flatten();
        if wanted && self.room.is_none() {
            // Out of descriptors: what is unsent would wait for ever.
            connection.close();
        }
        wanted
    }
}

impl Watch {
    /// Listens for the bell as well: the link has moved to shared memory. True: it has yet to be polled.
    fn hear(&mut self, connection: &Connection, bell: Arc<OwnedFd>) -> bool {
        let heard = Readiness::of_bell(bell).and_then(|bell| {
            connection.bell_is_heard()?;
            Ok(bell)
        });
        match heard {
            Ok(bell) => (self.bell, self.unread) = (Some(bell), true),
            // Nobody would hear of what comes from now on.
            Err(_) => connection.close(),
        }
        true
    }

    /// Looks on for a moment, if it looks. True: there is nothing yet, others of the runtime are to have their turn, and the task is woken
    /// to look again. False: there is something to read, or enough was looked.
    fn looks_on(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
        let Some(Looking { look, until }) = &mut self.looking else { return false };
        let found = look.glance();
        if !found && Instant::now() < *until {
            // A task that woke itself would come before what `block_on` waits for, many times over, and have another thread come and help.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
            return true;
        }
        self.looking = None;
        connection.has_looked(found);
        self.unread |= found;
        false
    }
}

/// A look at shared memory before a sleep.
struct Looking {
    look: Look,
    /// When it is over.
    until: Instant,
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
        // However old that is: should it fire meanwhile, the runtime, which knows this task since it was set, has it polled again.
        if self.set_for.is_some_and(|set| set <= due && clock::recent() < set) {
            return false;
        }
        let now = clock::look();
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
