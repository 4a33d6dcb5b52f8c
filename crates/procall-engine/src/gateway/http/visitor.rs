//! Whoever has connected over HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use procall::{Batch, Connection, Encoded, Error, ErrorCode, Pending, RawService, Request, Shape};
use tokio::sync::OwnedSemaphorePermit;

use super::settings::HttpSettings;
use crate::core::Core;
use crate::facts::{Facts, Speaks};
use crate::gateway::Host;
use crate::tokens::Pass;

/// Whoever has connected over HTTP: one peer of the engine, from the first call on.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) core: Arc<Core>,
    pub(super) settings: Arc<HttpSettings>,
    pub(super) remote: SocketAddr,
    /// The address that was connected to.
    pub(super) local: SocketAddr,
    native: Mutex<Option<Connection>>,
    /// One of the connections that there may be.
    _place: OwnedSemaphorePermit,
}

impl Visitor {
    pub(super) fn new(
        core: Arc<Core>,
        settings: Arc<HttpSettings>,
        (remote, local): (SocketAddr, SocketAddr),
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { core, settings, remote, local, native: Mutex::default(), _place: place }
    }

    pub(super) fn facts(&self, speaks: Speaks, pass: Option<Pass>) -> Facts {
        Facts {
            speaks,
            address: self.remote.to_string(),
            credentials: None,
            hears_broadcasts: false,
            pass,
        }
    }

    /// What requests may do. Where the engine has tokens of its own, none of them comes by HTTP, so that nobody gets in here.
    fn pass(&self) -> Result<Pass, Error> {
        self.core.authenticate(None, None)
    }

    fn native(&self) -> Result<Connection, Error> {
        let mut native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = native.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = self
            .core
            .attach(self.facts(Speaks::Http, Some(self.pass()?)), Arc::new(ServesNothing))?;
        *native = Some(connection.clone());
        Ok(connection)
    }

    /// Starts a call.
    pub(super) fn start(&self, request: Request<'_>) -> Result<Pending, Error> {
        self.native()?.start(request)
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        let native = self.native()?;
        // Until the handshake is done it would only be queued, and lost if this is the last request.
        std::future::poll_fn(|cx| native.poll_ready(cx.waker())).await?;
        native.notify(request)
    }

    /// Which streams a method has; that of one that is not known says nothing, and its call will tell why.
    pub(super) fn shape(&self, method: &str) -> Shape {
        self.core.with(|state| state.shape(method)).unwrap_or_default()
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let native = self.native.get_mut().unwrap_or_else(PoisonError::into_inner);
        native.iter().for_each(Connection::close);
    }
}

/// Nobody can call somebody who speaks HTTP; what is sent to him without an answer is dropped.
struct ServesNothing;

impl RawService for ServesNothing {
    fn calls(&self, connection: &Connection, batch: &Batch) {
        let error = Error::new(ErrorCode::NotFound, "a peer that speaks HTTP serves nothing");
        let mut answers: Vec<(_, Result<Encoded, Error>)> =
            batch.iter().filter_map(|call| call.id).map(|id| (id, Err(error.clone()))).collect();
        connection.answer_all(&mut answers);
    }
}
