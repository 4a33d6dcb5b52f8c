//! A service that an engine routes calls to.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use procall_proto::Config;

use crate::attachment::Attachment;
use crate::connection::{Connection, Serves, Side};
use crate::driver;
use crate::error::Error;
use crate::registration::Registration;
use crate::server::drain;
use crate::service::Dispatcher;
use crate::tls::TlsFiles;

/// A service that an engine routes calls to: it connects, registers, and does so again whenever the engine went away and is back.
pub(crate) struct Attached {
    place: Attachment,
    connection: Connection,
    dispatcher: Arc<Dispatcher>,
    /// What every new connection registers at first.
    first: Arc<Registration>,
}

impl Attached {
    /// Registers with the engine at an address or under a name; the worker would be called `name`, and recognised by `id`.
    ///
    /// # Errors
    ///
    /// Those of [`Attachment::poll_connection`].
    pub(crate) async fn start(
        engine: &str,
        (name, id): (String, String),
        token: Option<Vec<u8>>,
        tls: TlsFiles,
        dispatcher: Arc<Dispatcher>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let (registration, serves) = (dispatcher.registration(), dispatcher.clone());
        let runtime = tokio::runtime::Handle::current();
        let config = Config { token, id, ..dispatcher.config(&name) };
        let connect = move |link, config| {
            let _runtime = runtime.enter();
            let connection = Connection::for_task(link, Side::Initiator, config, Serves::Inbox)?;
            driver::drive(&connection, driver::Server::Handlers(serves.clone()))?;
            Ok(connection)
        };
        let place = Attachment::begin_secured(
            engine,
            tls,
            patience,
            registration.clone(),
            config,
            Box::new(connect),
        )?;
        let connection = poll_fn(|cx| place.poll_connection(cx.waker())).await?;
        dispatcher.tell(&connection);
        Ok(Self { place, connection, dispatcher, first: registration })
    }

    pub(crate) fn engine(&self) -> &str {
        self.place.engine()
    }

    /// Serves until `stop` resolves; then calls in flight may finish.
    ///
    /// # Errors
    ///
    /// What an engine says that does not take the service back for good.
    pub(crate) async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = poll_fn(|cx| self.place.poll_connection(cx.waker()));
            tokio::select! {
                next = next => self.take(next?),
                () = &mut stop => break,
            }
        }
        self.place.close();
        if !self.connection.is_closed() {
            drain(&self.connection).await;
        }
        Ok(())
    }
}

impl Attached {
    /// The engine was away and is back.
    fn take(&mut self, connection: Connection) {
        self.dispatcher.tell(&connection);
        let registration = self.dispatcher.registration();
        if !Arc::ptr_eq(&registration, &self.first) {
            // What is offered has changed since. Without a connection there will be another one.
            let _ = connection.register_anew(&registration);
        }
        self.connection = connection;
    }
}

impl Drop for Attached {
    /// Whoever stops waiting for its end wants it to end.
    fn drop(&mut self) {
        self.connection.close();
    }
}
