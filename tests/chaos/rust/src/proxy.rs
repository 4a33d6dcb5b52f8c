//! A bad network: a TCP proxy that delays, splits, stalls and breaks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::load::mixed;

/// What it does to the bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Each byte goes alone.
    Split,
    /// Every piece is so late.
    Delay(Duration),
    /// One piece of so many is held back for so long, and all behind it.
    Stall(u64, Duration),
    /// One piece of so many ends its connection instead: half of it arrives, then a reset.
    Break(u64),
}

/// A proxy in front of a server, until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    accepting: JoinHandle<()>,
    broken: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn new(server: SocketAddr, fault: Fault) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let broken: Arc<AtomicU64> = Arc::default();
        let count = broken.clone();
        let accepting = tokio::spawn(async move {
            let pieces: Arc<AtomicU64> = Arc::default();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(server).await else { continue };
                let way = Way { fault, pieces: pieces.clone(), broken: count.clone() };
                // What the proxy itself does not delay is not to wait for more.
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                let back = way.clone();
                tokio::spawn(async move {
                    // Whichever way ends first ends the other, as a broken connection does.
                    tokio::select! {
                        result = way.carry(near_in, far_out) => result,
                        result = back.carry(far_in, near_out) => result,
                    }
                });
            }
        });
        Ok(Self { address, accepting, broken })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that it has broken.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Debug, Clone)]
struct Way {
    fault: Fault,
    pieces: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}

impl Way {
    async fn carry(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            let piece = &buffer[..read];
            let dice = mixed(self.pieces.fetch_add(1, Ordering::Relaxed));
            match self.fault {
                Fault::Split => {
                    for byte in piece {
                        to.write_all(&[*byte]).await?;
                    }
                    continue;
                }
                Fault::Delay(time) => tokio::time::sleep(time).await,
                Fault::Stall(each, time) if dice.is_multiple_of(each) => {
                    tokio::time::sleep(time).await
                }
                Fault::Break(each) if dice.is_multiple_of(each) => {
                    self.broken.fetch_add(1, Ordering::Relaxed);
                    return to.write_all(&piece[..read / 2]).await;
                }
                Fault::Stall(..) | Fault::Break(_) => {}
            }
            to.write_all(piece).await?;
        }
    }
}
