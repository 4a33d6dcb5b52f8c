//! A bad network: a TCP proxy that delays, splits, stalls, changes and breaks.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::load::mixed;

/// What it does to the bytes. A piece is what came at once, 16 KiB at most.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing; for who only wants to see who comes.
    None,
    /// Each byte goes alone.
    Split,
    /// Every piece is so late.
    Delay(Duration),
    /// So many bytes a second at most.
    Throttle(u32),
    /// One piece of so many is held back for so long, and all behind it.
    Stall(u64, Duration),
    /// One piece of so many has a bit turned over.
    Flip(u64),
    /// One piece of so many ends its connection: half of it arrives, then an end.
    Break(u64),
    /// The same, but both sides get a reset.
    Reset(u64),
    /// One piece of so many goes nowhere, nor does anything behind it, and neither side is told.
    HalfOpen(u64),
}

/// A proxy in front of a server, until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    accepting: JoinHandle<()>,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    pieces: AtomicU64,
    /// What was done to pieces but for carrying them, where that is done to some only.
    faults: AtomicU64,
    accepted: Mutex<Vec<Instant>>,
}

impl Proxy {
    pub(crate) async fn new(server: SocketAddr, fault: Fault) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let seen: Arc<Seen> = Arc::default();
        let own = seen.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                own.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                let way = Way { fault, seen: own.clone() };
                tokio::spawn(async move {
                    let far = TcpStream::connect(server).await?;
                    // What the proxy itself does not delay is not to wait for more.
                    near.set_nodelay(true)?;
                    far.set_nodelay(true)?;
                    let ((near_in, near_out), (far_in, far_out)) =
                        (near.into_split(), far.into_split());
                    let back = way.clone();
                    // Whichever way ends first ends the other, as a broken connection does.
                    tokio::select! {
                        result = way.carry(near_in, far_out) => result,
                        result = back.carry(far_in, near_out) => result,
                    }
                });
            }
        });
        Ok(Self { address, accepting, seen })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it did what it does to some pieces only.
    pub(crate) fn faults(&self) -> u64 {
        self.seen.faults.load(Ordering::Relaxed)
    }

    /// When connections came.
    pub(crate) fn accepted(&self) -> Vec<Instant> {
        self.seen.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
    seen: Arc<Seen>,
}

impl Way {
    async fn carry(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            let piece = &mut buffer[..read];
            let dice = mixed(self.seen.pieces.fetch_add(1, Ordering::Relaxed));
            let hit = |each: u64| {
                let hit = dice.is_multiple_of(each);
                self.seen.faults.fetch_add(u64::from(hit), Ordering::Relaxed);
                hit
            };
            match self.fault {
                Fault::Split => {
                    for byte in piece {
                        to.write_all(&[*byte]).await?;
                    }
                    continue;
                }
                Fault::Delay(time) => tokio::time::sleep(time).await,
                Fault::Throttle(rate) => {
                    tokio::time::sleep(Duration::from_secs_f64(read as f64 / f64::from(rate)))
                        .await;
                }
                Fault::Stall(each, time) if hit(each) => tokio::time::sleep(time).await,
                Fault::Flip(each) if hit(each) => piece[dice as usize % read] ^= 1 << (dice >> 61),
                Fault::Break(each) if hit(each) => return to.write_all(&piece[..read / 2]).await,
                Fault::Reset(each) if hit(each) => {
                    to.write_all(&piece[..read / 2]).await?;
                    to.as_ref().set_zero_linger()?;
                    return from.as_ref().set_zero_linger();
                }
                Fault::HalfOpen(each) if hit(each) => return std::future::pending().await,
                Fault::None
                | Fault::Stall(..)
                | Fault::Flip(_)
                | Fault::Break(_)
                | Fault::Reset(_)
                | Fault::HalfOpen(_) => {}
            }
            to.write_all(piece).await?;
        }
    }
}
