//! The engine, from its start to its stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use procall::transport::{Address, Link, LinkOptions, PeerCredentials, mem};
use procall::{
    Client, Connection, Error, ErrorCode, Heartbeat, Listener, Metrics, RawService, Side,
    TlsServing, surroundings,
};
use procall_pool::OutputLine;
use tokio::task::JoinHandle;

use crate::activation::{Activation, ServiceNews, ServiceSpec, Watch};
use crate::core::Core;
use crate::facts::{Facts, Speaks};
use crate::gateway::Host;
use crate::gateway::http::{Bound, HttpServer, Token as HttpToken};
use crate::gateway::json::Counters as JsonCounters;
use crate::record::{CallRecord, OnCall};
use crate::rights::Rights;
use crate::settings::{Policy, Settings};
use crate::state::Memory;
use crate::tokens::{Doors, Pass, Token};
use crate::{accept, own, tokens};

/// The name under which an engine listens in the runtime directory.
pub const NAME: &str = "engine";

/// How an engine is to be. Made by [`Engine::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "an engine listens once it is started"]
pub struct EngineBuilder {
    listen: Vec<Address>,
    tls: Option<TlsServing>,
    settings: Settings,
    tokens: Vec<Token>,
    guests: Option<Rights>,
    state: Option<PathBuf>,
    services: Vec<ServiceSpec>,
    watch: Watch,
}

impl EngineBuilder {
    /// Calls that wait for each worker of a method, if not said otherwise, 256; then OVERLOADED.
    pub const QUEUE: usize = crate::settings::QUEUE;
    /// Peers that may be connected, if not said otherwise, 4,096; then the next one is refused.
    pub const PEERS: usize = crate::settings::PEERS;
    /// The same of one user or address, 512.
    pub const PEERS_EACH: usize = crate::settings::PEERS_EACH;
    /// How long calls in flight may take once the engine is asked to stop, if not said otherwise, 10 s; then they end with it.
    pub const DRAIN: Duration = crate::settings::DRAIN;
    /// Longest message of a peer that speaks JSON in bytes, 64 MiB; a longer one ends its connection.
    pub const MAX_JSON: usize = accept::MAX_JSON;
    /// Notifications that wait for a peer that speaks JSON, 256; the next one is dropped and counted.
    pub const JSON_NOTIFICATIONS: usize = crate::gateway::json::MAX_NOTIFICATIONS;
    /// Calls whose spans wait to be sent, 4,096; those of further ones are dropped and counted.
    pub const SPANS: usize = crate::spans::WAITING;
    /// How long a peer may take to send its first message, 5 s; then its connection ends.
    pub const GREETING: Duration = accept::GREETING;

    /// Listens there, beside what was named before. Without any, it listens as `engine` in the runtime directory only.
    pub fn listen(mut self, address: Address) -> Self {
        self.listen.push(address);
        self
    }

    /// Who the engine is where it listens for TLS: at addresses such as `tls:0.0.0.0:8443`, and over [`https`](Self::https). Without it, what
    /// [`TlsServing::of_environment`] says.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use procall::TlsServing;
    /// use procall_engine::{Engine, Rights};
    ///
    /// let tls = TlsServing { cert: "engine.pem".into(), key: "engine.key".into(), client_ca: None };
    /// let engine = Engine::builder()
    ///     .listen("tls:0.0.0.0:8443".parse()?)
    ///     .tls(tls)
    ///     .token("ci", "8e1f0c7a5b2d4936", Rights::none().call("math.*"))
    ///     .start()?;
    /// # Ok(()) }
    /// ```
    pub fn tls(mut self, serving: TlsServing) -> Self {
        self.tls = Some(serving);
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

    /// Whether long messages travel compressed to and from native peers that want that too; they do not, unless
    /// [`PROCALL_COMPRESSION`](procall::surroundings::compression) says otherwise.
    pub fn compression(mut self, compression: bool) -> Self {
        self.settings.compression = compression;
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

    /// Tells this function of every call that is over. It runs on the thread that brings the outcome, so it must not block.
    ///
    /// ```
    /// let builder = procall_engine::Engine::builder().on_call(|call| eprintln!("{}", call.to_json()));
    /// # drop(builder);
    /// ```
    pub fn on_call(mut self, tell: impl Fn(&CallRecord) + Send + Sync + 'static) -> Self {
        self.settings.on_call = Some(OnCall(Arc::new(tell)));
        self
    }

    /// Lets peers in that show this secret, and allows them these things. Its name is for people, in lists and errors.
    ///
    /// Once there is any token, a peer over TCP or TLS, native or JSON, and a request over HTTP must show one; processes of the engine's own user on a Unix socket need none.
    /// A secret has 16 to 256 bytes; it is in no log, list, error or event.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use procall::{Client, ConnectOptions, ErrorCode};
    /// use procall_engine::{Engine, Rights};
    ///
    /// let engine = Engine::builder()
    ///     .listen("tcp:127.0.0.1:0".parse()?)
    ///     .token("ci", "8e1f0c7a5b2d4936", Rights::none().call("math.*"))
    ///     .start()?;
    /// let address = engine.addresses()[0].to_string();
    /// assert_eq!(Client::connect(&address).await.unwrap_err().code(), ErrorCode::Unauthenticated);
    ///
    /// let options = ConnectOptions { token: Some(b"8e1f0c7a5b2d4936".to_vec()), ..ConnectOptions::default() };
    /// let client = Client::connect_with(&address, options).await?;
    /// let error = client.call::<()>("procall.engine.cancel", (1,)).await.unwrap_err();
    /// assert_eq!(error.code(), ErrorCode::PermissionDenied);
    /// # Ok(()) }
    /// ```
    pub fn token(mut self, name: &str, secret: impl Into<Vec<u8>>, rights: Rights) -> Self {
        self.tokens.push(Token::new(name, secret.into(), rights));
        self
    }

    /// The same for all tokens of a file: one a line, `name secret rights…`, where rights are words as [`Rights`] reads them.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED when others than this user may read the file, INVALID_ARGUMENT with the line that is wrong.
    pub fn token_file(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        self.tokens.extend(tokens::read(path.as_ref())?);
        Ok(self)
    }

    /// What peers may do that need no token because there is none: [`Rights::user`] if not said otherwise. The engine's own user may do
    /// everything in any case: on a Unix socket, and over TCP as [`own_user_over_tcp`](Self::own_user_over_tcp) says.
    pub fn guests(mut self, rights: Rights) -> Self {
        self.guests = Some(rights);
        self
    }

    /// Whether peers over TCP on this machine whose socket belongs to the engine's own user may do everything, as on a Unix socket, where there
    /// are no tokens; they may, if not said otherwise. The list of sockets of the kernel (`/proc/net/tcp`) is looked through once for each, and
    /// one that is not found there is a guest. Say no where something of your own user lets others in through that port: a proxy, or a tunnel.
    ///
    /// ```
    /// let builder = procall_engine::Engine::builder().own_user_over_tcp(false);
    /// # drop(builder);
    /// ```
    pub fn own_user_over_tcp(mut self, counts: bool) -> Self {
        self.settings.own_over_tcp = counts;
        self
    }

    /// Sends two spans of every call to the collector of traces there, by OTLP over HTTP: such as `http://127.0.0.1:4318`. None are sent if not
    /// said.
    ///
    /// They are children of the span that a call brings in its metadata `traceparent`, unless its caller wants none (`-00`); a call without
    /// one begins a trace. Workers are given the second one as their parent. Spans are sent by a task of its own, 512 calls at once; when more
    /// than 4,096 wait, they are dropped and counted.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for what is no URL that begins with `http://`.
    ///
    /// ```
    /// let builder = procall_engine::Engine::builder().otlp("http://127.0.0.1:4318")?;
    /// # drop(builder);
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn otlp(mut self, endpoint: &str) -> Result<Self, Error> {
        self.settings.otlp = Some(endpoint.parse()?);
        Ok(self)
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
        self.settings.http.secure = false;
        self
    }

    /// The same over TLS, instead of [`http`](Self::http); see [`tls`](Self::tls).
    pub fn https(mut self, address: SocketAddr) -> Self {
        self.settings.http.address = Some(address);
        self.settings.http.secure = true;
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

    /// HTTP requests must bring this token, as `Authorization: Bearer TOKEN`, or one of [`token`](Self::token); none if not said. Whoever brings
    /// this one may do what [`guests`](Self::guests) may.
    pub fn http_token(mut self, token: impl AsRef<str>) -> Self {
        self.settings.http.token = Some(HttpToken::new(token.as_ref()));
        self
    }

    /// Remembers in this directory who served what, over its end: methods are known as soon as it starts again, and calls to them fail with
    /// NO_WORKER until their workers are back, or wait if they ask for it. A process that gives an id in its hello, and comes over a Unix
    /// socket, serves again what it served before as soon as it is back, without registering.
    ///
    /// The directory is made when there is none, with mode 0700. Nothing is remembered without this. Registrations are written by a thread of
    /// its own, 1,024 of them at most, of 1 MiB at most.
    ///
    /// Starting ends with PERMISSION_DENIED when the directory is not this user's alone, NAME_TAKEN when another engine uses it, and
    /// VERSION_MISMATCH when a newer one has written it. A damaged file is put aside, and [`Engine::warnings`] tells so.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// use procall_engine::Engine;
    ///
    /// let state = folder.path().join("state");
    /// let engine = Engine::builder().listen("tcp:127.0.0.1:0".parse()?).state(&state).start()?;
    /// assert!(engine.warnings().is_empty());
    /// engine.stop().await;
    /// # Ok(()) }
    /// ```
    pub fn state(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state = Some(directory.into());
        self
    }

    /// Starts this service's workers: with the engine, or when it is called.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use procall_engine::{Engine, Program, ServiceSpec, StartWhen};
    ///
    /// let calc = ServiceSpec::new("calc", Program::File("calc.py".into()));
    /// let engine = Engine::builder().service(ServiceSpec { start: StartWhen::Call, ..calc }).start()?;
    /// let sum: i64 = engine.client().await?.call("calc.add", (2, 3)).await?;
    /// # Ok(()) }
    /// ```
    pub fn service(mut self, service: ServiceSpec) -> Self {
        self.services.push(service);
        self
    }

    /// Called with every line that the workers of the engine's services print, and the place of the service; without it, lines go to standard
    /// error.
    pub fn on_output(mut self, call: impl Fn(usize, &OutputLine) + Send + Sync + 'static) -> Self {
        self.watch.on_output = Some(Arc::new(call));
        self
    }

    /// Called with everything that happens to the workers of the engine's services, and the place of the service.
    pub fn on_worker_event(
        mut self,
        call: impl Fn(usize, &procall_pool::Event) + Send + Sync + 'static,
    ) -> Self {
        self.watch.on_event = Some(Arc::new(call));
        self
    }

    /// Called when a service of the engine's starts, fails or stops.
    pub fn on_service(mut self, call: impl Fn(&ServiceNews<'_>) + Send + Sync + 'static) -> Self {
        self.watch.on_news = Some(Arc::new(call));
        self
    }

    /// Starts it on the current runtime.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a token that is too easy to guess or there twice, NAME_TAKEN when another listens there, PERMISSION_DENIED or
    /// UNAVAILABLE when HTTP cannot be answered where it was asked for, and what [`Listener::bind`] says otherwise.
    /// Besides, what [`state`](Self::state) says, and INVALID_ARGUMENT for services that cannot be.
    pub fn start(self) -> Result<Engine, Error> {
        let Self { mut listen, tls, settings, tokens, guests, state, services, watch } = self;
        let doors = Doors::new(tokens, guests.unwrap_or_else(Rights::user))?;
        for (at, service) in services.iter().enumerate() {
            service.check()?;
            if services[..at].iter().any(|other| other.name == service.name) {
                return Err(Error::invalid(format!(
                    "two services are called \"{}\"",
                    service.name
                )));
            }
        }
        if listen.is_empty() {
            listen.push(surroundings::address_of(NAME)?);
        }
        let bind = |address| match &tls {
            Some(tls) => Listener::bind_secured(address, tls),
            None => Listener::bind(address),
        };
        let listeners: Vec<Listener> = listen.iter().map(bind).collect::<Result<_, _>>()?;
        let addresses = listeners.iter().map(|listener| listener.address().clone()).collect();
        let http = Bound::bind(settings.http.clone(), tls.as_ref())?;
        let (memory, mut warnings) = match &state {
            Some(directory) => {
                let (memory, warnings) = Memory::open(directory)?;
                (Some(memory), warnings)
            }
            None => (None, Vec::new()),
        };
        let core = Core::new(settings, doors, memory);
        warnings.extend(core.restore());
        own::serve(&core)?;
        let http = http.map(|bound| HttpServer::start(bound, &core));
        let activation = Activation::start(&core, services, &watch);
        let mut tasks = vec![tokio::spawn(keep_time(core.clone()))];
        for listener in listeners {
            let core = core.clone();
            tasks.push(tokio::spawn(async move {
                // It ends with the runtime, or with the engine.
                let _ = accept::listen(listener, core).await;
            }));
        }
        Ok(Engine { core, addresses, http, warnings, activation, tasks: Tasks(tasks) })
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
    warnings: Vec<String>,
    activation: Activation,
    tasks: Tasks,
}

/// Ends with its owner.
#[derive(Debug)]
struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    /// Ends them, and waits until they have: they hold the listeners.
    async fn end(mut self) {
        for task in std::mem::take(&mut self.0) {
            task.abort();
            // That it was ended is no news.
            let _ = task.await;
        }
    }
}

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

    /// The same with what goes before it: `http://127.0.0.1:8081`, or `https://127.0.0.1:8081`.
    pub fn http_url(&self) -> Option<String> {
        let http = self.http.as_ref()?;
        let scheme = if http.is_secure() { "https" } else { "http" };
        Some(format!("{scheme}://{}", http.address()))
    }

    /// What is to be known of how it started: that its state was damaged, for one.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Why registrations cannot be written to the directory of the engine's state now, if it is so.
    pub fn state_trouble(&self) -> Option<String> {
        self.core.memory.as_ref().and_then(Memory::trouble)
    }

    /// A client in the engine's own process.
    pub async fn client(&self) -> Result<Client, Error> {
        let (near, far) = pair()?;
        let facts = Facts::inside(Speaks::Native);
        self.core.join(far, Side::Acceptor, facts)?;
        Client::over(near).await
    }

    /// What was counted of the calls that went through it.
    pub fn metrics(&self) -> Metrics {
        self.core.meter.metrics()
    }

    /// Resolves when somebody asks the engine to stop, by `procall.engine.stop`. It goes on until its owner heeds that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use procall_engine::Engine;
    ///
    /// let engine = Engine::builder().listen("tcp:127.0.0.1:0".parse()?).start()?;
    /// engine.client().await?.call::<Vec<String>>("procall.engine.stop", ()).await?;
    /// engine.asked_to_stop().await;
    /// engine.stop().await;
    /// # Ok(()) }
    /// ```
    pub async fn asked_to_stop(&self) {
        self.core.stop.notified().await;
    }

    /// Takes no new calls, lets those in flight finish for as long as the builder said, then hangs up.
    pub async fn stop(self) {
        /// How often it is looked whether all are done.
        const LOOK: Duration = Duration::from_millis(5);
        let Self { core, tasks, http, activation, .. } = self;
        tasks.end().await;
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
        activation.stop().await;
        connections.iter().for_each(Connection::close);
        if let Some(http) = http {
            // All calls are over; what remains is to send the answers.
            http.stop(HTTP_GOODBYE).await;
        }
        if let Some(exporter) = &core.exporter {
            exporter.stop().await;
        }
        if core.memory.is_some() {
            // It waits for the disk. Its panic was told already.
            let _ =
                tokio::task::spawn_blocking(move || core.memory.as_ref().map(Memory::close)).await;
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
        let connection =
            procall::serve_raw(near, Side::Initiator, procall::Config::default(), service)?;
        connection.measure(self.inside.clone());
        Ok(connection)
    }

    fn authenticate(
        &self,
        credentials: Option<PeerCredentials>,
        token: Option<&[u8]>,
    ) -> Result<Pass, Error> {
        self.doors.admit(credentials, token)
    }

    fn strayed(&self, more: JsonCounters) {
        self.strays.add(more);
    }
}
