//! Ways to make links, and ways to wait for them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use procall_transport::tcp::{TcpLink, TcpListener};
use procall_transport::unix::{UnixLink, UnixListener};
use procall_transport::{Link, LinkError, LinkOptions, readiness};

/// Generous: it only ever passes when something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Pair = (Box<dyn Link>, Box<dyn Link>);
pub(crate) type MakePair = fn(&LinkOptions) -> Pair;

pub(crate) fn mem(options: &LinkOptions) -> Pair {
    let (left, right) = procall_transport::mem::pair(options).unwrap();
    (Box::new(left), Box::new(right))
}

pub(crate) fn unix_pair(options: &LinkOptions) -> Pair {
    let (left, right) = UnixLink::pair(options).unwrap();
    (Box::new(left), Box::new(right))
}

pub(crate) fn unix_named(options: &LinkOptions) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let left = UnixLink::connect(&path, options).unwrap();
    let right = listener.accept(options).unwrap().expect("the client has connected");
    (Box::new(left), Box::new(right))
}

pub(crate) fn shm(options: &LinkOptions) -> Pair {
    let (left, right) = procall_transport::shm::pair(options).unwrap();
    assert_eq!([left.info().transport, right.info().transport], ["shm", "shm"]);
    (Box::new(left), Box::new(right))
}

pub(crate) fn tcp(options: &LinkOptions) -> Pair {
    let listener = tcp_listener();
    let left = TcpLink::connect(listener.local_addr().unwrap(), options).unwrap();
    let right = listener.accept(options).unwrap().expect("the client has connected");
    (Box::new(left), Box::new(right))
}

#[cfg(feature = "tls")]
pub(crate) fn tls(options: &LinkOptions) -> Pair {
    let (left, right) = crate::tls::pair(options);
    (Box::new(left), Box::new(right))
}

/// The link that a user writes, as the example of workers shows it.
pub(crate) fn own(options: &LinkOptions) -> Pair {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let left = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (right, _) = listener.accept().unwrap();
    let link = |stream| crate::own_link::ScrambledLink::new(stream, options).unwrap();
    (Box::new(link(left)), Box::new(link(right)))
}

fn tcp_listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// A link that also tells what memory it holds.
pub(crate) trait StreamLink: Link {
    fn memory(&self) -> usize;
}

impl StreamLink for UnixLink {
    fn memory(&self) -> usize {
        Self::memory(self)
    }
}

impl StreamLink for TcpLink {
    fn memory(&self) -> usize {
        Self::memory(self)
    }
}

#[cfg(feature = "tls")]
impl StreamLink for procall_transport::tls::TlsLink {
    fn memory(&self) -> usize {
        Self::memory(self)
    }
}

/// A peer played by hand.
pub(crate) trait Raw: Read + Write + Send {}
impl Raw for UnixStream {}
impl Raw for TcpStream {}

pub(crate) type RawPair = (Box<dyn StreamLink>, Box<dyn Raw>);
pub(crate) type MakeRaw = fn(&LinkOptions) -> RawPair;

pub(crate) fn raw_unix(options: &LinkOptions) -> RawPair {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    (Box::new(UnixLink::from_fd(ours.into(), options).unwrap()), Box::new(theirs))
}

pub(crate) fn raw_tcp(options: &LinkOptions) -> RawPair {
    let listener = tcp_listener();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    theirs.set_nodelay(true).unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    (Box::new(listener.accept(options).unwrap().expect("the peer has connected")), Box::new(theirs))
}

/// A message as it is on a stream.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap();
    [&len.to_be_bytes(), message].concat()
}

pub(crate) fn ready_now(link: &(impl Link + ?Sized)) -> bool {
    is_ready(link, Duration::ZERO)
}

pub(crate) fn wait(link: &(impl Link + ?Sized)) {
    assert!(is_ready(link, PATIENCE), "not ready within {PATIENCE:?}: {link:?}");
}

fn is_ready(link: &(impl Link + ?Sized), timeout: Duration) -> bool {
    loop {
        match readiness::wait(link.readiness(), Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            ready => return ready.unwrap(),
        }
    }
}

/// Queues a message for which there must be room.
pub(crate) fn queue(link: &mut (impl Link + ?Sized), message: &[u8]) {
    link.buffer(message.len()).unwrap().expect("there is room").copy_from_slice(message);
    link.commit();
}

/// Sends a message that must go at once.
pub(crate) fn send(link: &mut (impl Link + ?Sized), message: &[u8]) {
    queue(link, message);
    assert!(link.flush().unwrap(), "the kernel takes it at once");
}

/// The next message, waited for.
pub(crate) fn next(link: &mut (impl Link + ?Sized)) -> Vec<u8> {
    loop {
        if let Some(message) = link.receive().unwrap() {
            return message.to_vec();
        }
        wait(link);
    }
}

/// The messages that are left and how the link then ended.
pub(crate) fn rest(link: &mut (impl Link + ?Sized)) -> (Vec<Vec<u8>>, LinkError) {
    let mut messages = Vec::new();
    loop {
        match link.receive() {
            Ok(Some(message)) => messages.push(message.to_vec()),
            Ok(None) => wait(link),
            Err(error) => return (messages, error),
        }
    }
}

/// Everything that is there now; at least one message, waited for.
pub(crate) fn several(link: &mut (impl Link + ?Sized)) -> Vec<Vec<u8>> {
    let mut messages = vec![next(link)];
    while let Some(message) = link.receive().unwrap() {
        messages.push(message.to_vec());
    }
    messages
}

/// Queues and flushes `message` until neither the queue nor the kernel takes any more; how many went in.
pub(crate) fn fill(link: &mut (impl Link + ?Sized), message: &[u8]) -> usize {
    let mut count = 0;
    loop {
        while let Some(room) = link.buffer(message.len()).unwrap() {
            room.copy_from_slice(message);
            link.commit();
            count += 1;
        }
        // TCP moves on by itself for a while, into the peer's kernel.
        if !link.flush().unwrap()
            && !ready_now(link)
            && link.buffer(message.len()).unwrap().is_none()
        {
            return count;
        }
    }
}

/// A message that can be told from others: its bytes follow from its number and length.
pub(crate) fn pattern(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (number.wrapping_mul(31) ^ i.wrapping_mul(7)) as u8).collect()
}

/// Numbers that look random and are the same every time.
pub(crate) fn random() -> impl FnMut() -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    }
}

/// Asserts that every call now repeats an error that `is` recognises.
pub(crate) fn assert_dead(link: &mut (impl Link + ?Sized), is: fn(&LinkError) -> bool) {
    for _ in 0..2 {
        let errors =
            [link.receive().unwrap_err(), link.flush().unwrap_err(), link.buffer(1).unwrap_err()];
        assert!(errors.iter().all(is), "{errors:?}");
        link.commit();
    }
    assert!(ready_now(link), "whoever waits learns of the end");
}

pub(crate) fn is_closed(error: &LinkError) -> bool {
    matches!(error, LinkError::Closed)
}
