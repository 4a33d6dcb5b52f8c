//! Finding a service that may not be there yet.

use std::fmt;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

use procall_proto::{Config, ErrorCode, Executed};
use procall_transport::shm::Choice;
use procall_transport::tcp::TcpDial;
use procall_transport::unix::UnixLink;
use procall_transport::{Address, Link, LinkOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::connection::Interrupt;
use crate::error::Error;
use crate::runtime_dir::{Place, socket_in};
use crate::service::similar;
use crate::surroundings;
use crate::tls::TlsFiles;
#[cfg(feature = "tls")]
use crate::tls::dial::SecureDial;

/// Pauses between two looks grow from here ...
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// ... to here: a service that comes up is found this much later at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause while a TCP connection is on its way.
const DIAL_PAUSE: Duration = Duration::from_millis(10);
/// Who is there has at least this long to answer, however little patience is left: the patience is for those who are not.
const COURTESY: Duration = Duration::from_secs(1);

/// Looks for a service by name or address until it is there, or until the patience is over.
///
/// It never waits itself, so that every kind of program can wait in its own way: [`try_open`](Self::try_open), and while that gives
/// `None`, wait for as long as [`pause`](Self::pause) says. Programs that may block a thread call [`wait`](Self::wait).
///
/// "Not there yet" is: no socket file, a socket that nobody listens at any more, a connection refused, a full queue. Everything else ends
/// the search at once: a directory or socket of another user, a bad name, an address that no link can have.
///
/// Patience of zero is one look. Within a handler the patience is at most what is left to it ([`remaining`](crate::remaining)).
///
/// ```
/// use std::time::Duration;
/// use procall::{ErrorCode, Finder, Listener};
///
/// let mut finder = Finder::new("tcp:127.0.0.1:1", Duration::from_millis(5));
/// let error = loop {
///     match finder.try_open() {
///         Ok(Some(_)) => unreachable!("nobody serves at port 1"),
///         Ok(None) => std::thread::sleep(finder.pause()),
///         Err(error) => break error,
///     }
/// };
/// assert_eq!(error.code(), ErrorCode::NoWorker);
///
/// let listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap())?;
/// let mut finder = Finder::new(&listener.address().to_string(), Duration::from_secs(5));
/// let _link = finder.wait(&mut || false)?;
/// # Ok::<(), procall::Error>(())
/// ```
#[derive(Debug)]
pub struct Finder {
    target: String,
    /// Where names are looked up; `None` is where the environment says.
    place: Option<Place>,
    patience: Duration,
    /// What the handler that we are called in had left.
    limit: Option<Duration>,
    since: Instant,
    pause: Duration,
    dial: Option<(Dial, Instant)>,
    tls: TlsFiles,
    /// The engine that is asked for the service, where one was named.
    engine: Option<String>,
    /// It is an engine that is looked for.
    for_engine: bool,
    /// The link that was found leads to an engine.
    through_engine: bool,
    /// How a link on this machine is to go on.
    choice: Option<Choice>,
}

/// A connection on its way.
#[derive(Debug)]
enum Dial {
    Plain(TcpDial),
    #[cfg(feature = "tls")]
    Secure(Box<SecureDial>),
}

impl Dial {
    fn finish(&mut self) -> std::io::Result<Option<Box<dyn Link>>> {
        match self {
            Self::Plain(dial) => {
                Ok(dial.finish(&LinkOptions::default())?.map(|link| Box::new(link) as _))
            }
            #[cfg(feature = "tls")]
            Self::Secure(dial) => dial.finish(),
        }
    }

    /// What becomes writable when there is something to tell, if anything does.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Plain(dial) => Some(dial.as_fd()),
            #[cfg(feature = "tls")]
            Self::Secure(dial) => dial.descriptor(),
        }
    }
}

/// Why nobody is there yet.
#[derive(Debug)]
enum Absence {
    /// The kernel says so.
    Said(std::io::Error),
    /// The runtime directory does not exist.
    NoDirectory,
    /// A connection is on its way.
    Dialling,
}

impl Finder {
    /// How long callers that do not say otherwise look for a service.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// Looks for `target`, a name or an address, from now on.
    pub fn new(target: &str, patience: Duration) -> Self {
        let limit = crate::remaining();
        Self {
            target: target.to_owned(),
            place: None,
            patience: limit.map_or(patience, |limit| patience.min(limit)),
            limit,
            since: Instant::now(),
            pause: FIRST_PAUSE,
            dial: None,
            tls: TlsFiles::default(),
            engine: std::env::var(surroundings::ENGINE).ok().filter(|engine| !engine.is_empty()),
            for_engine: false,
            through_engine: false,
            choice: None,
        }
    }

    /// Looks for an engine itself, by its address or name, for a service that is to register there.
    pub(crate) fn of_engine(engine: &str, patience: Duration) -> Self {
        Self { engine: None, for_engine: true, ..Self::new(engine, patience) }
    }

    /// Asks this engine for the service, by its address or name, and looks nowhere else. `PROCALL_ENGINE` does the same for all.
    #[must_use]
    pub fn through(mut self, engine: &str) -> Self {
        self.engine = Some(engine.to_owned());
        self
    }

    /// How to talk to a service on this machine. Without it, as `PROCALL_TRANSPORT` says, which says [`Choice::Auto`] unless it is set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procall::transport::shm::Choice;
    /// use procall::{ErrorCode, Finder};
    ///
    /// let mut finder = Finder::new("tcp:127.0.0.1:1", Duration::ZERO).by(Choice::Shm);
    /// assert_eq!(finder.try_open().unwrap_err().code(), ErrorCode::InvalidArgument);
    /// ```
    #[must_use]
    pub fn by(self, choice: Choice) -> Self {
        self.choose(Some(choice))
    }

    pub(crate) fn choose(mut self, choice: Option<Choice>) -> Self {
        self.choice = choice;
        self
    }

    pub(crate) fn choice(&self) -> Option<Choice> {
        self.choice
    }

    /// How to check whoever is found over TLS, and what to show of oneself; see [`TlsFiles`].
    #[must_use]
    pub fn secured(mut self, tls: TlsFiles) -> Self {
        self.tls = tls;
        self
    }

    /// The service to ask for, when the link that was found leads to an engine: [`Config::want`](crate::Config). Empty otherwise.
    pub fn want(&self) -> &str {
        if self.through_engine { &self.target } else { "" }
    }

    /// Whether the link that was found leads to an engine, which may be restarted at any time.
    pub fn leads_to_engine(&self) -> bool {
        self.through_engine
    }

    /// The token to show to whoever was found, where that is the engine: what the file of `PROCALL_ENGINE_TOKEN_FILE` holds. The engine is the
    /// one that services are asked for, the target `engine`, and the target that `PROCALL_ENGINE` names. Nobody else is shown it.
    ///
    /// # Errors
    ///
    /// Those of [`read_token`](surroundings::read_token).
    pub fn token(&self) -> Result<Option<Vec<u8>>, Error> {
        let named = std::env::var(surroundings::ENGINE).is_ok_and(|engine| engine == self.target);
        match self.through_engine || named || self.target == surroundings::ENGINE_NAME {
            true => surroundings::engine_token(),
            false => Ok(None),
        }
    }

    /// What to say of oneself to whoever was found: this, and the service that is wanted and the token to show, where that is an engine.
    ///
    /// # Errors
    ///
    /// Those of [`token`](Self::token), unless there is a token already.
    pub fn config(&self, config: Config) -> Result<Config, Error> {
        let token = match config.token {
            Some(token) => Some(token),
            None => self.token()?,
        };
        Ok(Config { want: self.want().to_owned(), token, ..config })
    }

    /// Where to look for it again.
    pub(crate) fn place(&self) -> (String, Option<String>, TlsFiles) {
        (self.target.clone(), self.engine.clone(), self.tls.clone())
    }

    /// One look: the link, or `None` when nobody is there yet and there is patience left.
    ///
    /// # Errors
    ///
    /// NO_WORKER (executed: no) when the patience is over; PERMISSION_DENIED when another user's service or directory is in that place;
    /// INVALID_ARGUMENT for what is no name and no address.
    pub fn try_open(&mut self) -> Result<Option<Box<dyn Link>>, Error> {
        // Asked for each time: the runtime directory may come into being meanwhile.
        let named = self.named_engine().map(str::to_owned);
        self.through_engine = named.is_some();
        let (address, place) = self.resolve(named.as_deref().unwrap_or(&self.target))?;
        let absence = match self.look(&address, place.as_ref())? {
            Ok(link) => return Ok(Some(link)),
            Err(absence) => absence,
        };
        if let Some(link) = self.look_for_engine(place.as_ref())? {
            return Ok(Some(link));
        }
        let dialling = matches!(absence, Absence::Dialling);
        let left = if dialling { self.greeting() } else { self.left() };
        if left.is_zero() {
            return Err(self.absent(&address, place.as_ref(), &absence));
        }
        Ok(None)
    }

    /// How long to wait before the next look: 2 ms at first, then ever longer, up to 100 ms.
    pub fn pause(&mut self) -> Duration {
        let dialling = self.dial.is_some();
        let longest = if dialling { DIAL_PAUSE } else { LONGEST_PAUSE };
        let left = if dialling { self.greeting() } else { self.left() };
        let pause = self.pause.min(longest).min(left);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// Waits on this thread. A signal makes it ask `interrupt` at once, and every pause does; `true` ends the wait with CANCELLED.
    ///
    /// # Errors
    ///
    /// Those of [`try_open`](Self::try_open).
    pub fn wait(&mut self, interrupt: Interrupt<'_>) -> Result<Box<dyn Link>, Error> {
        loop {
            if let Some(link) = self.try_open()? {
                return Ok(link);
            }
            let pause = Timespec::try_from(self.pause()).unwrap_or_default();
            // A signal ends it early, which is what it is used for; nothing else can go wrong.
            let descriptor = self.dial.as_ref().and_then(|(dial, _)| dial.descriptor());
            let _ = match &descriptor {
                Some(dial) => {
                    poll(&mut [PollFd::new(dial, PollFlags::OUT)], Some(&pause)).map(|_| ())
                }
                None => poll(&mut [], Some(&pause)).map(|_| ()),
            };
            if interrupt() {
                return Err(Error::new(ErrorCode::Cancelled, "the wait was interrupted")
                    .with_executed(Executed::No));
            }
        }
    }

    /// How long the service that was found may take to answer the greeting: what patience is left, but not less than a second, unless the
    /// handler that we are called in has less.
    pub fn greeting(&self) -> Duration {
        let courtesy = match &self.dial {
            Some((_, since)) => COURTESY.saturating_sub(since.elapsed()),
            None => COURTESY,
        };
        let least = match self.limit {
            Some(limit) => courtesy.min(limit.saturating_sub(self.since.elapsed())),
            None => courtesy,
        };
        self.left().max(least)
    }

    /// What to say when it did not answer in that time.
    pub fn unanswered(&self) -> Error {
        let (target, waited) = (&self.target, seconds(self.since.elapsed()));
        let message = match self.through_engine {
            true => format!(
                "nobody serves \"{target}\" with the engine (waited {waited}); start it, e.g. `python {target}.py`, and see `procall ls`"
            ),
            false => {
                format!("\"{target}\" accepts connections but does not answer (waited {waited})")
            }
        };
        Error::new(ErrorCode::NoWorker, message)
    }

    fn left(&self) -> Duration {
        self.patience.saturating_sub(self.since.elapsed())
    }

    /// The engine to ask, when one was named and a service is looked for by its name.
    fn named_engine(&self) -> Option<&str> {
        let by_name = !self.target.contains(':') && self.target != surroundings::ENGINE_NAME;
        self.engine.as_deref().filter(|_| by_name)
    }

    /// A service that listens nowhere may be with the engine of the runtime directory.
    fn look_for_engine(&mut self, place: Option<&Place>) -> Result<Option<Box<dyn Link>>, Error> {
        let Some(place) = place else { return Ok(None) };
        if self.through_engine || self.for_engine || self.target == surroundings::ENGINE_NAME {
            return Ok(None);
        }
        let socket = socket_in(&place.path(), surroundings::ENGINE_NAME);
        let found = self.look_at_socket(&socket, Some(place))?.ok();
        self.through_engine = found.is_some();
        Ok(found)
    }

    fn look(&mut self, address: &Address, place: Option<&Place>) -> Result<Looked, Error> {
        match address {
            Address::Unix(path) => self.look_at_socket(path, place),
            Address::Tcp(_) | Address::Tls { .. } if self.wants_shared_memory()? => {
                Err(Error::invalid(format!(
                    "{address} cannot be reached through shared memory; use the transport \"auto\", or an address on this machine such as unix:/path"
                )))
            }
            Address::Tcp(socket) => {
                self.dial(address, |_| Ok(TcpDial::start(*socket).map(Dial::Plain)))
            }
            Address::Tls { host, port } => self.dial(address, |tls| secure(host, *port, tls)),
            other => Err(Error::invalid(format!("cannot connect to {other}"))),
        }
    }

    fn wants_shared_memory(&self) -> Result<bool, Error> {
        let choice = match self.choice {
            None => surroundings::transport()?,
            choice => choice,
        };
        Ok(choice == Some(Choice::Shm))
    }

    fn resolve(&self, target: &str) -> Result<(Address, Option<Place>), Error> {
        if target.contains(':') {
            return Ok((surroundings::resolve(target)?, None));
        }
        surroundings::check_name(target)?;
        let place = match &self.place {
            Some(place) => place.clone(),
            None => Place::of_environment()?,
        };
        Ok((Address::Unix(socket_in(&place.path(), target)), Some(place)))
    }

    /// Names mean services of this user only, so whoever is found by name must be this user, or root.
    fn look_at_socket(&self, path: &Path, place: Option<&Place>) -> Result<Looked, Error> {
        if let Some(place) = place
            && place.open()?.is_none()
        {
            return Ok(Err(Absence::NoDirectory));
        }
        let options = LinkOptions { choice: self.choice, ..LinkOptions::default() };
        let link = match UnixLink::connect(path, &options) {
            Ok(link) => link,
            Err(error) => return self.refused(error, format_args!("unix:{}", path.display())),
        };
        let own = rustix::process::geteuid().as_raw();
        if place.is_some() && !surroundings::may_call(link.info().peer, own) {
            let whose = link.info().peer.map_or_else(
                || "an unknown user".to_owned(),
                |peer| format!("user {} (pid {})", peer.uid, peer.pid),
            );
            return Err(Error::new(
                ErrorCode::PermissionDenied,
                format!(
                    "unix:{} is served by {whose}, not by user {own}, who calls; give the address instead of the name if that is meant",
                    path.display()
                ),
            ));
        }
        Ok(Ok(Box::new(link)))
    }

    fn dial(
        &mut self,
        address: &Address,
        start: impl FnOnce(&TlsFiles) -> Result<std::io::Result<Dial>, Error>,
    ) -> Result<Looked, Error> {
        let dial = match self.dial.take() {
            Some((dial, since)) => Ok((dial, since)),
            None => start(&self.tls)?.map(|dial| (dial, Instant::now())),
        };
        match dial.and_then(|(mut dial, since)| Ok((dial.finish()?, dial, since))) {
            Ok((Some(link), ..)) => Ok(Ok(link)),
            Ok((None, dial, since)) => {
                self.dial = Some((dial, since));
                Ok(Err(Absence::Dialling))
            }
            Err(error) => self.refused(error, format_args!("{address}")),
        }
    }

    /// Sorts what the kernel says into "not there yet" and what no patience helps against.
    fn refused(&self, error: std::io::Error, address: fmt::Arguments<'_>) -> Result<Looked, Error> {
        let code = match error.kind() {
            // A full queue is `WouldBlock`.
            ErrorKind::NotFound
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut => return Ok(Err(Absence::Said(error))),
            ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
            ErrorKind::InvalidInput => ErrorCode::InvalidArgument,
            _ => ErrorCode::NoWorker,
        };
        let message = match code {
            ErrorCode::PermissionDenied => {
                format!("{address} may not be used by this user: {error}")
            }
            _ => format!("cannot connect to {address}: {error}"),
        };
        Err(Error::new(code, message).with_source(error))
    }

    /// The end of the patience.
    fn absent(&self, address: &Address, place: Option<&Place>, absence: &Absence) -> Error {
        let why = match (absence, address) {
            (Absence::Dialling, _) => "it does not answer",
            (Absence::Said(error), _) if error.kind() == ErrorKind::WouldBlock => {
                "its queue of connections is full"
            }
            (Absence::Said(error), Address::Unix(path))
                if error.kind() == ErrorKind::ConnectionRefused && !is_socket(path) =>
            {
                "there is a file, but no socket"
            }
            (Absence::Said(error), Address::Unix(_))
                if error.kind() == ErrorKind::ConnectionRefused =>
            {
                "its socket was left by a process that is gone"
            }
            _ => "",
        };
        let mut message = format!("nothing listens at {address}");
        if !why.is_empty() {
            message.push_str(&format!(": {why}"));
        }
        message.push_str(&format!(" (waited {})", seconds(self.since.elapsed())));
        let mut candidates = Vec::new();
        if self.for_engine || self.named_engine().is_some() {
            message.push_str(&match place {
                Some(_) => "; start the engine with `procall serve`".to_owned(),
                None => format!("; start the engine with `procall serve --listen {address}`"),
            });
        } else if let Some(place) = place {
            // Only a hint: without the directory there is none.
            let present = surroundings::services_in(place).unwrap_or_default();
            let names = present.iter().filter(|found| found.answers).map(|found| &*found.name);
            candidates = similar(&self.target, names);
            if !candidates.is_empty() {
                message.push_str(&format!("; did you mean {}?", candidates.join(" or ")));
            }
            let name = &self.target;
            message.push_str(&format!(
                "; start it, e.g. `python {name}.py` or `procall run {name}.py`"
            ));
        } else {
            message.push_str("; start the service that is to listen there");
        }
        let error = Error::new(ErrorCode::NoWorker, message).with_candidates(candidates);
        match absence {
            Absence::Said(cause) => {
                error.with_source(std::io::Error::new(cause.kind(), cause.to_string()))
            }
            Absence::NoDirectory | Absence::Dialling => error,
        }
    }
}

#[cfg(feature = "tls")]
fn secure(host: &str, port: u16, tls: &TlsFiles) -> Result<std::io::Result<Dial>, Error> {
    Ok(Ok(Dial::Secure(Box::new(SecureDial::start(host, port, tls)?))))
}

#[cfg(not(feature = "tls"))]
fn secure(_: &str, _: u16, _: &TlsFiles) -> Result<std::io::Result<Dial>, Error> {
    Err(crate::tls::missing())
}

type Looked = Result<Box<dyn Link>, Absence>;

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
