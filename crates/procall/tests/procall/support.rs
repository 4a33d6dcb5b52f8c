//! What several tests need.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use procall::transport::shm::Choice;
use procall::transport::tcp::{TcpLink, TcpListener};
use procall::transport::unix::UnixLink;
use procall::transport::{Link, LinkOptions, mem};
use procall::{BlockingClient, Client, Connection, Service};

/// Longer than anything takes, so that only what never happens runs into it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Mem,
    Unix,
    /// A Unix link that moves to shared memory, or fails.
    Shm,
    Tcp,
}

pub(crate) const TRANSPORTS: [Transport; 4] =
    [Transport::Mem, Transport::Unix, Transport::Shm, Transport::Tcp];

/// Two ends of a link.
pub(crate) fn pair(transport: Transport) -> (Box<dyn Link>, Box<dyn Link>) {
    let options = LinkOptions::default();
    match transport {
        Transport::Mem => {
            let (left, right) = mem::pair(&options).unwrap();
            (Box::new(left), Box::new(right))
        }
        Transport::Unix => local_pair(Some(Choice::Unix), Some(Choice::Unix)),
        Transport::Shm => local_pair(Some(Choice::Shm), Some(Choice::Shm)),
        Transport::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let left = TcpLink::connect(address, &options).unwrap();
            let right = poll_until(|| listener.accept(&options).unwrap());
            (Box::new(left), Box::new(right))
        }
    }
}

/// Two ends of a Unix link that are to go on as each of them says.
pub(crate) fn local_pair(
    left: Option<Choice>,
    right: Option<Choice>,
) -> (Box<dyn Link>, Box<dyn Link>) {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let link = |socket: std::os::unix::net::UnixStream, choice| {
        let options = LinkOptions { choice, ..LinkOptions::default() };
        Box::new(UnixLink::from_fd(socket.into(), &options).unwrap())
    };
    (link(one, left), link(other, right))
}

/// An async client of a service in this process.
pub(crate) async fn client(service: Service) -> Client {
    client_over(Transport::Mem, service).await.0
}

pub(crate) async fn client_over(transport: Transport, service: Service) -> (Client, Connection) {
    let (ours, theirs) = pair(transport);
    let serving = service.serve_link(theirs).unwrap();
    (Client::over(ours).await.unwrap(), serving)
}

/// A blocking client of a service that a runtime on another thread serves for as long as the `Host` lives.
pub(crate) fn blocking(transport: Transport, service: Service) -> (BlockingClient, Host) {
    let host = Host::new();
    let (ours, theirs) = pair(transport);
    let serving = host.runtime.block_on(async { service.serve_link(theirs) }).unwrap();
    (BlockingClient::over(ours).unwrap(), Host { _serving: Some(serving), ..host })
}

/// A runtime with threads of its own.
pub(crate) struct Host {
    pub(crate) runtime: tokio::runtime::Runtime,
    _serving: Option<Connection>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self { runtime, _serving: None }
    }
}

/// Something that happens once.
#[derive(Clone, Default)]
pub(crate) struct Event {
    inner: Arc<(Mutex<bool>, Condvar)>,
    notify: Arc<tokio::sync::Notify>,
}

impl Event {
    pub(crate) fn set(&self) {
        *self.inner.0.lock().unwrap() = true;
        self.inner.1.notify_all();
        self.notify.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.inner.0.lock().unwrap()
    }

    /// Waits on this thread.
    pub(crate) fn wait(&self) {
        let guard = self.inner.0.lock().unwrap();
        let (set, _) = self.inner.1.wait_timeout_while(guard, LONG, |set| !*set).unwrap();
        assert!(*set, "the event did not come");
    }

    pub(crate) async fn happened(&self) {
        let wait = async {
            loop {
                let notified = self.notify.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if self.is_set() {
                    return;
                }
                notified.await;
            }
        };
        within(wait).await;
    }

    /// Sets the event when it is dropped.
    pub(crate) fn on_drop(&self) -> OnDrop {
        OnDrop(self.clone())
    }
}

pub(crate) struct OnDrop(Event);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Fails instead of hanging.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("this takes too long")
}

/// Looks again every millisecond until something is there.
pub(crate) fn poll_until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LONG, "it does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}
