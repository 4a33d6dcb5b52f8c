//! A way of the user's own between a pool and its workers.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;

use procall::transport::Link;

/// A transport of your own, over which the workers of a pool come instead of their inherited channel.
///
/// The pool opens it once for every start of a worker, and gives the worker what it needs to come: variables of its environment. The worker
/// makes its end of the link and serves over it, with [`Service::run_over`](procall::Service::run_over) or
/// [`MessagesBuilder::over`](procall::MessagesBuilder::over). What holds of every pool holds here too: a stranger who comes without the
/// worker's one-time token is refused, death is seen at once, and no worker outlives its pool, because the inherited channel stays open
/// as a lifeline. A worker that knows nothing of the transport comes over that channel as ever.
///
/// [`Listener`](procall::Listener) is a door, so a pool over TCP takes no more than this; for a [`Link`] written from nothing, see
/// `examples/02-workers`.
///
/// ```no_run
/// use procall::Listener;
/// use procall_pool::{Opening, Pool, Transport};
///
/// struct Tcp;
///
/// impl Transport for Tcp {
///     fn open(&self, _worker: &str) -> std::io::Result<Opening> {
///         let listener = Listener::bind(&procall::transport::Address::Tcp(([127, 0, 0, 1], 0).into()))
///             .map_err(std::io::Error::other)?;
///         let address = listener.address().to_string();
///         Ok(Opening::new(listener).env("CALC_ADDRESS", address))
///     }
/// }
///
/// let pool = Pool::spawn("target/debug/calc").transport(Tcp).start().wait()?;
/// # Ok::<(), procall::Error>(())
/// ```
pub trait Transport: Send + Sync + 'static {
    /// Makes ready for one process of the worker named, such as `calc/2`, to come.
    ///
    /// It runs on the thread that supervises all workers of this process, so it must not wait for anything. A panic counts as an error.
    ///
    /// # Errors
    ///
    /// The worker is then not started: its start ends with SPAWN_FAILED and this error, and counts as an exit.
    fn open(&self, worker: &str) -> io::Result<Opening>;
}

/// A transport that was opened for one process of a worker. Made in [`Transport::open`].
pub struct Opening {
    pub(crate) door: Box<dyn Door>,
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl Opening {
    /// The worker will come through this door.
    pub fn new(door: impl Door) -> Self {
        Self { door: Box::new(door), env: Vec::new() }
    }

    /// Sets a variable of the worker's environment: an address, most likely. It wins over one of [`PoolBuilder::env`](crate::PoolBuilder::env).
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

impl std::fmt::Debug for Opening {
    /// Without the variables: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

/// Where a worker comes in. Its descriptor is readable whenever somebody may have come.
///
/// It is dropped once the worker is ready, or its start has failed. Both methods run on the thread that supervises all workers of this
/// process, so they must not wait.
///
/// ```
/// use std::io;
/// use std::net::TcpListener;
/// use std::os::fd::{AsFd, BorrowedFd};
///
/// use procall::transport::Link;
/// use procall_pool::Door;
///
/// struct MyDoor {
///     listener: TcpListener, // non-blocking
/// }
///
/// impl AsFd for MyDoor {
///     fn as_fd(&self) -> BorrowedFd<'_> {
///         self.listener.as_fd()
///     }
/// }
///
/// impl Door for MyDoor {
///     fn accept(&self) -> io::Result<Option<Box<dyn Link>>> {
///         match self.listener.accept() {
///             Ok((stream, _)) => my_link(stream).map(Some),
///             Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
///             Err(error) => Err(error),
///         }
///     }
/// }
/// # fn my_link(stream: std::net::TcpStream) -> io::Result<Box<dyn Link>> {
/// #     let options = procall::transport::LinkOptions::default();
/// #     Ok(Box::new(procall::transport::tcp::TcpLink::from_fd(stream.into(), &options)?))
/// # }
/// ```
pub trait Door: AsFd + Send + 'static {
    /// Whoever came next, or `None` when nobody is there now. It need not be the worker: whoever cannot show the token is sent away.
    ///
    /// # Errors
    ///
    /// The door is then closed; a worker that has not come by then is told as one that was not ready in time.
    fn accept(&self) -> io::Result<Option<Box<dyn Link>>>;
}

impl Door for procall::Listener {
    fn accept(&self) -> io::Result<Option<Box<dyn Link>>> {
        Self::accept(self)
    }
}
