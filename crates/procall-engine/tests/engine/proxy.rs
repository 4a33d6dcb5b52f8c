//! A way to the engine that can fall silent without an end.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Hands bytes on, both ways, unless it is frozen. Ends with its owner.
pub(crate) struct Proxy {
    pub(crate) address: String,
    open: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    pub(crate) async fn start(engine: &str) -> Self {
        let engine = engine.trim_start_matches("tcp:").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp:{}", listener.local_addr().unwrap());
        let (open, gate) = watch::channel(true);
        let accepting = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(&engine).await.unwrap();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(hand_on(near_in, far_out, gate.clone()));
                tokio::spawn(hand_on(far_in, near_out, gate.clone()));
            }
        });
        Self { address, open, accepting }
    }

    /// Hands nothing on any more, and closes nothing.
    pub(crate) fn freeze(&self) {
        self.open.send_replace(false);
    }

    /// Hands on what it kept back, and what comes.
    pub(crate) fn thaw(&self) {
        self.open.send_replace(true);
    }
}

async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        // An end or an error at either side is the end of both: the halves are dropped.
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        if gate.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
    }
}
