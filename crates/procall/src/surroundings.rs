//! What a service finds around it when it runs, and where services are found by name.
//!
//! Started by a pool, it is a worker: the pool left one end of a socketpair at a high descriptor number, or, where a launcher closed that,
//! a socket to dial with a one-time token. Started by hand, it listens.

use std::env;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use procall_proto::ErrorCode;
use procall_transport::shm::Choice;
use procall_transport::unix::UnixLink;
use procall_transport::{Address, Link, LinkOptions, PeerCredentials, fd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use crate::error::Error;
use crate::lock;
use crate::runtime_dir::Place as Directory;
pub use crate::secret_file::{read_secret, read_token};

/// How peers of one machine talk, where nothing else says so: `auto`, `unix` or `shm`; see [`Choice`].
pub const TRANSPORT: &str = "PROCALL_TRANSPORT";
/// The inherited descriptor: `number:device:inode`.
pub const CHANNEL: &str = "PROCALL_CHANNEL";
/// The path of the socket to dial when the descriptor did not survive.
pub const DIAL: &str = "PROCALL_DIAL";
/// The one-time token to show at that socket, or over a link of the worker's own, in hexadecimal digits.
pub const TOKEN: &str = "PROCALL_TOKEN";
/// Where a service that was started by hand listens, such as `unix:/run/calc.sock` or `tcp:127.0.0.1:9000`.
pub const LISTEN: &str = "PROCALL_LISTEN";

/// The engine to register with and to ask for services: its address, or its name in the runtime directory.
pub const ENGINE: &str = "PROCALL_ENGINE";
/// The file that holds the token to show to that engine, and nothing else. Nobody but this user may be able to read it; `/dev/fd/3` is an
/// inherited descriptor.
pub const ENGINE_TOKEN_FILE: &str = "PROCALL_ENGINE_TOKEN_FILE";
/// By which an engine recognises the services of this process when they come back; see [`identity`].
pub const IDENTITY: &str = "PROCALL_IDENTITY";
/// Longest identity in bytes.
pub const MAX_IDENTITY: usize = 255;
/// The name under which an engine listens in the runtime directory.
pub const ENGINE_NAME: &str = "engine";

/// The way to the pool that started this process.
#[derive(Debug)]
pub struct Parent {
    /// The link to it.
    pub link: Box<dyn Link>,
    /// What to show in the handshake when the link was dialled.
    pub token: Option<Vec<u8>>,
    /// Tells when the pool is gone.
    pub lifeline: Lifeline,
}

/// A second name of the channel to the parent, only to see its end.
///
/// The link's own reader sees the end too, but only while its thread runs: a handler that never returns, or holds a lock that everything
/// needs, must not keep an orphan alive.
#[derive(Debug)]
pub struct Lifeline {
    channel: OwnedFd,
}

impl Lifeline {
    fn of(channel: BorrowedFd<'_>) -> Result<Self, Error> {
        let channel = channel.try_clone_to_owned().map_err(|error| {
            broken("its channel cannot be watched".to_owned()).with_source(error)
        })?;
        Ok(Self { channel })
    }

    /// From now on, kills this process `grace` after the parent's end of the channel is closed. Costs one sleeping thread.
    pub fn watch(self, grace: Duration) -> Result<(), Error> {
        let run = move || {
            loop {
                let mut fds = [PollFd::new(&self.channel, PollFlags::RDHUP)];
                match poll(&mut fds, None) {
                    Err(Errno::INTR) => {}
                    // Anything else cannot be waited out; the end of the link itself still ends an orderly worker.
                    Err(_) => return,
                    Ok(_) => break,
                }
            }
            std::thread::sleep(grace);
            // An orderly worker has exited by now. SIGKILL needs no cooperation from whatever is stuck.
            let _ = kill_process(getpid(), Signal::KILL);
        };
        std::thread::Builder::new()
            .name("procall-lifeline".to_owned())
            .stack_size(64 << 10)
            .spawn(run)
            .map(|_| ())
            .map_err(|error| {
                broken("no thread can be started to watch it".to_owned()).with_source(error)
            })
    }
}

/// The way to the pool that started this process; `None` when none did.
///
/// The inherited descriptor is verified by device and inode before it is touched, so that a variable inherited by mistake does no harm.
pub fn parent() -> Result<Option<Parent>, Error> {
    let Ok(channel) = env::var(CHANNEL) else { return Ok(None) };
    let inherited = parse_channel(&channel)
        .ok_or_else(|| broken(format!("{CHANNEL} is \"{channel}\", not number:device:inode")))
        .and_then(|(number, device, inode)| {
            fd::adopt(number, device, inode).map_err(|error| {
                broken(format!("the descriptor of {CHANNEL}={channel} is not the pool's"))
                    .with_source(error)
            })
        });
    let options = LinkOptions::default();
    match inherited {
        Ok(channel) => Ok(Some(over(channel, None, &options)?)),
        Err(error) => dial(&options)?.map(Some).ok_or(error),
    }
}

/// How peers of one machine talk, as `PROCALL_TRANSPORT` says: `auto`, `unix` or `shm`; `None` where it says nothing.
///
/// # Errors
///
/// INVALID_ARGUMENT when it says something else.
pub fn transport() -> Result<Option<Choice>, Error> {
    match env::var(TRANSPORT) {
        Ok(text) if !text.is_empty() => {
            text.parse().map(Some).map_err(|error| Error::invalid(format!("{TRANSPORT}: {error}")))
        }
        // What is not even text is no wish either.
        _ => Ok(None),
    }
}

/// The one-time token of this worker's pool, for links that the worker brings itself; `None` when no pool gave one.
pub fn token() -> Result<Option<Vec<u8>>, Error> {
    let Ok(token) = env::var(TOKEN) else { return Ok(None) };
    from_hex(&token).map(Some).ok_or_else(|| broken(format!("{TOKEN} is not hexadecimal")))
}

/// The token to show to the engine, from the file that `PROCALL_ENGINE_TOKEN_FILE` names; `None` when it names none.
///
/// # Errors
///
/// Those of [`read_token`].
pub fn engine_token() -> Result<Option<Vec<u8>>, Error> {
    match env::var_os(ENGINE_TOKEN_FILE).filter(|path| !path.is_empty()) {
        Some(path) => read_token(path.as_ref()).map(Some),
        None => Ok(None),
    }
}

/// By which an engine that keeps its state (`procall serve --state`) recognises a service when it comes back: what `given` says, else what
/// `PROCALL_IDENTITY` says followed by a slash and the service's name, since a process may have several; empty for none.
///
/// It counts over a Unix socket only, among the processes of one user. Of several that give the same at once the first one has it; another
/// takes it over when that one is gone.
///
/// # Errors
///
/// INVALID_ARGUMENT for one that is longer than 255 bytes or has control characters.
///
/// ```
/// use procall::surroundings::identity;
///
/// assert_eq!(identity("model-7", "model")?, "model-7");
/// assert!(identity("two\nlines", "model").is_err());
/// # Ok::<(), procall::Error>(())
/// ```
pub fn identity(given: &str, service: &str) -> Result<String, Error> {
    let id = match given {
        "" => match env::var(IDENTITY) {
            Ok(process) if !process.is_empty() => format!("{process}/{service}"),
            Ok(_) | Err(env::VarError::NotPresent) => return Ok(String::new()),
            Err(env::VarError::NotUnicode(_)) => {
                return Err(Error::invalid(format!("{IDENTITY} is no UTF-8 text")));
            }
        },
        given => given.to_owned(),
    };
    if id.len() > MAX_IDENTITY || id.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "\"{}\" cannot be an identity: it has at most {MAX_IDENTITY} bytes and no control characters",
            id.escape_debug()
        )));
    }
    Ok(id)
}

/// Says whether connections of this process are to be compressed; see [`compression`].
pub const COMPRESSION: &str = "PROCALL_COMPRESSION";

/// Whether the surroundings want compression: `PROCALL_COMPRESSION` is set, and to something else than nothing, `0`, `false`, `off` or `no`.
/// It is used where the other side wants it too.
///
/// ```
/// assert!(!procall::surroundings::compression());
/// ```
pub fn compression() -> bool {
    let said = env::var_os(COMPRESSION).unwrap_or_default();
    !["", "0", "false", "off", "no"].iter().any(|off| said == *off)
}

/// Dials the pool where a launcher closed the descriptor.
fn dial(options: &LinkOptions) -> Result<Option<Parent>, Error> {
    let (Ok(path), Some(token)) = (env::var(DIAL), token()?) else { return Ok(None) };
    let channel = std::os::unix::net::UnixStream::connect(&path).map_err(|error| {
        Error::new(
            ErrorCode::ConnectionLost,
            format!("the pool that started this process does not answer at {path}"),
        )
        .with_source(error)
    })?;
    over(channel.into(), Some(token), options).map(Some)
}

fn over(channel: OwnedFd, token: Option<Vec<u8>>, options: &LinkOptions) -> Result<Parent, Error> {
    let lifeline = Lifeline::of(channel.as_fd())?;
    let link = UnixLink::from_fd(channel, options).map_err(|error| {
        broken("the pool's descriptor is no socket".to_owned()).with_source(error)
    })?;
    Ok(Parent { link: Box::new(link), token, lifeline })
}

fn broken(message: String) -> Error {
    Error::new(
        ErrorCode::ConnectionLost,
        format!("this process looks like a pool's worker, but {message}"),
    )
}

fn parse_channel(text: &str) -> Option<(RawFd, u64, u64)> {
    let mut parts = text.split(':');
    let (number, device, inode) = (parts.next()?, parts.next()?, parts.next()?);
    let parsed = (number.parse().ok()?, device.parse().ok()?, inode.parse().ok()?);
    parts.next().is_none().then_some(parsed)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Where a service listens and is found by name alone: a socket in the private runtime directory,
/// `$XDG_RUNTIME_DIR/procall` or `~/.procall/run`. The directory is made if need be, for this user only.
///
/// # Errors
///
/// INVALID_ARGUMENT when the name cannot be a file's, PERMISSION_DENIED when the directory is not this user's alone.
pub fn address_of(name: &str) -> Result<Address, Error> {
    check_name(name)?;
    Ok(Address::Unix(Directory::of_environment()?.make()?.socket(name)))
}

/// Where a service that was started by hand is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It registers with an engine.
    Engine {
        /// The engine's address, or its name.
        target: String,
        /// How long to look for it.
        patience: Duration,
    },
    /// It listens itself.
    Address(Address),
}

/// Where a service of this name is to be found: with the engine it names, or that of `PROCALL_ENGINE`; else where `PROCALL_LISTEN` says; else
/// with the engine of the runtime directory when one answers; else under its own name.
///
/// # Errors
///
/// Those of [`address_of`], and INVALID_ARGUMENT for an address that is none.
pub fn place(engine: Option<&str>, name: &str) -> Result<Place, Error> {
    place_of(None, engine, name)
}

/// The same for a service that may also be told where to listen, by address or name, which goes before the environment.
///
/// ```
/// use procall::surroundings::{Place, place_of};
///
/// let place = place_of(Some("tcp:127.0.0.1:9000"), None, "calc")?;
/// assert_eq!(place, Place::Address("tcp:127.0.0.1:9000".parse().unwrap()));
/// assert!(place_of(Some("calc"), Some("tcp:127.0.0.1:8080"), "calc").is_err());
/// # Ok::<(), procall::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`place`], and INVALID_ARGUMENT when both a place to listen and an engine are given.
pub fn place_of(listen: Option<&str>, engine: Option<&str>, name: &str) -> Result<Place, Error> {
    match (listen, engine) {
        (Some(listen), Some(engine)) => {
            return Err(Error::invalid(format!(
                "the service {name} is to listen at {listen} and to register with the engine {engine}: give one of them"
            )));
        }
        (Some(listen), None) => return resolve(listen).map(Place::Address),
        (None, _) => {}
    }
    let named = engine.map(str::to_owned).or_else(|| env::var(ENGINE).ok());
    if let Some(target) = named.filter(|target| !target.is_empty()) {
        return Ok(Place::Engine { target, patience: crate::Finder::PATIENCE });
    }
    if let Ok(address) = env::var(LISTEN) {
        return resolve(&address).map(Place::Address);
    }
    let own = address_of(name)?;
    if name != ENGINE_NAME && engine_answers()? {
        return Ok(Place::Engine { target: ENGINE_NAME.to_owned(), patience: Duration::ZERO });
    }
    Ok(Place::Address(own))
}

/// Whether an engine listens in the runtime directory.
pub fn engine_answers() -> Result<bool, Error> {
    let Address::Unix(path) = address_of(ENGINE_NAME)? else { return Ok(false) };
    Ok(lock::knock(&path).is_ok())
}

/// An address, or a service's name.
pub fn resolve(target: &str) -> Result<Address, Error> {
    if target.contains(':') {
        return target.parse().map_err(|error| Error::invalid(format!("{error}")));
    }
    address_of(target)
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty()
        || name.len() > 64
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    {
        return Err(Error::invalid(format!(
            "\"{}\" cannot name a listening service: use up to 64 letters, digits, dots, dashes and underscores",
            name.escape_default()
        )));
    }
    Ok(())
}

/// A service in the runtime directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its name, by which it is connected to.
    pub name: String,
    /// Where its socket is.
    pub address: Address,
    /// Whether a process listens there. If not, the socket was left by one that was killed; the next start under the name replaces it.
    pub answers: bool,
    /// The process that listens, where it can be known.
    pub pid: Option<u32>,
}

/// The services that were started by hand and are found by name, in order of their names. None when there is no runtime directory.
///
/// Each is connected to for a moment, to see whether anybody listens.
///
/// ```no_run
/// for found in procall::surroundings::services()? {
///     println!("{:20} {} {}", found.name, found.address, if found.answers { "listens" } else { "is gone" });
/// }
/// # Ok::<(), procall::Error>(())
/// ```
///
/// # Errors
///
/// PERMISSION_DENIED when the runtime directory is not this user's alone.
pub fn services() -> Result<Vec<Found>, Error> {
    services_in(&Directory::of_environment()?)
}

pub(crate) fn services_in(place: &Directory) -> Result<Vec<Found>, Error> {
    let Some(directory) = place.open()? else { return Ok(Vec::new()) };
    // What cannot name a service would mean something else to whoever connects by it, an address perhaps.
    let names = directory.names()?.into_iter().filter(|name| check_name(name).is_ok());
    let found = names.map(|name| {
        let path = directory.socket(&name);
        let (answers, peer) = match lock::knock(&path) {
            Ok(peer) => (true, peer),
            // Its queue is full: somebody has it.
            Err(error) => (error.kind() == std::io::ErrorKind::WouldBlock, None),
        };
        let pid = peer.map(|peer| peer.pid).filter(|pid| *pid != 0);
        Found { name, address: Address::Unix(path), answers, pid }
    });
    Ok(found.collect())
}

/// Whether the user `own` and this peer may call each other on a Unix socket: the same user, or root on the other side.
pub(crate) fn may_call(peer: Option<PeerCredentials>, own: u32) -> bool {
    peer.is_some_and(|peer| peer.uid == own || peer.uid == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_is_three_numbers() {
        assert_eq!(parse_channel("71:8:12345"), Some((71, 8, 12345)));
        for wrong in ["", "71", "71:8", "71:8:x", "71:8:9:10", "-:1:1"] {
            assert_eq!(parse_channel(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn token_is_whole_bytes() {
        assert_eq!(from_hex("00ff"), Some(vec![0, 255]));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("zz"), None);
    }

    #[test]
    fn names_that_would_leave_the_directory_are_refused() {
        let long = "x".repeat(65);
        for wrong in ["", "../x", "a/b", "a b", "ü", &long] {
            assert_eq!(
                check_name(wrong).unwrap_err().code(),
                ErrorCode::InvalidArgument,
                "{wrong}"
            );
        }
    }

    #[test]
    fn only_the_own_user_and_root_may_call() {
        let peer = |uid| Some(PeerCredentials { pid: 7, uid, gid: uid });
        assert!(may_call(peer(1000), 1000));
        assert!(may_call(peer(0), 1000));
        assert!(!may_call(peer(1001), 1000));
        assert!(!may_call(peer(1000), 0), "root does not trust a user");
        assert!(!may_call(None, 1000), "nobody vouches for the peer");
    }
}
