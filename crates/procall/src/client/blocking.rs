//! A client without a runtime: the calling thread reads the link itself.

use std::marker::PhantomData;
use std::time::Duration;

use procall_proto::{Body, Encoding};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::line::Line;
use super::{
    AsChannel, Call, ConnectOptions, DuplexCall, StreamCall, config, config_for, encode_params,
};
use crate::channel::{Channel, Started};
use crate::codec;
use crate::connection::{CallOptions, Connection, Request, Side, WaitError};
use crate::error::Error;
use crate::finder::Finder;
use crate::registration::Registration;
use crate::retry::start_retrying;
use crate::stream::Stream;
use procall_proto::ErrorCode;

/// How long a connection may take to be greeted.
const GREETING: Duration = Duration::from_secs(5);

/// A client without a runtime. Clones share the connection; several threads may call at once.
///
/// ```no_run
/// # fn f() -> Result<(), procall::Error> {
/// let calc = procall::BlockingClient::connect("calc")?;
/// let sum: i64 = calc.call("add", (1, 2)).wait()?;
///
/// // Pipelined: all on their way before the first answer is read.
/// let sums: Vec<_> = (0..64).map(|n| calc.submit::<i64>("add", (n, n))).collect::<Result<_, _>>()?;
/// for sum in sums {
///     println!("{}", sum.wait()?);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct BlockingClient {
    line: Line,
}

impl BlockingClient {
    /// Connects to a service by name, or by address such as `unix:/path`, `tcp:127.0.0.1:9000` or `tls:example.org:9000`, and waits up to 5 s for it to be there.
    ///
    /// # Errors
    ///
    /// Those of [`Finder::try_open`].
    pub fn connect(target: &str) -> Result<Self, Error> {
        Self::connect_within(target, Finder::PATIENCE)
    }

    /// The same with a patience of the caller's own; zero is one look.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procall::{BlockingClient, ErrorCode};
    ///
    /// let error = BlockingClient::connect_within("unix:/nowhere/calc.sock", Duration::ZERO).unwrap_err();
    /// assert_eq!(error.code(), ErrorCode::NoWorker);
    /// ```
    pub fn connect_within(target: &str, patience: Duration) -> Result<Self, Error> {
        Self::connect_with(target, ConnectOptions { patience, ..ConnectOptions::default() })
    }

    /// The same with all options; see [`ConnectOptions`].
    pub fn connect_with(target: &str, options: ConnectOptions) -> Result<Self, Error> {
        let mut finder = Finder::new(target, options.patience)
            .choose(options.transport)
            .secured(options.tls.clone());
        let link = finder.wait(&mut || false)?;
        let config = config_for(&finder, &options)?;
        let greeted = Self::greet(link, config.clone(), finder.greeting())?;
        let connection = greeted.ok_or_else(|| finder.unanswered())?;
        Ok(Self { line: Line::found(&finder, config, connection, Box::new(connect)) })
    }

    /// A client over a link of the caller's own.
    pub fn over(link: Box<dyn procall_transport::Link>) -> Result<Self, Error> {
        let connection = Self::greet(link, config(None), GREETING)?.ok_or_else(|| {
            Error::new(ErrorCode::NoWorker, "the other side does not answer the greeting")
        })?;
        Ok(Self { line: Line::fixed(connection) })
    }

    /// `None` when the other side does not answer in time.
    fn greet(
        link: Box<dyn procall_transport::Link>,
        config: procall_proto::Config,
        time: Duration,
    ) -> Result<Option<Connection>, Error> {
        let connection = connect(link, config)?;
        match connection.wait_for(Some(time), &mut || false, Connection::poll_ready) {
            Ok(ready) => ready.map(|()| Some(connection)),
            Err(WaitError::TimedOut | WaitError::Interrupted) => {
                connection.close();
                Ok(None)
            }
        }
    }

    /// The connection below: that of this moment, when it leads to an engine.
    pub fn connection(&self) -> Connection {
        self.line.connection()
    }

    /// Calls a method; end with [`Call::wait`].
    pub fn call<R>(&self, method: &str, params: impl Serialize) -> Call<R> {
        Call::new(self, method, params)
    }

    /// Starts a call and returns at once.
    pub fn submit<R>(&self, method: &str, params: impl Serialize) -> Result<Submitted<R>, Error> {
        let channel = self.line.shared();
        let mut params = encode_params(&channel, params)?;
        let held = params.lent.held();
        let body = Body::taken(Encoding::Msgpack, &mut params.bytes).holding(held);
        let request = Request { method, body, options: CallOptions::default() };
        let started = start_retrying(&channel, request)?;
        Ok(Submitted { started, result: PhantomData })
    }

    /// Starts a call whose message leaves with the next one that is sent: end a burst with [`flush`](Self::flush), or by waiting for any call.
    ///
    /// A burst that leaves in one write is several times faster than as many writes. Nothing is kept of these calls, so they are never made
    /// again.
    pub fn submit_held<R>(
        &self,
        method: &str,
        params: impl Serialize,
    ) -> Result<Submitted<R>, Error> {
        let mut params = encode_params(&self.line.shared(), params)?;
        let held = params.lent.held();
        let body = Body::taken(Encoding::Msgpack, &mut params.bytes).holding(held);
        let request = Request { method, body, options: CallOptions::default() };
        let pending = self.line.connection().start_held(request)?;
        Ok(Submitted { started: pending.into(), result: PhantomData })
    }

    /// Sends what [`submit_held`](Self::submit_held) has kept.
    pub fn flush(&self) {
        self.line.connection().send_held();
    }

    /// Calls a method whose answer is a stream; read it with [`Stream::wait_next`].
    pub fn stream<T>(&self, method: &str, params: impl Serialize) -> Stream<T> {
        StreamCall::new(self, method, params).start()
    }

    /// Calls a method that takes a stream and returns one value; see [`Call::items`].
    pub fn send_stream<R, T>(
        &self,
        method: &str,
        params: impl Serialize,
        items: impl Into<Stream<T>>,
    ) -> Call<R>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        self.call(method, params).items(items)
    }

    /// Calls a method with streams both ways; see [`StreamCall::items`].
    pub fn duplex<R, T>(
        &self,
        method: &str,
        params: impl Serialize,
        items: impl Into<Stream<T>>,
    ) -> Stream<R>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        StreamCall::new(self, method, params).items(items).start()
    }

    /// Calls a method with streams both ways, to send and read by hand.
    pub fn open<I, O>(&self, method: &str, params: impl Serialize) -> DuplexCall<I, O> {
        StreamCall::new(self, method, params).open()
    }

    /// Sends a notification: at most once, never answered.
    pub fn notify(&self, method: &str, params: impl Serialize) -> Result<(), Error> {
        super::notify(self.line.channel(), method, params)
    }

    /// What was counted of the calls on this client's connection.
    pub fn metrics(&self) -> crate::metrics::Metrics {
        self.line.channel().metrics()
    }

    /// What the service at the other end offers.
    pub fn methods(&self) -> Result<Registration, Error> {
        self.call("procall.methods", ()).wait()
    }

    /// Closes the connection: calls in flight end with CLOSED.
    pub fn close(&self) {
        self.line.close();
    }
}

/// A connection that waiting threads read.
fn connect(
    link: Box<dyn procall_transport::Link>,
    config: procall_proto::Config,
) -> Result<Connection, Error> {
    Ok(Connection::new(link, Side::Initiator, config))
}

impl AsChannel for BlockingClient {
    fn as_channel(&self) -> std::sync::Arc<dyn Channel> {
        self.line.shared()
    }
}

/// A call on its way. Dropping it cancels the call.
#[derive(Debug)]
#[must_use = "dropping it cancels the call"]
pub struct Submitted<R> {
    started: Started,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Submitted<R> {
    /// Waits on this thread for the answer.
    pub fn wait(self) -> Result<R, Error> {
        let reply = self.started.wait()?;
        codec::decode_result(reply.encoding, &reply.bytes)
    }
}
