//! A peer that sends what it likes.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::SAFETY;

/// A peer that sends what it likes.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    /// Over TCP, without a word.
    pub(crate) async fn connect(address: &str) -> Self {
        let address = address.strip_prefix("tcp:").unwrap();
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// A message with its length before it.
    pub(crate) async fn message(&mut self, bytes: &[u8]) {
        let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        framed.extend_from_slice(bytes);
        timeout(SAFETY, self.stream.write_all(&framed)).await.unwrap().unwrap();
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.message(message.to_string().as_bytes()).await;
    }

    /// The next message; none at the end.
    pub(crate) async fn next_bytes(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        timeout(SAFETY, self.stream.read_exact(&mut length)).await.unwrap().ok()?;
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        timeout(SAFETY, self.stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        Some(bytes)
    }

    pub(crate) async fn next(&mut self) -> Value {
        serde_json::from_slice(&self.next_bytes().await.expect("it was hung up on")).unwrap()
    }

    pub(crate) async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await
    }

    /// Says hello in JSON, with a token.
    pub(crate) async fn hello(&mut self, token: &str) {
        let hello = json!({"type": "hello", "min": 1, "max": 1, "info": {"token": token}});
        assert_eq!(self.ask(hello).await["type"], "welcome");
    }

    /// Whether the engine hangs up without another word.
    pub(crate) async fn end(&mut self) -> bool {
        self.next_bytes().await.is_none()
    }
}
