//! From a socket that listens to peers.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use procall::transport::unix::UnixLink;
use procall::transport::{Address, Link, LinkError, LinkInfo, LinkOptions};
use procall::{Error, ErrorCode, Fault, Listener, Readiness, Side};
use rustix::io::Errno;
use rustix::net::getpeername;
use tokio::time::timeout;

use crate::core::Core;
use crate::facts::{Facts, Speaks};
use crate::gateway::json;
use crate::own_user;
use crate::reserve::Reserve;
use crate::tokens::Pass;

/// Longest message of a peer that cannot send a long one in parts.
pub(crate) const MAX_JSON: usize = 64 << 20;
/// How long a peer may take to send its first message.
pub(crate) const GREETING: Duration = Duration::from_secs(5);
/// Pause after a failed accept, so that running out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a peer over TCP may wait until it is looked whose it is; then it is a guest.
const LOOK_AT_OWNER: Duration = Duration::from_secs(1);

/// Longest message of a peer that has to show a token first.
const MAX_UNKNOWN: usize = 4 << 10;

/// Takes whoever comes, until the task is aborted.
pub(crate) async fn listen(listener: Listener, core: Arc<Core>) -> Result<(), Error> {
    let readiness = Readiness::new(listener.as_fd()).map_err(unwatchable)?;
    let mut entrance = Entrance { listener, reserve: Reserve::new(), greeting: Arc::default() };
    loop {
        let mut accepted = Vec::new();
        // Looked at without being asked: nothing announces again what an earlier look could not take.
        let mut full = entrance.accept(&mut accepted);
        if accepted.is_empty() && !full {
            // Only a runtime that shuts down watches nothing any more.
            poll_fn(|cx| readiness.poll_read(cx, || full = entrance.accept(&mut accepted)))
                .await
                .map_err(unwatchable)?;
        }
        for link in accepted {
            // Those who have said nothing yet count as well: they hold descriptors.
            if Arc::strong_count(&entrance.greeting) > core.settings.peers {
                refuse(link, None, &too_many(core.settings.peers));
                continue;
            }
            let (core, greeting) = (core.clone(), entrance.greeting.clone());
            let at = entrance.listener.address().clone();
            tokio::spawn(async move {
                greet(link, &at, core).await;
                drop(greeting);
            });
        }
        if full {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// A socket that listens, and what it takes to refuse those who come when there is no room.
struct Entrance {
    listener: Listener,
    reserve: Reserve,
    /// Has one owner more than there are peers that have said nothing yet, or speak JSON.
    greeting: Arc<()>,
}

impl Entrance {
    /// Accepts all who wait; true when somebody may wait still, but cannot be accepted.
    fn accept(&mut self, accepted: &mut Vec<Box<dyn Link>>) -> bool {
        /// Accepted in one go, before they are looked at.
        const ROUND: usize = 256;
        let options = LinkOptions { max_message: MAX_JSON, ..LinkOptions::default() };
        while accepted.len() < ROUND {
            // Beforehand: a socket that was accepted and cannot be watched would be hung up on without a word.
            let some = self.reserve.give_up();
            let next = self.listener.accept_with(&options);
            let room = matches!(next, Ok(Some(_))) && self.reserve.fill();
            match next {
                Ok(Some(link)) if room => accepted.push(link),
                Ok(Some(link)) => refuse(link, None, &no_descriptors()),
                Ok(None) => {
                    self.reserve.fill();
                    return false;
                }
                Err(error) if is_full(&error) && some => {}
                // Nothing is left to give up; or one has gone before it was accepted.
                Err(_) => {
                    self.reserve.fill();
                    return true;
                }
            }
        }
        false
    }
}

/// Whether it is descriptors that are wanting.
fn is_full(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn no_descriptors() -> Error {
    Error::new(
        ErrorCode::Overloaded,
        "the engine has no descriptors left; raise its limit (ulimit -n), or try again later",
    )
}

fn too_many(peers: usize) -> Error {
    Error::new(ErrorCode::Overloaded, format!("{peers} peers are connected already"))
}

/// Tells a peer why it is not served, as far as it takes that without waiting, and hangs up.
fn refuse(mut link: Box<dyn Link>, first: Option<&[u8]>, error: &Error) {
    let json = match first {
        Some(first) => json::is_json(first),
        None => link.receive().is_ok_and(|first| first.is_some_and(json::is_json)),
    };
    let told = match json {
        true => json::refused(error).into_bytes(),
        false => Fault::new(error.code(), error.message()).encode(),
    };
    // A peer that is gone already, or takes nothing, learns nothing.
    if let Ok(Some(room)) = link.buffer(told.len()) {
        room.copy_from_slice(&told);
        link.commit();
        let _ = link.flush();
    }
    link.close();
}

fn unwatchable(error: std::io::Error) -> Error {
    Error::new(ErrorCode::Internal, "the listener cannot be watched by this runtime")
        .with_source(error)
}

/// Looks at the first message: it says what the peer speaks.
async fn greet(mut link: Box<dyn Link>, at: &Address, core: Arc<Core>) {
    let credentials = link.info().peer;
    let own = own_pass(link.info(), at, &core).await;
    // One that hung up meanwhile has freed its port: what was found there may have been another's socket.
    let own = own.filter(|_| link.edges().is_some_and(|socket| getpeername(socket).is_ok()));
    let pass = own.clone().or_else(|| core.doors.without_token(credentials));
    if pass.is_none() {
        link.limit(MAX_UNKNOWN);
    }
    let first = match timeout(GREETING, first_message(&mut *link)).await {
        Ok(Ok(Some(first))) => first,
        Ok(Err(_)) => return refuse(link, None, &no_descriptors()),
        Ok(Ok(None)) => return link.close(),
        Err(_) => {
            let error = Error::new(ErrorCode::Unauthenticated, "nothing was said in 5 s");
            return refuse(link, None, &error);
        }
    };
    let address = address_of(link.info());
    if json::is_json(&first) {
        json::serve(link, first, address, (credentials, own), Arc::new(core)).await;
        return;
    }
    let facts = Facts {
        speaks: Speaks::Native,
        address,
        credentials,
        hears_broadcasts: false,
        pass,
        want: None,
    };
    let waiting = match core.check_room(&facts) {
        Ok(()) => Replay { first: Some(first), given: Vec::new(), link },
        Err(error) => return refuse(link, Some(&first), &error),
    };
    // One that is refused for want of descriptors sees the end of file.
    if let Ok(joined) = core.join(Box::new(waiting), Side::Acceptor, facts) {
        joined.connection.turn();
    }
}

/// What a peer over TCP may do because its process is one of our own user, as on a Unix socket. Looked at once, when it comes.
async fn own_pass(info: &LinkInfo, at: &Address, core: &Core) -> Option<Pass> {
    if !core.settings.own_over_tcp || core.doors.has_tokens() {
        return None;
    }
    let Address::Tcp(ours) = *at else { return None };
    let theirs: SocketAddr = address_of(info).parse().ok()?;
    if !theirs.ip().to_canonical().is_loopback() {
        return None;
    }
    // One that listens everywhere is asked for on the loopback by the address that the other end has.
    let ours = match ours.ip().is_unspecified() {
        true => SocketAddr::new(theirs.ip(), ours.port()),
        false => ours,
    };
    // In a flood of connections those that come too late are guests: that many looks would cost us more than them.
    let turn = timeout(LOOK_AT_OWNER, core.looks.acquire()).await.ok()?.ok()?;
    // A task that does not come to its end has found nobody.
    let user = tokio::task::spawn_blocking(move || own_user::of(theirs, ours)).await.ok()??;
    drop(turn);
    core.doors.is_own(user).then(Pass::full)
}

/// Over TCP and TLS the text by which `to` may name a peer.
fn address_of(info: &LinkInfo) -> String {
    let bare = ["tcp:", "tls:"].iter().find_map(|scheme| info.address.strip_prefix(scheme));
    bare.unwrap_or(&info.address).to_owned()
}

/// `None` when the link ended before there was one; an error when it cannot be watched.
async fn first_message(link: &mut dyn Link) -> std::io::Result<Option<Vec<u8>>> {
    let readiness = Readiness::new(link.readiness())?;
    loop {
        match link.receive() {
            Ok(Some(message)) => return Ok(Some(message.to_vec())),
            Ok(None) => {}
            Err(_) => return Ok(None),
        }
        let mut found = None;
        poll_fn(|cx| {
            let polled = readiness.poll_read(cx, || {
                if found.is_none() {
                    found = match link.receive() {
                        Ok(message) => message.map(|message| Some(message.to_vec())),
                        Err(_) => Some(None),
                    };
                }
            });
            if found.is_some() { Poll::Ready(Ok(())) } else { polled }
        })
        .await?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
}

/// A link whose first message was looked at already.
#[derive(Debug)]
struct Replay {
    first: Option<Vec<u8>>,
    given: Vec<u8>,
    link: Box<dyn Link>,
}

impl Link for Replay {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.link.buffer(len)
    }

    fn commit(&mut self) {
        self.link.commit();
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.link.flush()
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        if let Some(first) = self.first.take() {
            self.given = first;
            return Ok(Some(&self.given));
        }
        if !self.given.is_empty() {
            // The session has looked at the first one: had it not let the peer in, it would not ask for more.
            self.given = Vec::new();
            self.link.limit(usize::MAX);
        }
        self.link.receive()
    }

    fn unix(&mut self) -> Option<&mut UnixLink> {
        self.link.unix()
    }

    fn info(&self) -> &LinkInfo {
        self.link.info()
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.link.readiness()
    }

    fn edges(&self) -> Option<BorrowedFd<'_>> {
        self.link.edges()
    }

    fn wants_room(&self) -> bool {
        self.link.wants_room()
    }

    fn close(&mut self) {
        self.link.close();
    }
}
