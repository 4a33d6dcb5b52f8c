//! Clients: what one calls on.

mod blocking;
mod call;
mod items;

#[cfg(feature = "tokio")]
use std::sync::Arc;

use serde::Serialize;

pub use blocking::{BlockingClient, Submitted};
pub use call::{AsChannel, Call, CallFuture, StreamCall};
pub use items::DuplexCall;
pub(crate) use items::Pump;

use crate::channel::Channel;
use crate::error::Error;
#[cfg(feature = "tokio")]
use crate::registration::Registration;
use crate::service::encode_result;

/// Encodes params for a call: a tuple or array binds by position, a struct or map by name, `()` is no arguments.
pub(crate) fn encode_params<P: Serialize>(params: P) -> Result<Vec<u8>, Error> {
    encode_result(&params)
        .map(|encoded| encoded.bytes)
        .map_err(|error| Error::invalid(error.message().replace("the result", "the arguments")))
}

/// An async client on a connection of its own, read by a tokio task. Clones share the connection.
///
/// Dropping the last clone closes it; [`close`](Self::close) does so at once.
///
/// ```no_run
/// # async fn f() -> Result<(), procall::Error> {
/// use std::time::Duration;
///
/// let calc = procall::Client::connect("unix:/run/user/1000/calc.sock").await?;
/// let sum: i64 = calc.call("add", (1, 2)).deadline(Duration::from_millis(80)).await?;
/// let mut numbers = calc.stream::<u64>("count", (3,));
/// while let Some(n) = numbers.next().await {
///     println!("{}", n?);
/// }
/// # Ok(()) }
/// ```
#[cfg(feature = "tokio")]
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Closing>,
}

#[cfg(feature = "tokio")]
#[derive(Debug)]
struct Closing {
    connection: crate::connection::Connection,
}

#[cfg(feature = "tokio")]
impl Drop for Closing {
    fn drop(&mut self) {
        self.connection.close();
    }
}

#[cfg(feature = "tokio")]
impl Client {
    /// Connects to a service by name, or by address such as `unix:/path` or `tcp:127.0.0.1:9000`.
    pub async fn connect(target: &str) -> Result<Self, Error> {
        let link = open(target)?;
        Self::over(link).await
    }

    /// A client over a link of the caller's own.
    pub async fn over(link: Box<dyn procall_transport::Link>) -> Result<Self, Error> {
        use crate::connection::{Connection, Serves, Side};

        let connection = Connection::for_task(link, Side::Initiator, config(), Serves::Nothing)?;
        crate::driver::drive(&connection, None)?;
        std::future::poll_fn(|cx| connection.poll_ready(cx.waker())).await?;
        Ok(Self { shared: Arc::new(Closing { connection }) })
    }

    /// The connection below.
    pub fn connection(&self) -> &crate::connection::Connection {
        &self.shared.connection
    }

    /// Calls a method; await the call, or set its options first.
    pub fn call<R>(&self, method: &str, params: impl Serialize) -> Call<R> {
        Call::new(self, method, params)
    }

    /// Calls a method whose answer is a stream.
    pub fn stream<T>(&self, method: &str, params: impl Serialize) -> crate::stream::Stream<T> {
        StreamCall::new(self, method, params).start()
    }

    /// Calls a method that takes a stream and returns one value; see [`Call::items`].
    pub fn send_stream<R, T>(
        &self,
        method: &str,
        params: impl Serialize,
        items: impl Into<crate::stream::Stream<T>>,
    ) -> Call<R>
    where
        T: Serialize + serde::de::DeserializeOwned + 'static,
    {
        self.call(method, params).items(items)
    }

    /// Calls a method with streams both ways; see [`StreamCall::items`].
    pub fn duplex<R, T>(
        &self,
        method: &str,
        params: impl Serialize,
        items: impl Into<crate::stream::Stream<T>>,
    ) -> crate::stream::Stream<R>
    where
        T: Serialize + serde::de::DeserializeOwned + 'static,
    {
        StreamCall::new(self, method, params).items(items).start()
    }

    /// Sends a notification: at most once, never answered.
    pub fn notify(&self, method: &str, params: impl Serialize) -> Result<(), Error> {
        notify(&self.shared.connection, method, params)
    }

    /// What was counted of the calls on this client's connection.
    pub fn metrics(&self) -> crate::metrics::Metrics {
        self.shared.connection.metrics()
    }

    /// What the service at the other end offers.
    pub async fn methods(&self) -> Result<Registration, Error> {
        self.call("procall.methods", ()).await
    }

    /// Closes the connection: calls in flight end with CLOSED.
    pub fn close(&self) {
        self.shared.connection.close();
    }
}

pub(crate) fn notify(
    channel: &dyn Channel,
    method: &str,
    params: impl Serialize,
) -> Result<(), Error> {
    let params = encode_params(params)?;
    channel.notify(crate::connection::Request::new(
        method,
        procall_proto::Encoding::Msgpack,
        &params,
    ))
}

pub(crate) fn config() -> procall_proto::Config {
    procall_proto::Config { pid: std::process::id(), ..procall_proto::Config::default() }
}

/// A link to a service by name or address. Nobody at a Unix socket is told at once; TCP may take five seconds.
pub fn open(target: &str) -> Result<Box<dyn procall_transport::Link>, Error> {
    let address = crate::surroundings::resolve(target)?;
    procall_transport::connect(&address, &procall_transport::LinkOptions::default()).map_err(
        |error| {
            Error::new(procall_proto::ErrorCode::NoWorker, format!("nothing listens at {address}"))
                .with_source(error)
        },
    )
}
