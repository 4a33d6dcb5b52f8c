//! Where calls come from: the channel to a pool, or the clients of a listening service.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use procall::surroundings::Lifeline;
use procall::{Attachment, Batch, Connection, Error, Hub, Interrupt, Listener, Registration, Side};
use slab::Slab;

use crate::client::{compressed, config};

/// Clients at once; further ones wait in the kernel's queue until one leaves.
const MAX_CLIENTS: usize = 1024;
/// How long calls in flight may take once the service is told to end.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a worker may go on without its pool: to run its exit handlers, not to finish work that nobody will take.
const ORPHAN: Duration = Duration::from_secs(1);
/// How often a wait looks whether it was told to end: a signal that arrives just before the wait does not end it.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Numbers of the hub: even ones are peers, odd ones are streams.
const STEP: u64 = 2;
/// The number of no peer: waking it only ends a wait.
const NOBODY: u64 = u64::MAX - 3;
/// The number of the place with an engine: there is another connection to it.
const ENGINE: u64 = u64::MAX - 5;

pub(super) struct Peer {
    pub(super) connection: Connection,
    pub(super) batch: Batch,
    drained: bool,
}

pub(super) struct Source {
    hub: Hub,
    listener: Option<Listener>,
    /// As connections of those who come are to be, unless the environment is to say it.
    compression: Option<bool>,
    /// The place with an engine, which may go and come back.
    attachment: Option<Attachment>,
    /// Why the engine takes this service no more.
    pub(super) failure: Option<Error>,
    registration: Registration,
    pub(super) peers: Slab<Peer>,
    /// Peers that may have calls.
    look_at: VecDeque<usize>,
    /// Streams whose reader has room again.
    pub(super) writable: Vec<usize>,
    full: bool,
    /// Somebody wants this to end.
    stop: Arc<AtomicBool>,
    draining: Option<Instant>,
}

/// Ends a service.
pub(super) struct Stopper {
    hub: Hub,
    stop: Arc<AtomicBool>,
}

impl Stopper {
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.hub.waker(NOBODY).wake();
    }
}

/// What a look around has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A peer whose batch has calls.
    Calls(usize),
    /// Something else happened, such as room in a stream; or a signal.
    Else,
    /// Nothing.
    Nothing,
    /// No peer will ever call again.
    Over,
}

impl Source {
    /// The channel to the pool that started this process.
    pub(super) fn worker(
        connection: Connection,
        lifeline: Lifeline,
        registration: Registration,
    ) -> Result<Self, Error> {
        lifeline.watch(ORPHAN)?;
        Self::over(connection, registration)
    }

    /// One connection, and no others.
    pub(super) fn over(connection: Connection, registration: Registration) -> Result<Self, Error> {
        let mut source = Self::new(None, registration)?;
        source.add(connection)?;
        Ok(source)
    }

    pub(super) fn listening(
        listener: Listener,
        registration: Registration,
        compression: Option<bool>,
    ) -> Result<Self, Error> {
        let source = Self::new(None, registration)?;
        source.hub.watch(std::os::fd::AsFd::as_fd(&listener))?;
        Ok(Self { listener: Some(listener), compression, ..source })
    }

    /// Connections to an engine, of which the first is there.
    pub(super) fn attached(
        attachment: Attachment,
        first: Connection,
        registration: Registration,
    ) -> Result<Self, Error> {
        let mut source = Self::new(None, registration)?;
        source.join(first)?;
        source.attachment = Some(attachment);
        source.rejoin();
        Ok(source)
    }

    fn new(listener: Option<Listener>, registration: Registration) -> Result<Self, Error> {
        Ok(Self {
            hub: Hub::new()?,
            listener,
            compression: None,
            attachment: None,
            failure: None,
            registration,
            peers: Slab::new(),
            look_at: VecDeque::new(),
            writable: Vec::new(),
            full: false,
            stop: Arc::default(),
            draining: None,
        })
    }

    /// For the event loop that watches this source.
    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// A handle that ends the service from any thread.
    pub(super) fn stopper(&self) -> Stopper {
        Stopper { hub: self.hub.clone(), stop: self.stop.clone() }
    }

    fn add(&mut self, connection: Connection) -> Result<(), Error> {
        // A registration that does not fit is a defect of the service, found when it was described.
        connection.register(&self.registration)?;
        self.join(connection)
    }

    /// Takes the connections that were made to the engine.
    fn rejoin(&mut self) {
        let waker = self.hub.waker(ENGINE);
        while let Some(attachment) = &self.attachment {
            match attachment.poll_connection(&waker) {
                std::task::Poll::Pending => return,
                std::task::Poll::Ready(connection) => {
                    if let Err(error) = connection.and_then(|connection| self.join(connection)) {
                        self.failure = Some(error);
                        self.attachment = None;
                    }
                }
            }
        }
    }

    /// Serves a connection that is registered.
    fn join(&mut self, connection: Connection) -> Result<(), Error> {
        self.hub.attach(&connection)?;
        let key = self.peers.insert(Peer { connection, batch: Batch::new(), drained: false });
        self.look_at.push_back(key);
        Ok(())
    }

    /// The waker's number for a stream.
    pub(super) fn stream_waker(&self, stream: usize) -> std::task::Waker {
        self.hub.waker(stream as u64 * STEP + 1)
    }

    /// Waits until there is something to do.
    pub(super) fn wait(&mut self, streaming: bool, interrupt: Interrupt<'_>) -> Found {
        // One peer and nothing else to watch: its link is all there is to wait for.
        let stopping = self.stop.load(Ordering::Relaxed);
        let alone = self.listener.is_none() && self.attachment.is_none();
        if !streaming && !stopping && alone && self.peers.len() == 1 {
            return self.wait_alone(interrupt);
        }
        loop {
            match self.here() {
                Found::Nothing => {}
                found => return found,
            }
            let timeout = match self.draining {
                Some(since) => (since + DRAIN).saturating_duration_since(Instant::now()),
                None => LOOK_UP,
            }
            .min(LOOK_UP);
            if !matches!(self.hub.wait(Some(timeout)), Ok(true)) {
                // If the signal's handler raised, whoever called us is told.
                let _ = interrupt();
                return Found::Else;
            }
            self.turn();
        }
    }

    fn wait_alone(&mut self, interrupt: Interrupt<'_>) -> Found {
        let mut interrupted = false;
        let Some((key, peer)) = self.peers.iter_mut().next() else { return Found::Over };
        // The waker that this wait leaves behind is the thread's; the hub must ask again.
        if self.look_at.is_empty() {
            self.look_at.push_back(key);
        }
        let waited = peer.connection.wait_calls(&mut peer.batch, None, &mut || {
            interrupted = true;
            // Whatever the signal's handler did, the loop looks at it.
            let _ = interrupt();
            true
        });
        match waited {
            Ok(true) => Found::Calls(key),
            Ok(false) => Found::Else,
            Err(_) if interrupted => Found::Else,
            Err(_) => Found::Over,
        }
    }

    /// Takes what is there without waiting.
    pub(super) fn look(&mut self) -> Found {
        match self.here() {
            Found::Nothing => {}
            found => return found,
        }
        self.turn();
        self.here()
    }

    /// What earlier turns have brought.
    fn here(&mut self) -> Found {
        if self.stop.load(Ordering::Relaxed) {
            self.drain("the service is stopping");
        }
        if let Some(found) = self.next_calls() {
            return found;
        }
        if !self.writable.is_empty() {
            return Found::Else;
        }
        if self.is_over() { Found::Over } else { Found::Nothing }
    }

    fn turn(&mut self) {
        for number in self.hub.turn() {
            let key = (number / STEP) as usize;
            if number == ENGINE {
                self.rejoin();
            } else if number % STEP == 1 {
                self.writable.push(key);
            } else {
                self.look_at.push_back(key);
            }
        }
        if self.hub.foreign_ready() || self.full {
            self.accept();
        }
    }

    fn accept(&mut self) {
        while let Some(listener) = &self.listener {
            self.full = self.peers.len() >= MAX_CLIENTS;
            if self.full {
                return;
            }
            // A client that cannot be taken now, for want of descriptors, waits in the queue.
            let Ok(Some(link)) = listener.accept() else { return };
            let config = compressed(config(&self.registration.name), self.compression);
            let connection = Connection::serving(link, Side::Acceptor, config);
            // Without descriptors for it, the client sees the end of file and can try again.
            let _ = self.add(connection);
        }
    }

    /// The next peer that has calls. A peer that has none is asked to wake us; one that is gone is forgotten.
    fn next_calls(&mut self) -> Option<Found> {
        while let Some(key) = self.look_at.pop_front() {
            let waker = self.hub.waker(key as u64 * STEP);
            let Some(peer) = self.peers.get_mut(key) else { continue };
            match peer.connection.poll_calls(&mut peer.batch, &waker) {
                std::task::Poll::Ready(Ok(())) => {
                    self.look_at.push_back(key);
                    return Some(Found::Calls(key));
                }
                std::task::Poll::Ready(Err(_)) => {
                    self.peers.remove(key);
                }
                std::task::Poll::Pending if self.draining.is_some() && !peer.drained => {
                    peer.drained = peer.connection.poll_drained(&waker).is_ready();
                }
                std::task::Poll::Pending => {}
            }
        }
        None
    }

    /// Takes no new clients and lets calls in flight finish.
    pub(super) fn drain(&mut self, text: &str) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(Instant::now());
        self.listener = None;
        self.attachment = None;
        for (key, peer) in &self.peers {
            peer.connection.drain(text);
            self.look_at.push_back(key);
        }
    }

    fn is_over(&self) -> bool {
        match self.draining {
            None => self.listener.is_none() && self.attachment.is_none() && self.peers.is_empty(),
            Some(since) => {
                self.peers.iter().all(|(_, peer)| peer.drained || peer.connection.is_closed())
                    || since.elapsed() >= DRAIN
            }
        }
    }

    /// Closes every connection; what was answered is sent.
    pub(super) fn close(&mut self) {
        self.listener = None;
        self.attachment = None;
        for peer in self.peers.drain() {
            peer.connection.close();
        }
    }
}
