//! Whoever has connected over HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use procall::{Batch, Connection, Encoded, Error, ErrorCode, Pending, RawService, Request, Shape};
use tokio::sync::OwnedSemaphorePermit;

use super::settings::HttpSettings;
use crate::core::Core;
use crate::facts::{Facts, Speaks};
use crate::gateway::Host;
use crate::tokens::Pass;

/// Whoever has connected over HTTP: one peer of the engine for each token that is shown, from its first call on.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) core: Arc<Core>,
    pub(super) settings: Arc<HttpSettings>,
    pub(super) remote: SocketAddr,
    /// The address that was connected to.
    pub(super) local: SocketAddr,
    /// What the request may do that is looked at.
    pub(super) pass: Option<Pass>,
    natives: Arc<Natives>,
}

/// The native connections of a visitor, by the name of the token that was shown for each: no more than the engine has tokens, and one.
#[derive(Debug)]
struct Natives {
    by_token: Mutex<HashMap<Option<Arc<str>>, Connection>>,
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
        let natives = Arc::new(Natives { by_token: Mutex::default(), _place: place });
        Self { core, settings, remote, local, pass: None, natives }
    }

    /// The same for a request that may do this.
    pub(super) fn with(&self, pass: Option<Pass>) -> Self {
        Self { pass, ..self.clone() }
    }

    pub(super) fn facts(&self, speaks: Speaks, pass: Option<Pass>) -> Facts {
        Facts {
            speaks,
            address: self.remote.to_string(),
            credentials: None,
            hears_broadcasts: false,
            pass,
            want: None,
        }
    }

    fn native(&self) -> Result<Connection, Error> {
        let pass = match &self.pass {
            Some(pass) => pass.clone(),
            None => self.core.authenticate(None, None)?,
        };
        let mut natives = self.natives.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        let token = pass.token.clone();
        if let Some(connection) = natives.get(&token).filter(|native| !native.is_closed()) {
            return Ok(connection.clone());
        }
        let facts = self.facts(Speaks::Http, Some(pass));
        let connection = self.core.attach(facts, Arc::new(ServesNothing))?;
        natives.insert(token, connection.clone());
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

impl Drop for Natives {
    fn drop(&mut self) {
        let natives = self.by_token.get_mut().unwrap_or_else(PoisonError::into_inner);
        natives.values().for_each(Connection::close);
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
