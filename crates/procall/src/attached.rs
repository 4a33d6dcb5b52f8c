//! A service that an engine routes calls to.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use procall_proto::{Config, ErrorCode};
use procall_transport::Link;

use crate::client::config;
use crate::connection::{Connection, Serves, Side};
use crate::driver;
use crate::error::Error;
use crate::finder::Finder;
use crate::pauses::Pauses;
use crate::server::drain;
use crate::service::Dispatcher;
use crate::surroundings;

/// How long one look for the engine goes on before the pauses grow.
const LOOK: Duration = Duration::from_secs(1);
/// How long an engine that accepts may take to greet and to answer a registration.
const GREETING: Duration = Duration::from_secs(5);

/// A service that an engine routes calls to: it connects, registers, and does so again whenever the engine went away and is back.
pub(crate) struct Attached {
    engine: String,
    /// What to show to it; without one, what the environment says.
    token: Option<Vec<u8>>,
    dispatcher: Arc<Dispatcher>,
    connection: Connection,
}

impl Attached {
    /// Registers with the engine at an address or under a name.
    ///
    /// # Errors
    ///
    /// NO_WORKER when no engine is there, what the engine says when it refuses the registration.
    pub(crate) async fn start(
        engine: String,
        token: Option<Vec<u8>>,
        dispatcher: Arc<Dispatcher>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let connection = attach(&engine, token.as_deref(), &dispatcher, patience).await?;
        Ok(Self { engine, token, dispatcher, connection })
    }

    pub(crate) fn engine(&self) -> &str {
        &self.engine
    }

    /// Serves until `stop` resolves; then calls in flight may finish.
    ///
    /// # Errors
    ///
    /// What an engine says that does not take the service back for good.
    pub(crate) async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let mut stop = std::pin::pin!(stop);
        loop {
            let closed = poll_fn(|cx| self.connection.poll_closed(cx.waker()));
            tokio::select! {
                _ = closed => {}
                () = &mut stop => {
                    drain(&self.connection).await;
                    return Ok(());
                }
            }
            tokio::select! {
                connection = self.again() => self.connection = connection?,
                () = &mut stop => return Ok(()),
            }
        }
    }

    /// Registers anew as soon as the engine is back.
    async fn again(&self) -> Result<Connection, Error> {
        let mut pauses = Pauses::default();
        loop {
            tokio::time::sleep(pauses.next()).await;
            match attach(&self.engine, self.token.as_deref(), &self.dispatcher, LOOK).await {
                Ok(connection) => return Ok(connection),
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Attached {
    /// Whoever stops waiting for its end wants it to end.
    fn drop(&mut self) {
        self.connection.close();
    }
}

/// Whether no patience helps. That a name is taken may be this very service's own ghost.
fn is_final(error: &Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::InvalidArgument
            | ErrorCode::PermissionDenied
            | ErrorCode::Unauthenticated
            | ErrorCode::VersionMismatch
    )
}

async fn attach(
    engine: &str,
    token: Option<&[u8]>,
    dispatcher: &Arc<Dispatcher>,
    patience: Duration,
) -> Result<Connection, Error> {
    // Before anything is looked for: a token that cannot be read is no reason to wait.
    let token = match token {
        Some(token) => Some(token.to_vec()),
        None => surroundings::engine_token()?,
    };
    let link = find(engine, patience).await?;
    let name = dispatcher.registration().name.clone();
    let config = Config { token, ..config(Some(&name)) };
    let connection = Connection::for_task(link, Side::Initiator, config, Serves::Inbox)?;
    driver::drive(&connection, driver::Server::Handlers(dispatcher.clone()))?;
    let greeted = async {
        poll_fn(|cx| connection.poll_ready(cx.waker())).await?;
        connection.register(dispatcher.registration())?;
        poll_fn(|cx| connection.poll_registered(cx.waker())).await
    };
    let answered = tokio::time::timeout(GREETING, greeted).await;
    match answered {
        Ok(Ok(())) => Ok(connection),
        Ok(Err(error)) => {
            connection.close();
            Err(error)
        }
        Err(_) => {
            connection.close();
            Err(Error::new(
                ErrorCode::Unavailable,
                format!("the engine at {engine} does not answer"),
            ))
        }
    }
}

async fn find(engine: &str, patience: Duration) -> Result<Box<dyn Link>, Error> {
    let mut finder = Finder::new(engine, patience);
    loop {
        if let Some(link) = finder.try_open()? {
            return Ok(link);
        }
        tokio::time::sleep(finder.pause()).await;
    }
}
