//! The listener, and one task for each connection.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use procall::{Error, ErrorCode, TlsServing};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::guard::Admitted;
use super::settings::HttpSettings;
use super::visitor::Visitor;
use super::{call, documents, guard, rpc, ws};
use crate::accept::GREETING;
use crate::core::Core;

/// Connections at one time; whoever comes then waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 2_048;
/// How long a request's head may take to come, and how long a connection may be idle; then it is closed.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a request's head; a longer one is answered with 431.
const MAX_HEAD: usize = 64 << 10;
/// Headers of a request; more are answered with 431.
const MAX_HEADERS: usize = 100;
/// Pause after a failed accept, so that running out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port that is ours, with nobody let in yet.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    settings: HttpSettings,
    tls: Option<Arc<ServerConfig>>,
}

impl Bound {
    /// `None` when the settings have no address.
    ///
    /// # Errors
    ///
    /// NAME_TAKEN when another listens there, PERMISSION_DENIED when this user may not, and UNAVAILABLE when it is no address of this machine.
    /// Over TLS also those of [`TlsServing`].
    pub(crate) fn bind(
        settings: HttpSettings,
        tls: Option<&TlsServing>,
    ) -> Result<Option<Self>, Error> {
        let Some(wanted) = settings.address else { return Ok(None) };
        let tls = match settings.secure {
            true => {
                let serving = tls.map_or_else(TlsServing::of_environment, |tls| Ok(tls.clone()))?;
                Some(serving.load()?.for_protocol("http/1.1"))
            }
            false => None,
        };
        let refused = |error: std::io::Error| {
            let (code, what) = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    (ErrorCode::NameTaken, "another process listens there")
                }
                std::io::ErrorKind::PermissionDenied => {
                    (ErrorCode::PermissionDenied, "this user may not listen there")
                }
                _ => (ErrorCode::Unavailable, "nobody can listen there"),
            };
            Error::new(code, format!("http at {wanted}: {what} ({error})")).with_source(error)
        };
        let listener = StdListener::bind(wanted).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let listener = TcpListener::from_std(listener).map_err(refused)?;
        Ok(Some(Self { listener, address, settings, tls }))
    }
}

/// The gateway while it listens. It ends with its owner.
#[derive(Debug)]
pub(crate) struct HttpServer {
    address: SocketAddr,
    secure: bool,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Takes whoever comes, on the current runtime.
    pub(crate) fn start(bound: Bound, core: &Arc<Core>) -> Self {
        let Bound { listener, address, settings, tls } = bound;
        let (stop, stopping) = watch::channel(false);
        let secure = tls.is_some();
        let tls = tls.map(TlsAcceptor::from);
        let task = tokio::spawn(listen(listener, tls, core.clone(), Arc::new(settings), stopping));
        Self { address, secure, stop, task }
    }

    /// Whether it is over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes nobody any more, and waits until all have their answers.
    pub(crate) async fn stop(mut self, longest: Duration) {
        // Fails when the task is over already.
        let _ = self.stop.send(true);
        // Past the time the rest ends with the task.
        let _ = tokio::time::timeout(longest, &mut self.task).await;
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    core: Arc<Core>,
    settings: Arc<HttpSettings>,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let router = TowerToHyperService::new(router());
    let mut visits = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopping.changed() => break,
            Some(_) = visits.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, ends, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let visitor = Arc::new(Visitor::new(core.clone(), settings.clone(), ends, place));
        let (router, mut stopping) = (router.clone(), stopping.clone());
        match tls.clone() {
            None => visits.spawn(visit(stream, visitor, router, stopping)),
            Some(tls) => visits.spawn(async move {
                let secured = tokio::select! {
                    secured = timeout(GREETING, secured(tls, stream)) => secured,
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                };
                // Whoever could not be agreed with is hung up on.
                if let Ok(Some(stream)) = secured {
                    visit(stream, visitor, router, stopping).await;
                }
            }),
        };
    }
    drop(listener);
    while visits.join_next().await.is_some() {}
}

type Accepted = (TcpStream, (SocketAddr, SocketAddr), tokio::sync::OwnedSemaphorePermit);

/// `None` when that failed: out of descriptors, most likely.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = places.clone().acquire_owned().await.ok()?;
    let (stream, remote) = listener.accept().await.ok()?;
    let local = stream.local_addr().ok()?;
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    Some((stream, (remote, local), place))
}

/// The handshake; `None` for whoever fails it.
async fn secured(tls: TlsAcceptor, mut stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    /// The first byte of every handshake.
    const HANDSHAKE: u8 = 0x16;
    let mut first = [0];
    stream.peek(&mut first).await.ok()?;
    if first[0] != HANDSHAKE {
        // Who speaks plain HTTP can be told so; there is nobody left to tell if that fails.
        let _ = stream.write_all(PLAIN.as_bytes()).await;
        let _ = stream.shutdown().await;
        // Closing with its request unread would take the answer back.
        let _ = tokio::io::copy(&mut stream.take(MAX_HEAD as u64), &mut tokio::io::sink()).await;
        return None;
    }
    tls.accept(stream).await.ok()
}

/// What a plain request is told where TLS is spoken.
const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\
                     Content-Length: 43\r\n\r\nthis port speaks TLS: begin with https://\r\n";

async fn visit(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    visitor: Arc<Visitor>,
    router: TowerToHyperService<Router>,
    mut stopping: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(visitor.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // Whatever ended it: the client is gone.
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stopping| *stopping) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn router() -> Router {
    Router::new()
        .route("/v1/call/{service}/{method}", post(call::by_both))
        .route("/v1/call/{method}", post(call::by_name))
        .route("/v1/methods", get(documents::methods))
        .route("/openapi.json", get(documents::openapi))
        .route("/rpc", post(rpc::handle))
        .route("/ws", get(ws::upgrade))
        .route("/healthz", get(documents::health))
        .route("/metrics", get(documents::metrics))
        .method_not_allowed_fallback(documents::not_so)
        .fallback(documents::nothing)
        .layer(from_fn(guarded))
}

/// Lets a request through that may be answered.
async fn guarded(mut request: Request, next: Next) -> Response {
    let Some(visitor) = request.extensions().get::<Arc<Visitor>>() else {
        // Every connection puts itself into its requests.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let (settings, doors) = (&visitor.settings, &visitor.core.doors);
    let checked = guard::check(settings, doors, visitor.local, method, uri, headers);
    let preflight = method == Method::OPTIONS;
    let (mut response, foreign) = match checked {
        Err(failure) => (failure.into_response(), None),
        Ok(Admitted { foreign: Some(foreign), .. }) if preflight => (allowed(), Some(foreign)),
        Ok(Admitted { foreign, pass }) => {
            let visitor = Arc::new(visitor.with(pass));
            request.extensions_mut().insert(visitor);
            (next.run(request).await, foreign)
        }
    };
    let headers = response.headers_mut();
    if let Some(origin) = foreign.and_then(|origin| HeaderValue::from_str(&origin).ok()) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// What a browser is told that asks whether a page of an allowed origin may call.
fn allowed() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let told = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, procall-timeout-ms, procall-idempotent, procall-to, \
             procall-key, procall-version, procall-wait, idempotency-key, traceparent, tracestate",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    for (name, value) in told {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
