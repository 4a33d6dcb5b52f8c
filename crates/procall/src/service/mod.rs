//! Services: named sets of methods.

mod calls;
mod handler;
mod params;
mod table;
mod typed;

#[cfg(feature = "schema")]
mod checked;
#[cfg(feature = "tokio")]
mod dispatch;
#[cfg(feature = "tokio")]
mod relay;
#[cfg(feature = "tokio")]
mod relayed;
#[cfg(feature = "tokio")]
mod renewal;

use std::marker::PhantomData;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use calls::{Calls, PulledCall};
pub use handler::{Answer, Arrival, Handler};
pub use params::{Bound, Params, Signature};
#[cfg(feature = "tokio")]
pub use relayed::{Onlooker, Relaying};
#[cfg(feature = "tokio")]
pub use renewal::Renewal;
pub use table::{MethodTable, Target, similar};
pub use typed::{Arguments, Function, Parameter, WithContext};

#[cfg(feature = "tokio")]
pub(crate) use dispatch::Dispatcher;
pub(crate) use typed::{EncodeItems, Expected, encoded, params_schema, ran, schema_of};

use crate::error::IntoError;
use crate::registration::{DeclaredError, MethodInfo, Registration, Shape};
use crate::stream::Stream;
use crate::tls::TlsFiles;
use typed::Typed;

/// Calls a service made of Rust closures works on at the same time, as it registers.
const CONCURRENCY: u32 = 1024;

/// A named set of methods, made from closures or by the `#[procall::service]` attribute.
///
/// A method added as `add` to the service `calc` has the full name `calc.add`; a name with a dot stays as it is.
///
/// ```
/// use procall::Service;
///
/// let service = Service::new("calc")
///     .method("add", |a: i64, b: i64| a + b)
///     .params("add", &["a", "b"])
///     .try_method("div", |a: i64, b: i64| {
///         if b == 0 { Err(procall::Error::handler("DivideByZero", "b is 0")) } else { Ok(a / b) }
///     })
///     .idempotent("add");
/// assert_eq!(service.registration().methods[0].name, "calc.add");
/// ```
#[derive(Clone)]
pub struct Service {
    registration: Registration,
    handlers: Vec<Arc<dyn Handler>>,
    engine: Option<String>,
    /// What this process wants to be called among the service's workers.
    own_name: Option<String>,
    /// By what an engine recognises it when it comes back.
    identity: String,
    engine_token: Option<Vec<u8>>,
    compression: bool,
    engine_tls: TlsFiles,
    #[cfg(feature = "tokio")]
    renewal: Option<Renewal>,
}

impl Service {
    /// A service without methods.
    ///
    /// # Panics
    ///
    /// When the name is empty or longer than 255 bytes, or has white space or control characters.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(crate::registration::is_name(&name), "{name:?} cannot name a service");
        let registration =
            Registration { name, concurrency: CONCURRENCY, ..Registration::default() };
        Self {
            registration,
            handlers: Vec::new(),
            engine: None,
            own_name: None,
            identity: String::new(),
            engine_token: None,
            compression: crate::surroundings::compression(),
            engine_tls: TlsFiles::default(),
            #[cfg(feature = "tokio")]
            renewal: None,
        }
    }

    /// The engine to register with, by address or name, instead of listening itself; see [`run`](Self::run).
    #[must_use]
    pub fn engine(mut self, target: impl Into<String>) -> Self {
        self.engine = Some(target.into());
        self
    }

    /// What this process is called among the service's workers with an engine, and named by in [`Call::to`](crate::Call::to), instead of
    /// `calc/1`, `calc/2` and so on. [`run`](Self::run) fails with NAME_TAKEN while another has the name. Without an engine it means nothing.
    #[must_use]
    pub fn worker_name(mut self, name: impl Into<String>) -> Self {
        self.own_name = Some(name.into());
        self
    }

    /// By what an engine that keeps its state recognises this service when it comes back over a Unix socket: it serves again what it served
    /// before as soon as it is connected, and nobody else of this user can take its place while it is there. Without it,
    /// `PROCALL_IDENTITY` says it, if that is set; see [`surroundings::identity`](crate::surroundings::identity).
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> Result<(), procall::Error> {
    /// let math = procall::Service::new("math").method("add", |a: i64, b: i64| a + b);
    /// math.engine("engine").identity("math-1").run().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = identity.into();
        self
    }

    /// The token to show to that engine. Without it, the engine is shown what the file of `PROCALL_ENGINE_TOKEN_FILE` holds. A secret belongs
    /// into a file, not into the program: see [`read_token`](crate::surroundings::read_token).
    ///
    /// ```no_run
    /// # fn f() -> Result<(), procall::Error> {
    /// use procall::{Service, surroundings::read_token};
    ///
    /// let token = read_token("/run/secrets/math".as_ref())?;
    /// let math = Service::new("math").engine("tcp:127.0.0.1:8080").engine_token(token);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn engine_token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.engine_token = Some(token.into());
        self
    }

    /// Whether long messages travel compressed between it and callers, or an engine, that want that too: off, unless
    /// [`PROCALL_COMPRESSION`](crate::surroundings::compression) says otherwise. It is for slow links.
    ///
    /// ```
    /// let service = procall::Service::new("maps").method("tile", |_x: u32, _y: u32| "").compression(true);
    /// # let _ = service;
    /// ```
    #[must_use]
    pub fn compression(mut self, compression: bool) -> Self {
        self.compression = compression;
        self
    }

    /// How to check an engine over TLS, and what to show it of oneself, instead of what the environment says; see [`TlsFiles`].
    ///
    /// ```no_run
    /// use procall::{Service, TlsFiles};
    ///
    /// let tls = TlsFiles { ca: Some("ca.pem".into()), ..TlsFiles::default() };
    /// let math = Service::new("math").engine("tls:engine.example:8443").engine_tls(tls);
    /// ```
    #[must_use]
    pub fn engine_tls(mut self, tls: TlsFiles) -> Self {
        self.engine_tls = tls;
        self
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn compresses(&self) -> bool {
        self.compression
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn engine_tls_given(&self) -> TlsFiles {
        self.engine_tls.clone()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn own_name(&self) -> &str {
        self.own_name.as_deref().unwrap_or(&self.registration.name)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn identity_given(&self) -> &str {
        &self.identity
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn engine_token_given(&self) -> Option<Vec<u8>> {
        self.engine_token.clone()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn engine_target(&self) -> Option<&str> {
        self.engine.as_deref()
    }

    /// Its own version, shown to callers.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.registration.version = version.into();
        self
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.registration.description = description.into();
        self
    }

    /// How many calls it works on at the same time, 1,024. A pool gives a worker no more than this.
    #[must_use]
    pub fn concurrency(mut self, calls: u32) -> Self {
        self.registration.concurrency = calls.max(1);
        self
    }

    /// Adds a method that returns a value. It runs on the thread that reads the link: for work that takes more than some microseconds use
    /// [`blocking_method`](Self::blocking_method) or [`async_method`](Self::async_method).
    #[must_use]
    pub fn method<F, Args, R>(self, name: &str, function: F) -> Self
    where
        F: Function<Args, R>,
        Args: 'static,
        R: Serialize + JsonSchema + 'static,
    {
        self.typed::<F, Args, R, R>(name, function, Shape::Unary, typed::value_answer::<R>)
    }

    /// Adds a method that returns a value or an error.
    #[must_use]
    pub fn try_method<F, Args, R, E>(self, name: &str, function: F) -> Self
    where
        F: Function<Args, Result<R, E>>,
        Args: 'static,
        R: Serialize + JsonSchema + 'static,
        E: IntoError + 'static,
    {
        self.typed::<F, Args, Result<R, E>, R>(
            name,
            function,
            Shape::Unary,
            typed::result_answer::<R, E>,
        )
    }

    /// Adds an async method.
    ///
    /// ```
    /// use procall::{Error, Service};
    ///
    /// let service = Service::new("clock").async_method("after", async |ms: u64| {
    ///     tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    ///     Ok::<_, Error>(ms)
    /// });
    /// # let _ = service;
    /// ```
    #[must_use]
    pub fn async_method<F, Args, Fut, R, E>(self, name: &str, function: F) -> Self
    where
        F: Function<Args, Fut>,
        Args: 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Serialize + JsonSchema + 'static,
        E: IntoError + 'static,
    {
        self.typed::<F, Args, Fut, R>(
            name,
            function,
            Shape::Unary,
            typed::future_answer::<Fut, R, E>,
        )
    }

    /// Adds a method that may block: it runs on a thread for such work.
    ///
    /// ```
    /// use procall::{Error, Service};
    ///
    /// let service = Service::new("files").blocking_method("size", |path: String| {
    ///     std::fs::metadata(&path)
    ///         .map(|found| found.len())
    ///         .map_err(|error| Error::handler("io", error.to_string()))
    /// });
    /// # let _ = service;
    /// ```
    #[must_use]
    pub fn blocking_method<F, Args, R, E>(self, name: &str, function: F) -> Self
    where
        F: Function<Args, Result<R, E>>,
        F::Arguments: Send + 'static,
        Args: 'static,
        R: Serialize + JsonSchema + 'static,
        E: IntoError + 'static,
    {
        let (info, expected) = described::<F::Arguments, R>(name, Shape::Unary);
        let function = Arc::new(function);
        self.method_info(info, typed::Blocking { function, expected, marker: PhantomData })
    }

    /// Adds a method whose answer is a stream.
    ///
    /// ```
    /// use procall::{Service, Stream};
    ///
    /// let service = Service::new("calc").stream_method("count", |n: u64| Stream::from_iter(0..n));
    /// # let _ = service;
    /// ```
    #[must_use]
    pub fn stream_method<F, Args, R>(self, name: &str, function: F) -> Self
    where
        F: Function<Args, Stream<R>>,
        Args: 'static,
        R: Serialize + DeserializeOwned + JsonSchema + 'static,
    {
        self.typed::<F, Args, Stream<R>, R>(
            name,
            function,
            Shape::ItemsOut,
            typed::stream_answer::<R>,
        )
    }

    fn typed<F, Args, R, T>(
        self,
        name: &str,
        function: F,
        shape: Shape,
        wrap: impl Fn(R) -> Answer + Send + Sync + 'static,
    ) -> Self
    where
        F: Function<Args, R>,
        Args: 'static,
        R: 'static,
        T: JsonSchema,
    {
        let (info, expected) = described::<F::Arguments, T>(name, shape);
        let handler = Typed { function, expected, wrap, marker: PhantomData };
        self.method_info(info, handler)
    }

    /// Adds a method that takes calls as they come; see [`Handler`].
    #[must_use]
    pub fn handler(self, name: &str, handler: impl Handler) -> Self {
        self.method_info(MethodInfo { name: name.to_owned(), ..MethodInfo::default() }, handler)
    }

    /// Adds a method with everything that is known of it.
    ///
    /// # Panics
    ///
    /// When the name is not one, or is taken.
    #[must_use]
    pub fn method_info(mut self, mut info: MethodInfo, handler: impl Handler) -> Self {
        if !info.name.contains('.') {
            info.name = format!("{}.{}", self.registration.name, info.name);
        }
        assert!(crate::registration::is_name(&info.name), "{:?} cannot name a method", info.name);
        let taken = self.registration.methods.iter().any(|method| method.name == info.name);
        assert!(!taken, "method {:?} is there already", info.name);
        self.registration.methods.push(info);
        self.handlers.push(Arc::new(handler));
        self
    }

    /// Names a method's parameters, so that callers may send them by name. Without it they are `arg1`, `arg2` and so on.
    ///
    /// # Panics
    ///
    /// When there is no such method, or it has another number of parameters.
    #[must_use]
    pub fn params(mut self, method: &str, names: &[&str]) -> Self {
        let info = self.info_mut(method);
        assert_eq!(info.params.len(), names.len(), "{method} has another number of parameters");
        if let Some(schema) = &mut info.params_schema {
            typed::rename(schema, &info.params, names);
        }
        info.params = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Says that a method may run more than once without harm.
    ///
    /// # Panics
    ///
    /// When there is no such method.
    #[must_use]
    pub fn idempotent(mut self, method: &str) -> Self {
        self.info_mut(method).idempotent = true;
        self
    }

    /// Says which errors of its own a method may fail with, beside those of the registry; see [`DeclaredError`].
    ///
    /// # Panics
    ///
    /// When there is no such method.
    #[must_use]
    pub fn errors(mut self, method: &str, errors: impl IntoIterator<Item = DeclaredError>) -> Self {
        self.info_mut(method).errors.extend(errors);
        self
    }

    /// Has routers pass a method's params and results on without checking them against their schemas; the service's own checks stay.
    ///
    /// # Panics
    ///
    /// When there is no such method.
    #[must_use]
    pub fn unchecked(mut self, method: &str) -> Self {
        self.info_mut(method).unchecked = true;
        self
    }

    fn info_mut(&mut self, method: &str) -> &mut MethodInfo {
        let full = format!("{}.{method}", self.registration.name);
        self.registration
            .methods
            .iter_mut()
            .find(|info| info.name == method || info.name == full)
            .unwrap_or_else(|| panic!("there is no method {method:?}"))
    }

    /// What this service registers.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn into_parts(self) -> (Registration, Vec<Arc<dyn Handler>>) {
        (self.registration, self.handlers)
    }
}

/// What a closure's types say of a method.
fn described<A: Arguments, T: JsonSchema>(name: &str, shape: Shape) -> (MethodInfo, Expected) {
    let parameters = A::parameters();
    let expected = Expected::of(&parameters);
    let names: Vec<String> = (1..=parameters.len()).map(|at| format!("arg{at}")).collect();
    let info = MethodInfo {
        name: name.to_owned(),
        params_schema: Some(params_schema(&names, parameters)),
        params: names,
        result_schema: Some(schema_of::<T>()),
        shape,
        ..MethodInfo::default()
    };
    (info, expected)
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("registration", &self.registration).finish_non_exhaustive()
    }
}
