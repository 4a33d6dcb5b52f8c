//! Sends spans to a collector, many at once, from a task of its own. Whoever ends a call never waits for that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Endpoint, Told, encode};

/// Calls whose spans wait to be sent; those that come when there are so many are dropped and counted.
pub(crate) const WAITING: usize = 4_096;
/// Calls of one request.
const BATCH: usize = 512;
/// How long spans wait for others to go with them.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to a collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    sender: Mutex<Option<mpsc::Sender<Told>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
}

/// Calls by what became of their spans.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Exporter {
    /// Begins to send, on the current runtime, what a process does that the collector knows by this name.
    pub(crate) fn start(endpoint: Endpoint, service: &str) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING);
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(run((endpoint, service.to_owned()), waiting, counts.clone()));
        Self { sender: Mutex::new(Some(sender)), task: Mutex::new(Some(task)), counts }
    }

    pub(crate) fn tell(&self, ended: Told) {
        let sender = lock(&self.sender);
        let taken = sender.as_ref().is_some_and(|sender| sender.try_send(ended).is_ok());
        if !taken {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Calls whose spans were sent, and those whose spans were dropped.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.counts.sent), read(&self.counts.dropped))
    }

    /// Sends what waits, and ends.
    pub(crate) async fn stop(&self) {
        drop(lock(&self.sender).take());
        let task = lock(&self.task).take();
        if let Some(task) = task {
            // A collector that does not answer keeps nobody from his end; a panic was told already.
            let _ = timeout(PATIENCE, task).await;
        }
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks panics half-way.
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(
    (endpoint, service): (Endpoint, String),
    mut waiting: mpsc::Receiver<Told>,
    counts: Arc<Counts>,
) {
    let mut connection = None;
    let mut well = true;
    loop {
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let more = async {
            while batch.len() < BATCH {
                let left = BATCH - batch.len();
                if waiting.recv_many(&mut batch, left).await == 0 {
                    return;
                }
            }
        };
        // Sent earlier when there are enough, or when nothing more will come.
        let _ = timeout(PAUSE, more).await;
        let sent = match timeout(
            PATIENCE,
            send(&endpoint, &mut connection, encode::request(&service, &batch)),
        )
        .await
        {
            Ok(sent) => sent,
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        let calls = batch.len() as u64;
        match sent {
            Ok(()) => {
                well = true;
                counts.sent.fetch_add(calls, Ordering::Relaxed);
            }
            Err(why) => {
                connection = None;
                counts.dropped.fetch_add(calls, Ordering::Relaxed);
                // Once for each time that it begins to fail.
                if std::mem::replace(&mut well, false) {
                    tracing::warn!(target: "procall.engine", %endpoint, why, "spans cannot be sent");
                }
            }
        }
    }
}

type Connection = http1::SendRequest<Body>;

async fn send(
    endpoint: &Endpoint,
    connection: &mut Option<Connection>,
    body: Vec<u8>,
) -> Result<(), String> {
    let request = || {
        Request::post(&endpoint.path)
            .header(header::HOST, &endpoint.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.clone()))
            .map_err(|error| error.to_string())
    };
    // A connection that has lain idle may be over, which shows when it is used.
    if let Some(open) = connection.as_mut().filter(|open| !open.is_closed())
        && open.ready().await.is_ok()
        && let Ok(answer) = open.send_request(request()?).await
    {
        return heed(answer).await;
    }
    let (host, port) = &endpoint.target;
    let stream = TcpStream::connect((&**host, *port)).await.map_err(|error| error.to_string())?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut open, driver) = handshake.map_err(|error| error.to_string())?;
    // It ends with the connection; why, the request tells.
    tokio::spawn(driver);
    let answer = open.send_request(request()?).await.map_err(|error| error.to_string())?;
    *connection = Some(open);
    heed(answer).await
}

/// Reads an answer to its end, so that the connection can be used again.
async fn heed(answer: hyper::Response<hyper::body::Incoming>) -> Result<(), String> {
    /// Bytes of an answer that are read; it has some words at most.
    const MAX_ANSWER: usize = 64 << 10;
    let status = answer.status();
    let read = axum::body::to_bytes(Body::new(answer.into_body()), MAX_ANSWER).await;
    match (status.is_success(), read) {
        (true, Ok(_)) => Ok(()),
        (true, Err(error)) => Err(error.to_string()),
        (false, _) => Err(format!("it answers {status}")),
    }
}
