//! Serving without handlers.

use std::sync::Arc;

use procall_proto::Config;
use procall_transport::Link;

use super::task;
use crate::connection::{Batch, Connection, Serves, Side};
use crate::error::Error;

/// Serves calls as they come: without a table of methods, and with nothing decoded. Routers are made of it.
///
/// Its methods run on the task that reads the link, so they must not block, and what they give connections to send leaves when they are done.
/// They run at one moment, that at which the calls were read ([`now`](crate::now)): the deadlines of the calls that they start count from it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), procall::Error> {
/// use std::sync::Arc;
///
/// use procall::transport::{LinkOptions, mem};
/// use procall::{Batch, Client, Config, Connection, Encoded, RawService, Side};
///
/// struct Echo;
/// impl RawService for Echo {
///     fn calls(&self, connection: &Connection, batch: &Batch) {
///         for call in batch.iter() {
///             let value = Encoded::new(call.encoding, batch.body(call).to_vec());
///             call.id.into_iter().for_each(|id| connection.reply(id, value.clone()));
///         }
///     }
/// }
///
/// let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
/// procall::serve_raw(Box::new(theirs), Side::Acceptor, Config::default(), Arc::new(Echo))?;
/// let client = Client::over(Box::new(ours)).await?;
/// assert_eq!(client.call::<(i64, i64)>("whatever", (1, 2)).await?, (1, 2));
/// # Ok(()) }
/// ```
pub trait RawService: Send + Sync + 'static {
    /// Calls and notifications of the peer's that arrived together. Each call must be answered once, now or later.
    fn calls(&self, connection: &Connection, batch: &Batch);

    /// The peer has something to register: take it with [`Connection::take_registration`], answer with [`Connection::answer_registration`]. By
    /// default what is well-formed stands.
    fn registers(&self, connection: &Connection) {
        if let Some((id, registration)) = connection.take_registration() {
            connection.answer_registration(id, registration.map(Arc::new));
        }
    }

    /// Something that is not a call has changed: the handshake is done, the peer goes away or is suspected, or the connection is over, which
    /// is told last.
    fn changed(&self, _connection: &Connection) {}
}

/// Serves one link on the current runtime, in the background. The connection may also be called on.
///
/// # Errors
///
/// INTERNAL when the process has no descriptor left for it.
pub fn serve_raw(
    link: Box<dyn Link>,
    side: Side,
    config: Config,
    service: Arc<dyn RawService>,
) -> Result<Connection, Error> {
    let connection = Connection::for_task(link, side, config, Serves::Raw)?;
    task::drive(&connection, task::Server::Raw(service))?;
    Ok(connection)
}

/// One turn of a raw service with what has arrived.
pub(super) fn serve(service: &dyn RawService, connection: &Connection, batch: &mut Batch) {
    loop {
        let (asks, called) = connection.take_news(batch);
        if asks {
            service.registers(connection);
        }
        if !called {
            return;
        }
        service.calls(connection, batch);
        batch.clear();
    }
}
