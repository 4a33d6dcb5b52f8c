//! The engine, from its start to its stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procall::transport::{Address, Link, LinkOptions, mem};
use procall::{
    Client, Connection, Error, ErrorCode, Heartbeat, Listener, Metrics, RawService, Side,
    surroundings,
};
use tokio::task::JoinHandle;

use crate::core::Core;
use crate::facts::{Facts, Speaks};
use crate::gateway::Host;
use crate::gateway::http::{Bound, HttpServer, Token};
use crate::settings::{Policy, Settings};
use crate::{accept, own};

/// The name under which an engine listens in the runtime directory.
pub const NAME: &str = "engine";

/// How an engine is to be. Made by [`Engine::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "an engine listens once it is started"]
pub struct EngineBuilder {
    listen: Vec<Address>,
    settings: Settings,
}

impl EngineBuilder {
    /// Listens there, beside what was named before. Without any, it listens as `engine` in the runtime directory only.
    pub fn listen(mut self, address: Address) -> Self {
        self.listen.push(address);
        self
    }

    /// Which of several free workers gets a call.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// How often peers are asked for a sign of life: every 5 s if not said otherwise; `None` never asks.
    pub fn heartbeat(mut self, heartbeat: Option<Heartbeat>) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }

    /// Calls that may wait for each worker of a method, 256 if not said otherwise; then OVERLOADED.
    pub fn queue(mut self, calls: usize) -> Self {
        self.settings.queue = calls;
        self
    }

    /// Whether params and results are checked against their schemas; they are, if not said otherwise.
    pub fn validate(mut self, validate: bool) -> Self {
        self.settings.validate = validate;
        self
    }

    /// How many peers may be connected, 4,096 if not said otherwise, and how many of them from one user or address, 512.
    pub fn peers(mut self, all: usize, each: usize) -> Self {
        self.settings.peers = all;
        self.settings.peers_each = each;
        self
    }

    /// How long calls in flight may take once the engine is asked to stop: 10 s if not said otherwise.
    pub fn drain(mut self, longest: Duration) -> Self {
        self.settings.drain = longest;
        self
    }

    /// Answers HTTP and WebSocket there too; port 0 takes any that is free. Not at all if not said.
    ///
    /// Requests must ask for a name of the loopback, for the very address that they come to, or for a name that [`http_host`](Self::http_host)
    /// gives, and those of web pages must come from a page of the same host, or of one that [`http_origin`](Self::http_origin) gives.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use procall_engine::Engine;
    ///
    /// let listen = "tcp:127.0.0.1:0".parse()?;
    /// let engine = Engine::builder().listen(listen).http("127.0.0.1:0".parse()?).start()?;
    /// println!("curl http://{}/v1/methods", engine.http_address().expect("it was asked for"));
    /// engine.stop().await;
    /// # Ok(()) }
    /// ```
    pub fn http(mut self, address: SocketAddr) -> Self {
        self.settings.http.address = Some(address);
        self
    }

    /// Another name by which HTTP requests may ask for this engine, such as `hub.example`, or `hub.example:8081` for this port only.
    pub fn http_host(mut self, host: impl Into<String>) -> Self {
        self.settings.http.hosts.push(host.into());
        self
    }

    /// Another origin, such as `https://app.example`, whose pages may call over HTTP and WebSocket.
    pub fn http_origin(mut self, origin: impl Into<String>) -> Self {
        self.settings.http.origins.push(origin.into());
        self
    }

    /// HTTP requests must bring this token, as `Authorization: Bearer TOKEN`; none if not said.
    pub fn http_token(mut self, token: impl AsRef<str>) -> Self {
        self.settings.http.token = Some(Token::new(token.as_ref()));
        self
    }

    /// Starts it on the current runtime.
    ///
    /// # Errors
    ///
    /// NAME_TAKEN when another listens there, PERMISSION_DENIED or UNAVAILABLE when HTTP cannot be answered where it was asked for, and what
    /// [`Listener::bind`] says otherwise.
    pub fn start(self) -> Result<Engine, Error> {
        let Self { mut listen, settings } = self;
        if listen.is_empty() {
            listen.push(surroundings::address_of(NAME)?);
        }
        let listeners: Vec<Listener> =
            listen.iter().map(Listener::bind).collect::<Result<_, _>>()?;
        let addresses = listeners.iter().map(|listener| listener.address().clone()).collect();
        let http = Bound::bind(settings.http.clone())?;
        let core = Core::new(settings);
        own::serve(&core)?;
        let http = http.map(|bound| HttpServer::start(bound, &core));
        let mut tasks = vec![tokio::spawn(keep_time(core.clone()))];
        for listener in listeners {
            let core = core.clone();
            tasks.push(tokio::spawn(async move {
                // It ends with the runtime, or with the engine.
                let _ = accept::listen(listener, core).await;
            }));
        }
        Ok(Engine { core, addresses, http, tasks: Tasks(tasks) })
    }
}

/// Ends calls whose deadline passes while they wait.
async fn keep_time(core: Arc<Core>) {
    loop {
        let next = core.expire(Instant::now());
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = core.hurry.notified() => {}
        }
    }
}

/// A router: processes that did not start each other register what they serve, and call each other by name.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use procall::{Client, Service};
/// use procall_engine::Engine;
///
/// let engine = Engine::builder().listen("tcp:127.0.0.1:0".parse()?).start()?;
/// let address = engine.addresses()[0].to_string();
///
/// let math = Service::new("math").method("add", |a: f64, b: f64| a + b);
/// let worker = tokio::spawn(math.engine(&address).run());
///
/// let client = Client::connect(&address).await?;
/// # while client.call::<f64>("math.add", (1, 2)).await.is_err() { tokio::task::yield_now().await }
/// assert_eq!(client.call::<f64>("math.add", (1, 2)).await?, 3.0);
/// worker.abort();
/// engine.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Engine {
    core: Arc<Core>,
    addresses: Vec<Address>,
    http: Option<HttpServer>,
    tasks: Tasks,
}

/// Ends with its owner.
#[derive(Debug)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Engine {
    /// How it is to be.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Where it listens; ports that were given as 0 are the real ones here.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Where it answers HTTP, the real port included; `None` when it was not asked to.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(HttpServer::address)
    }

    /// A client in the engine's own process.
    pub async fn client(&self) -> Result<Client, Error> {
        let (near, far) = pair()?;
        let facts = Facts {
            speaks: Speaks::Native,
            address: "inside".to_owned(),
            credentials: None,
            hears_broadcasts: false,
        };
        self.core.join(far, Side::Acceptor, facts)?;
        Client::over(near).await
    }

    /// What was counted of the calls that went through it.
    pub fn metrics(&self) -> Metrics {
        self.core.meter.metrics()
    }

    /// Takes no new calls, lets those in flight finish for as long as the builder said, then hangs up.
    pub async fn stop(self) {
        /// How often it is looked whether all are done.
        const LOOK: Duration = Duration::from_millis(5);
        let Self { core, tasks, http, .. } = self;
        drop(tasks);
        let connections = core.begin_drain();
        for connection in &connections {
            connection.drain("the engine is stopping");
        }
        let done = async {
            while core.under_way() > 0 {
                tokio::time::sleep(LOOK).await;
            }
            for connection in &connections {
                std::future::poll_fn(|cx| connection.poll_drained(cx.waker())).await;
            }
        };
        // Past the time the remaining calls end with their connections.
        let _ = tokio::time::timeout(core.settings.drain, done).await;
        connections.iter().for_each(Connection::close);
        if let Some(http) = http {
            // All calls are over; what remains is to send the answers.
            http.stop(HTTP_GOODBYE).await;
        }
    }
}

/// How long clients may take to read answers that are there already, when the engine stops.
const HTTP_GOODBYE: Duration = Duration::from_secs(1);

type Ends = (Box<dyn Link>, Box<dyn Link>);

fn pair() -> Result<Ends, Error> {
    let (near, far) = mem::pair(&LinkOptions::default()).map_err(|error| {
        Error::new(ErrorCode::Internal, "no descriptor is left for another connection")
            .with_source(error)
    })?;
    Ok((Box::new(near), Box::new(far)))
}

impl Host for Arc<Core> {
    fn attach(&self, facts: Facts, service: Arc<dyn RawService>) -> Result<Connection, Error> {
        let (near, far) = pair()?;
        self.join(far, Side::Acceptor, facts)?;
        procall::serve_raw(near, Side::Initiator, procall::Config::default(), service)
    }
}
