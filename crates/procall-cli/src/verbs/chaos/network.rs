//! `procall chaos delay` and `procall chaos drop`: a bad network in front of an address.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use procall::ErrorCode;
use procall::transport::Address;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::tell;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::style::Style;
use crate::{duration, engine};

/// Bytes that are carried at once, and pieces of them that may be on their way: what comes faster waits at its sender.
const PIECE: usize = 16 << 10;
const PIECES: usize = 1_024;

const DELAY_EXAMPLES: &str = "Examples:
  procall chaos delay tcp:127.0.0.1:8080 --by 100ms
  procall chaos delay calc --by 50ms --for 1m       a service by its name";

/// Print an address behind which everything is late, each way.
#[derive(Debug, Args)]
#[command(before_help = DELAY_EXAMPLES)]
pub(super) struct Delay {
    #[command(flatten)]
    place: Place,

    /// How late each byte is, each way.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "100ms")]
    by: Duration,
}

const DROP_EXAMPLES: &str = "Examples:
  procall chaos drop tcp:127.0.0.1:8080             every 5 s
  procall chaos drop calc --every 500ms --for 1m    a service by its name";

/// Print an address whose connections all break, again and again.
#[derive(Debug, Args)]
#[command(before_help = DROP_EXAMPLES)]
pub(super) struct Drop {
    #[command(flatten)]
    place: Place,

    /// How often they break.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "5s")]
    every: Duration,
}

/// What lies behind.
#[derive(Debug, Args)]
struct Place {
    /// An engine or a service, by its name or address.
    #[arg(value_name = "ADDRESS")]
    address: String,

    /// Ends after this time; at Ctrl-C without it.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    long: Option<Duration>,
}

impl Delay {
    pub(super) async fn run(self, signals: Signals, style: &Style) -> Result<(), Failure> {
        let text = format!("everything is {:?} late there; Ctrl-C ends", self.by);
        carry(&self.place, self.by, None, &text, signals, style).await
    }
}

impl Drop {
    pub(super) async fn run(self, signals: Signals, style: &Style) -> Result<(), Failure> {
        let text = format!("connections there break every {:?}; Ctrl-C ends", self.every);
        carry(&self.place, Duration::ZERO, Some(self.every), &text, signals, style).await
    }
}

/// A socket in a folder of its own, which nobody else may enter: whoever connects there speaks in this user's name.
struct Door {
    folder: PathBuf,
    listener: UnixListener,
}

impl Door {
    fn new() -> io::Result<Self> {
        let mut bytes = [0; 8];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        let name = format!("procall-chaos-{:016x}", u64::from_ne_bytes(bytes));
        let folder = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        match UnixListener::bind(folder.join("door")) {
            Ok(listener) => Ok(Self { folder, listener }),
            Err(error) => {
                // Nothing is in it.
                let _ = std::fs::remove_dir(&folder);
                Err(error)
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("door")
    }
}

impl std::ops::Drop for Door {
    fn drop(&mut self) {
        // Somebody may have taken it away already.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Carries connections until the time is up.
async fn carry(
    place: &Place,
    late: Duration,
    breaking: Option<Duration>,
    text: &str,
    mut signals: Signals,
    style: &Style,
) -> Result<(), Failure> {
    let behind = behind(&place.address).await?;
    let door = Door::new().map_err(|error| {
        Failure::new(ErrorCode::Unavailable, format!("no socket can be made: {error}"))
            .fix("TMPDIR must be a folder that you may write to, with a short name")
    })?;
    let address = format!("unix:{}", door.path().display());
    if style.json {
        tell("", &json!({ "event": "listening", "address": address }), style)?;
    } else {
        crate::output::line(&address)?;
        style.hint(text);
    }
    let end = place.long.map(|long| Instant::now() + long);
    let over = async {
        match end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut connections = JoinSet::new();
    let mut next = breaking.map(|every| Instant::now() + every);
    loop {
        tokio::select! {
            () = &mut over => return Ok(()),
            () = signals.next() => return Ok(()),
            near = door.listener.accept() => match near {
                Ok((near, _)) => {
                    connections.spawn(join(near, behind.clone(), late));
                }
                // Out of descriptors, for instance: it may have some again soon.
                Err(error) => {
                    style.hint(&format!("a connection was not taken: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            // What a connection ended with is told by its sides.
            Some(_) = connections.join_next() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let count = connections.len();
                connections.shutdown().await;
                next = breaking.map(|every| Instant::now() + every);
                let event = json!({ "event": "dropped", "connections": count });
                if count > 0 {
                    tell(&format!("{count} connections broken"), &event, style)?;
                }
            }
        }
    }
}

/// Where the bytes go; somebody has to listen there.
async fn behind(address: &str) -> Result<Address, Failure> {
    let text = engine::address(address)?;
    let parsed: Address = text.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    if !matches!(parsed, Address::Unix(_) | Address::Tcp(_)) {
        return Err(Failure::usage("what is encrypted cannot be given a door without encryption")
            .fix("give the tcp: or unix: address of the engine"));
    }
    match connect(&parsed).await {
        Ok(_) => Ok(parsed),
        Err(error) => {
            Err(Failure::new(ErrorCode::NoWorker, format!("nobody listens at {address}: {error}"))
                .fix("procall ls   shows what runs"))
        }
    }
}

/// A connection of either kind.
struct Far(Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

async fn connect(address: &Address) -> io::Result<Far> {
    match address {
        Address::Unix(path) => Ok(Far::unix(path).await?),
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (read, write) = stream.into_split();
            Ok(Far(Box::new(read), Box::new(write)))
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl Far {
    async fn unix(path: &Path) -> io::Result<Self> {
        let (read, write) = UnixStream::connect(path).await?.into_split();
        Ok(Self(Box::new(read), Box::new(write)))
    }
}

/// Joins the two; whichever way ends first ends the other.
async fn join(near: UnixStream, behind: Address, late: Duration) -> io::Result<()> {
    let Far(far_in, far_out) = connect(&behind).await?;
    let (near_in, near_out) = near.into_split();
    tokio::select! {
        result = pass(near_in, far_out, late) => result,
        result = pass(far_in, near_out, late) => result,
    }
}

/// Passes on what comes, so late; a piece does not wait for the one before it.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    late: Duration,
) -> io::Result<()> {
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let reading = async {
        loop {
            let mut piece = vec![0; PIECE];
            let read = from.read(&mut piece).await?;
            piece.truncate(read);
            if read == 0 || sender.send((Instant::now() + late, piece)).await.is_err() {
                drop(sender);
                return Ok::<(), io::Error>(());
            }
        }
    };
    let writing = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    // The end of what is read reaches the other side behind all that came before it.
    tokio::try_join!(reading, writing).map(|_| ())
}
