//! The transport: where the pool waits for its workers, and how a worker comes.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use procall::transport::{Link, LinkOptions};
use procall_pool::{Door, Opening, Transport};

use crate::link::ScrambledLink;

/// Tells a worker where to come.
const ADDRESS: &str = "WORKERS_ADDRESS";

/// Scrambled frames over TCP; see [`crate::link`].
#[derive(Debug)]
pub struct Scrambled;

impl Transport for Scrambled {
    fn open(&self, _worker: &str) -> io::Result<Opening> {
        Self::open_at().map(|(opening, _)| opening)
    }
}

impl Scrambled {
    /// Opens it, and tells where.
    pub fn open_at() -> io::Result<(Opening, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((Opening::new(ScrambledDoor { listener }).env(ADDRESS, address.to_string()), address))
    }
}

struct ScrambledDoor {
    listener: TcpListener,
}

impl AsFd for ScrambledDoor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Door for ScrambledDoor {
    fn accept(&self) -> io::Result<Option<Box<dyn Link>>> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                Ok(Some(Box::new(ScrambledLink::new(stream, &LinkOptions::default())?)))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A worker's link, if its pool has this transport.
pub fn connect() -> io::Result<Option<Box<dyn Link>>> {
    let Ok(address) = std::env::var(ADDRESS) else { return Ok(None) };
    let stream = TcpStream::connect(address)?;
    Ok(Some(Box::new(ScrambledLink::new(stream, &LinkOptions::default())?)))
}
