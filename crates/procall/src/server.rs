//! Serving: on a link, at an address, or wherever the surroundings say.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use procall_proto::{Config, ErrorCode};
use procall_transport::{Address, Link};

use crate::attached::Attached;
use crate::client::config;
use crate::connection::{Connection, Serves, Side};
use crate::driver;
use crate::error::Error;
use crate::listener::Listener;
use crate::service::{Dispatcher, Service};
use crate::surroundings;
use crate::tls::TlsServing;

/// How long calls in flight may take once a service is asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a worker whose pool is gone may take to end; then it is killed.
const ORPHAN: Duration = Duration::from_secs(1);
/// Pause after a failed accept, so that running out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Service {
    /// Serves wherever the surroundings say, until told to stop.
    ///
    /// Started by a pool, it is that pool's worker. With an engine named, by [`Service::engine`] or `PROCALL_ENGINE`, it registers there, and
    /// again whenever the engine was away. With `PROCALL_LISTEN` it listens there. Otherwise it registers with the engine of the runtime
    /// directory if one runs, else it listens under its name. [`Client::connect`](crate::Client::connect) finds it in either case. Ctrl-C and SIGTERM let calls in flight finish.
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> Result<(), procall::Error> {
    /// procall::Service::new("calc").method("add", |a: i64, b: i64| a + b).run().await
    /// # }
    /// ```
    pub async fn run(self) -> Result<(), Error> {
        Running::begin(self, None).await?.run_until(std::future::pending()).await
    }

    /// The same until `done` resolves: then calls in flight may finish, for 10 s at most.
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> Result<(), procall::Error> {
    /// let hour = tokio::time::sleep(std::time::Duration::from_secs(3600));
    /// procall::Service::new("calc").method("add", |a: i64, b: i64| a + b).run_until(hour).await
    /// # }
    /// ```
    pub async fn run_until(self, done: impl Future<Output = ()>) -> Result<(), Error> {
        Running::begin(self, None).await?.run_until(done).await
    }

    /// Serves the pool that started this process, over a link that this process brings: the other half of a
    /// [pool's own transport](https://docs.rs/procall-pool/latest/procall_pool/trait.Transport.html).
    ///
    /// The pool's one-time token is shown over it. The inherited channel stays open as the lifeline: this ends when the pool is gone, even
    /// if the link does not say so. Without a pool it is an error.
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use procall::transport::{LinkOptions, tcp::TcpLink};
    ///
    /// let link = TcpLink::connect(std::env::var("CALC_ADDRESS")?.parse()?, &LinkOptions::default())?;
    /// procall::Service::new("calc").method("add", |a: i64, b: i64| a + b).run_over(Box::new(link)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn run_over(self, link: Box<dyn Link>) -> Result<(), Error> {
        Running::begin(self, Some(link)).await?.run_until(std::future::pending()).await
    }

    /// Serves one link on the current runtime, in the background; the connection may also be called on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), procall::Error> {
    /// use procall_transport::{mem, LinkOptions};
    ///
    /// let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    /// let service = procall::Service::new("calc").method("add", |a: i64, b: i64| a + b);
    /// let serving = service.serve_link(Box::new(theirs))?;
    /// let calc = procall::Client::over(Box::new(ours)).await?;
    /// assert_eq!(calc.call::<i64>("add", (1, 2)).await?, 3);
    /// serving.close();
    /// # Ok(()) }
    /// ```
    pub fn serve_link(self, link: Box<dyn Link>) -> Result<Connection, Error> {
        Dispatcher::new(self).serve(link)
    }
}

impl Dispatcher {
    fn serve(self: Arc<Self>, link: Box<dyn Link>) -> Result<Connection, Error> {
        let config = self.config(&self.registration().name);
        let connection = Connection::for_task(link, Side::Acceptor, config, Serves::Inbox)?;
        // So that callers know of each method whether it takes or gives a stream. One that is too long for a message is still told to those
        // who ask for `procall.methods`.
        let _ = connection.register(&self.registration());
        self.tell(&connection);
        driver::drive(&connection, driver::Server::Handlers(self))?;
        Ok(connection)
    }
}

/// A service that serves where the surroundings say.
pub(crate) enum Running {
    Worker(Worker),
    Attached(Attached),
    Listening(Server),
}

impl Running {
    /// Begins to serve; over `link` only as a pool's worker.
    pub(crate) async fn begin(
        service: Service,
        link: Option<Box<dyn Link>>,
    ) -> Result<Self, Error> {
        if let Some(parent) = surroundings::parent()? {
            return Worker::start(parent, link, service).await.map(Self::Worker);
        }
        if link.is_some() {
            return Err(Error::invalid(
                "no pool started this process, so nobody waits for a worker at the other end of this link; `run` listens, `serve_link` \
                 serves whoever is there",
            ));
        }
        let place = surroundings::place(service.engine_target(), &service.registration().name)?;
        match place {
            surroundings::Place::Engine { target, patience } => {
                let name = service.own_name().to_owned();
                let id = service.identity_given().to_owned();
                let token = service.engine_token_given();
                let tls = service.engine_tls_given();
                let dispatcher = Dispatcher::new(service);
                Attached::start(&target, (name, id), token, tls, dispatcher, patience)
                    .await
                    .map(Self::Attached)
            }
            surroundings::Place::Address(address) => {
                Server::bind(&address, service).map(Self::Listening)
            }
        }
    }

    /// Serves until the pool is gone, or until the process is asked to stop or `done` resolves, and the calls in flight have ended.
    pub(crate) async fn run_until(self, done: impl Future<Output = ()>) -> Result<(), Error> {
        // Before it is said that the service is there: whoever reads that may end it at once.
        let signal = stop_signal();
        let stop = async {
            tokio::select! {
                () = signal => {}
                () = done => {}
            }
        };
        match &self {
            Self::Worker(_) => {}
            Self::Attached(attached) => eprintln!("procall: registered with {}", attached.engine()),
            Self::Listening(server) => eprintln!("procall: listening at {}", server.address()),
        }
        match self {
            Self::Worker(worker) => {
                worker.run_until(stop).await;
                Ok(())
            }
            Self::Attached(attached) => attached.run_until(stop).await,
            Self::Listening(server) => server.run_until(stop).await,
        }
    }
}

/// A pool's worker: registered, serving, until the pool is gone or says stop.
pub(crate) struct Worker {
    connection: Connection,
    /// The inherited channel, where the connection goes over another link.
    channel: Option<Channel>,
}

/// A link that carries nothing: only its end is of interest.
struct Channel {
    link: Box<dyn Link>,
    readiness: driver::Readiness,
}

impl Channel {
    fn watch(link: Box<dyn Link>) -> Result<Self, Error> {
        let readiness = driver::Readiness::new(link.readiness()).map_err(unwatchable)?;
        Ok(Self { link, readiness })
    }

    /// Resolves at its end.
    async fn end(mut self) {
        let mut ended = false;
        std::future::poll_fn(|cx| {
            // Nobody sends anything here; were it so, it would be read and forgotten.
            let link = &mut self.link;
            let polled = self.readiness.poll_read(cx, || {
                ended = loop {
                    match link.receive() {
                        Ok(Some(_)) => {}
                        Ok(None) => break false,
                        Err(_) => break true,
                    }
                }
            });
            match polled {
                Poll::Pending => Poll::Pending,
                // A runtime that shuts down watches nothing any more.
                Poll::Ready(Err(_)) => Poll::Ready(()),
                Poll::Ready(Ok(())) if ended => Poll::Ready(()),
                Poll::Ready(Ok(())) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

fn unwatchable(error: std::io::Error) -> Error {
    Error::new(ErrorCode::Internal, "the pool's channel cannot be watched by this runtime")
        .with_source(error)
}

impl Worker {
    /// The parent's worker over its own channel, or over `link`, with the channel for a lifeline.
    async fn start(
        parent: surroundings::Parent,
        link: Option<Box<dyn Link>>,
        service: Service,
    ) -> Result<Self, Error> {
        parent.lifeline.watch(ORPHAN)?;
        let (link, channel, token) = match link {
            None => (parent.link, None, parent.token),
            Some(link) => {
                let token = surroundings::token()?.ok_or_else(|| {
                    Error::invalid(format!(
                        "the pool that started this process expects no link but its own ({} is not set); give it a transport",
                        surroundings::TOKEN
                    ))
                })?;
                (link, Some(Channel::watch(parent.link)?), Some(token))
            }
        };
        let config = Config { token, ..config(Some(&service.registration().name)) };
        let connection = Connection::for_task(link, Side::Initiator, config, Serves::Inbox)?;
        let dispatcher = Dispatcher::new(service);
        driver::drive(&connection, driver::Server::Handlers(dispatcher.clone()))?;
        std::future::poll_fn(|cx| connection.poll_ready(cx.waker())).await?;
        connection.register(&dispatcher.registration())?;
        dispatcher.tell(&connection);
        std::future::poll_fn(|cx| connection.poll_registered(cx.waker())).await?;
        Ok(Self { connection, channel })
    }

    async fn run_until(self, stop: impl Future<Output = ()>) {
        let Self { connection, channel } = self;
        let closed = std::future::poll_fn(|cx| connection.poll_closed(cx.waker()));
        let channel_end = async {
            match channel {
                Some(channel) => channel.end().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The pool is gone, or done with this worker: the normal end.
            _ = closed => {}
            () = channel_end => connection.close(),
            () = stop => drain(&connection).await,
        }
    }
}

/// Lets a connection's calls finish, for as long as a drain may take.
pub(crate) async fn drain(connection: &Connection) {
    connection.drain("the service is stopping");
    let drained = std::future::poll_fn(|cx| connection.poll_drained(cx.waker()));
    // Past the time the remaining calls end with the connection.
    let _ = tokio::time::timeout(DRAIN, drained).await;
    connection.close();
}

/// Resolves when the process is asked to stop: Ctrl-C or SIGTERM. They are heeded from the call on, not only once it is awaited.
fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        match signals {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            // Without handlers the signals end the process themselves.
            _ => std::future::pending().await,
        }
    }
}

/// A service that listens at an address, for any number of clients.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use procall::{Client, Server, Service};
///
/// let service = Service::new("calc").method("add", |a: i64, b: i64| a + b);
/// let server = Server::bind(&"tcp:127.0.0.1:0".parse()?, service)?;
/// let address = server.address().to_string();
/// let serving = tokio::spawn(server.run_until(std::future::pending()));
///
/// let calc = Client::connect(&address).await?;
/// assert_eq!(calc.call::<i64>("add", (1, 2)).await?, 3);
/// serving.abort();
/// # Ok(()) }
/// ```
pub struct Server {
    listener: Listener,
    dispatcher: Arc<Dispatcher>,
}

impl Server {
    /// Listens at an address; see [`Listener::bind`].
    pub fn bind(address: &Address, service: Service) -> Result<Self, Error> {
        Ok(Self { listener: Listener::bind(address)?, dispatcher: Dispatcher::new(service) })
    }

    /// The same for TLS with files of the caller's own, instead of those of the environment; see [`Listener::bind_secured`].
    pub fn bind_secured(
        address: &Address,
        tls: &TlsServing,
        service: Service,
    ) -> Result<Self, Error> {
        Ok(Self {
            listener: Listener::bind_secured(address, tls)?,
            dispatcher: Dispatcher::new(service),
        })
    }

    /// Where it listens; a port that was given as 0 is the real one here.
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Serves until `stop` resolves; then calls in flight may finish, for 10 s at most.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let mut connections: Vec<Connection> = Vec::new();
        let mut stop = std::pin::pin!(stop);
        let readiness = driver::Readiness::new(self.listener.as_fd()).map_err(|error| {
            Error::new(ErrorCode::Internal, "the listener cannot be watched by this runtime")
                .with_source(error)
        })?;
        loop {
            let mut accepted = Vec::new();
            // Looked at without being asked: nothing announces again what an earlier look could not take.
            let mut full = self.accept_all(&mut accepted);
            if accepted.is_empty() && !full {
                let ready = std::future::poll_fn(|cx| {
                    let polled = readiness.poll_read(cx, || full = self.accept_all(&mut accepted));
                    let found = full || !accepted.is_empty();
                    if found { Poll::Ready(()) } else { polled.map(|_| ()) }
                });
                tokio::select! {
                    () = &mut stop => break,
                    () = ready => {}
                }
            }
            connections.retain(|connection| !connection.is_closed());
            for link in accepted {
                // One that cannot be served for want of descriptors is dropped; its peer sees the end of file.
                match self.dispatcher.clone().serve(link) {
                    Ok(connection) => connections.push(connection),
                    Err(_) => full = true,
                }
            }
            if full {
                tokio::select! {
                    () = &mut stop => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
        // From here on another may serve under the name: those who come now must not wait for a service that will not take them.
        drop(readiness);
        drop(self.listener);
        let draining: Vec<_> = connections
            .into_iter()
            .map(|connection| tokio::spawn(async move { drain(&connection).await }))
            .collect();
        for drained in draining {
            // A drain that panicked has closed nothing more to wait for.
            let _ = drained.await;
        }
        Ok(())
    }

    /// Accepts whoever waits; true when somebody may wait still, because an accept failed: out of descriptors, most likely.
    fn accept_all(&self, accepted: &mut Vec<Box<dyn Link>>) -> bool {
        loop {
            match self.listener.accept() {
                Ok(Some(link)) => accepted.push(link),
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", self.address()).finish_non_exhaustive()
    }
}
