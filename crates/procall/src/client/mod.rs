//! Clients: what one calls on.

mod blocking;
mod call;
mod items;
mod line;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use blocking::{BlockingClient, Submitted};
pub(crate) use call::Report;
pub use call::{AsChannel, Call, CallFuture, StreamCall};
pub use items::DuplexCall;
pub(crate) use items::Pump;

#[cfg(feature = "tokio")]
use self::line::Line;
use crate::channel::Channel;
use crate::connection::Encoded;
use crate::error::Error;
use crate::finder::Finder;
#[cfg(feature = "tokio")]
use crate::registration::Registration;
use crate::tls::TlsFiles;

/// Encodes params for a call: a tuple or array binds by position, a struct or map by name, `()` is no arguments.
/// The params of a call on a channel. Their large arrays are copied to where the channel can lend them.
pub(crate) fn encode_params<P: Serialize>(
    channel: &Arc<dyn Channel>,
    params: P,
) -> Result<Encoded, Error> {
    let (encoded, lent) = crate::lent::lending(channel.clone(), false, || encoded(&params));
    encoded.map(|encoded| Encoded { lent, ..encoded })
}

fn encoded<P: Serialize>(params: &P) -> Result<Encoded, Error> {
    Encoded::of(params)
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
/// let calc = procall::Client::connect("calc").await?;
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
    line: Line,
}

#[cfg(feature = "tokio")]
impl Drop for Closing {
    fn drop(&mut self) {
        self.line.close();
    }
}

#[cfg(feature = "tokio")]
impl Client {
    /// Connects to a service by name, or by address such as `unix:/path`, `tcp:127.0.0.1:9000` or `tls:example.org:9000`, and waits up to 5 s for it to be there.
    ///
    /// # Errors
    ///
    /// Those of [`Finder::try_open`].
    pub async fn connect(target: &str) -> Result<Self, Error> {
        Self::connect_within(target, Finder::PATIENCE).await
    }

    /// The same with a patience of the caller's own; zero is one look. Dropping the future gives up.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::time::Duration;
    /// use procall::{Client, ErrorCode};
    ///
    /// let error = Client::connect_within("unix:/nowhere/calc.sock", Duration::ZERO).await.unwrap_err();
    /// assert_eq!(error.code(), ErrorCode::NoWorker);
    /// # }
    /// ```
    pub async fn connect_within(target: &str, patience: Duration) -> Result<Self, Error> {
        Self::connect_with(target, ConnectOptions { patience, ..ConnectOptions::default() }).await
    }

    /// The same with all options.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), procall::Error> {
    /// use procall::{Client, ConnectOptions};
    ///
    /// let nightly = ConnectOptions { name: Some("nightly".into()), ..ConnectOptions::default() };
    /// let calc = Client::connect_with("calc", nightly).await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect_with(target: &str, options: ConnectOptions) -> Result<Self, Error> {
        let mut finder = Finder::new(target, options.patience)
            .choose(options.transport)
            .secured(options.tls.clone());
        let link = loop {
            match finder.try_open()? {
                Some(link) => break link,
                None => tokio::time::sleep(finder.pause()).await,
            }
        };
        let config = config_for(&finder, &options)?;
        let wanted = Self::greet(link, config.clone());
        let greeted = tokio::time::timeout(finder.greeting(), wanted).await;
        let connection = greeted.unwrap_or_else(|_| Err(finder.unanswered()))?;
        let runtime = tokio::runtime::Handle::current();
        let connect = move |link, config| {
            let _runtime = runtime.enter();
            connect(link, config)
        };
        let line = Line::found(&finder, config, connection, Box::new(connect));
        Ok(Self { shared: Arc::new(Closing { line }) })
    }

    /// A client over a link of the caller's own.
    pub async fn over(link: Box<dyn procall_transport::Link>) -> Result<Self, Error> {
        let connection = Self::greet(link, config(None)).await?;
        Ok(Self { shared: Arc::new(Closing { line: Line::fixed(connection) }) })
    }

    /// The same with the name, the token and the compression of these options.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), procall::Error> {
    /// use std::time::Duration;
    /// use procall::{Client, ConnectOptions, Finder};
    ///
    /// let mut engine = Finder::new("tls:engine.example:8443", Duration::ZERO);
    /// let link = engine.wait(&mut || false)?;
    /// let options = ConnectOptions { token: engine.token()?, ..ConnectOptions::default() };
    /// let client = Client::over_with(link, options).await?;
    /// # Ok(()) }
    /// ```
    pub async fn over_with(
        link: Box<dyn procall_transport::Link>,
        options: ConnectOptions,
    ) -> Result<Self, Error> {
        let config = procall_proto::Config {
            token: options.token,
            compression: options.compression,
            ..config(options.name.as_deref())
        };
        let connection = Self::greet(link, config).await?;
        Ok(Self { shared: Arc::new(Closing { line: Line::fixed(connection) }) })
    }

    async fn greet(
        link: Box<dyn procall_transport::Link>,
        config: procall_proto::Config,
    ) -> Result<crate::connection::Connection, Error> {
        /// Closes a connection whose greeting is given up.
        struct Guard(Option<crate::connection::Connection>);
        impl Drop for Guard {
            fn drop(&mut self) {
                if let Some(connection) = &self.0 {
                    connection.close();
                }
            }
        }
        let connection = connect(link, config)?;
        let mut guard = Guard(Some(connection.clone()));
        std::future::poll_fn(|cx| connection.poll_ready(cx.waker())).await?;
        guard.0 = None;
        Ok(connection)
    }

    /// The connection below: that of this moment, when it leads to an engine.
    pub fn connection(&self) -> crate::connection::Connection {
        self.shared.line.connection()
    }

    pub(crate) fn channel(&self) -> &dyn Channel {
        self.shared.line.channel()
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
        notify(self.channel(), method, params)
    }

    /// What was counted of the calls on this client's connection.
    pub fn metrics(&self) -> crate::metrics::Metrics {
        self.channel().metrics()
    }

    /// What the service at the other end offers.
    pub async fn methods(&self) -> Result<Registration, Error> {
        self.call("procall.methods", ()).await
    }

    /// Closes the connection: calls in flight end with CLOSED.
    pub fn close(&self) {
        self.shared.line.close();
    }
}

/// A connection that a task of the current runtime reads.
#[cfg(feature = "tokio")]
fn connect(
    link: Box<dyn procall_transport::Link>,
    config: procall_proto::Config,
) -> Result<crate::connection::Connection, Error> {
    use crate::connection::{Connection, Serves, Side};

    let connection = Connection::for_task(link, Side::Initiator, config, Serves::Nothing)?;
    crate::driver::drive(&connection, crate::driver::Server::Nobody)?;
    Ok(connection)
}

/// Sends a notification on anything that takes calls: at most once, never answered.
///
/// ```no_run
/// # fn f(connection: procall::Connection) -> Result<(), procall::Error> {
/// procall::notify(&connection, "log", ("started",))?;
/// # Ok(()) }
/// ```
pub fn notify(channel: &dyn Channel, method: &str, params: impl Serialize) -> Result<(), Error> {
    let params = encoded(&params)?;
    channel.notify(crate::connection::Request::new(
        method,
        procall_proto::Encoding::Msgpack,
        &params.bytes,
    ))
}

/// How to connect. All fields have defaults.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// How long the service may take to be there and to answer, 5 s; zero is one look.
    pub patience: Duration,
    /// What the other side is to call this one, in its logs and to its handlers; [`program_name`](crate::program_name) without it. Control
    /// characters are left out, and what is beyond 128 bytes.
    pub name: Option<String>,
    /// The token to show to an engine that wants one. Without it, an engine is shown what the file of `PROCALL_ENGINE_TOKEN_FILE` holds, and
    /// others are shown none. `Debug` does not show it.
    pub token: Option<Vec<u8>>,
    /// How to talk to a service on this machine: in shared memory, over a Unix socket, or what both sides can. Without it, as
    /// `PROCALL_TRANSPORT` says, which says the socket unless it is set.
    pub transport: Option<procall_transport::shm::Choice>,
    /// Whether long messages travel compressed, if the other side wants that too: off, unless [`PROCALL_COMPRESSION`] says otherwise. It is
    /// for slow links: on one machine it costs more than it saves.
    ///
    /// [`PROCALL_COMPRESSION`]: crate::surroundings::compression
    pub compression: bool,
    /// How to check the other side over TLS, and what to show it of oneself; what the environment says without it.
    pub tls: TlsFiles,
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("patience", &self.patience)
            .field("name", &self.name)
            .field("token", &self.token.as_ref().map(|_| "a secret"))
            .field("transport", &self.transport)
            .field("compression", &self.compression)
            .field("tls", &self.tls)
            .finish()
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            patience: Finder::PATIENCE,
            name: None,
            token: None,
            transport: None,
            compression: crate::surroundings::compression(),
            tls: TlsFiles::default(),
        }
    }
}

pub(crate) fn config(name: Option<&str>) -> procall_proto::Config {
    procall_proto::Config {
        name: name.unwrap_or_else(|| crate::program_name()).to_owned(),
        pid: std::process::id(),
        compression: crate::surroundings::compression(),
        ..procall_proto::Config::default()
    }
}

/// What the peer that was found is told.
pub(crate) fn config_for(
    finder: &Finder,
    options: &ConnectOptions,
) -> Result<procall_proto::Config, Error> {
    let config = procall_proto::Config {
        token: options.token.clone(),
        compression: options.compression,
        ..config(options.name.as_deref())
    };
    finder.config(config)
}

/// A link to a service by name or address, if it is there now: one look of a [`Finder`]. Over TCP that may take a second.
pub fn open(target: &str) -> Result<Box<dyn procall_transport::Link>, Error> {
    Finder::new(target, Duration::ZERO).wait(&mut || false)
}
