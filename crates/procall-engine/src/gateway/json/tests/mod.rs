//! JSON peers against an engine of one service: the bytes that old and new clients send, and what they get.

mod calls;
mod engine;
mod hostile;
mod roadmap;
mod seeds;
mod streams;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use procall::transport::LinkOptions;
use procall::transport::tcp::TcpLink;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::engine::TestEngine;
use super::{Counters, IDLE, serve_with};

/// Longer than anything here takes.
const SAFETY: Duration = Duration::from_secs(30);

/// Waits for what must come.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SAFETY, future).await.expect("it never came")
}

/// A raw client, and the gateway's task at the other end.
struct Client {
    stream: TcpStream,
    gateway: JoinHandle<Counters>,
}

impl Client {
    async fn connect(engine: &Arc<TestEngine>) -> Self {
        Self::with(engine, IDLE, 64 << 20).await
    }

    async fn with_idle(engine: &Arc<TestEngine>, idle: Duration) -> Self {
        Self::with(engine, idle, 64 << 20).await
    }

    async fn with(engine: &Arc<TestEngine>, idle: Duration, max_message: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (server, address) = accepted.unwrap();
        let options = LinkOptions { max_message, ..LinkOptions::default() };
        let link = TcpLink::from_fd(OwnedFd::from(server.into_std().unwrap()), &options).unwrap();
        let host = engine.clone();
        let gateway = tokio::spawn(async move {
            let mut link: Box<dyn procall::transport::Link> = Box::new(link);
            let Some(first) = first_message(&mut *link).await else { return Counters::default() };
            serve_with(link, first, address.to_string(), (None, None), host, idle).await
        });
        Self { stream: client.unwrap(), gateway }
    }

    /// Sends bytes as they are.
    async fn raw(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Sends a text with its length before it.
    async fn text(&mut self, text: &str) {
        self.raw(&framed(text)).await;
    }

    async fn send(&mut self, message: Value) {
        self.text(&message.to_string()).await;
    }

    /// The text of the next message; none at the end.
    async fn next_text(&mut self) -> Option<String> {
        let mut length = [0; 4];
        match soon(self.stream.read_exact(&mut length)).await {
            Ok(_) => {}
            Err(_) => return None,
        }
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        soon(self.stream.read_exact(&mut text)).await.unwrap();
        Some(String::from_utf8(text).unwrap())
    }

    async fn next(&mut self) -> Value {
        let text = self.next_text().await.expect("the link is closed");
        serde_json::from_str(&text).unwrap()
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await
    }

    /// Hangs up; what the gateway counted.
    async fn leave(self) -> Counters {
        drop(self.stream);
        soon(self.gateway).await.unwrap()
    }

    /// Registers as the Rust client of the seed does, and reads the acknowledgement.
    async fn register_seed(&mut self) -> Value {
        self.text(SEED_REGISTER).await;
        self.next().await
    }

    /// Says hello and registers in our own form.
    async fn register_own(&mut self, methods: &[&str]) {
        let welcome = self.ask(json!({"type": "hello", "min": 1, "max": 1})).await;
        assert_eq!((&welcome["type"], &welcome["version"]), (&json!("welcome"), &json!(1)));
        let methods: Vec<_> = methods.iter().map(|name| json!({"name": name})).collect();
        let message = json!({"type": "register", "id": 1, "name": "own", "methods": methods});
        let registered = self.ask(message).await;
        let expected = json!({
            "type": "registered", "id": 1, "ok": true, "name": "own", "peer": registered["peer"],
        });
        assert_eq!(registered, expected);
    }
}

/// As the accept loop does it.
async fn first_message(link: &mut dyn procall::transport::Link) -> Option<Vec<u8>> {
    let readiness = procall::Readiness::new(link.readiness()).unwrap();
    std::future::poll_fn(|cx| {
        loop {
            match link.receive() {
                Ok(Some(bytes)) => return std::task::Poll::Ready(Some(bytes.to_vec())),
                Ok(None) => {}
                Err(_) => return std::task::Poll::Ready(None),
            }
            match readiness.poll_news(cx) {
                std::task::Poll::Ready(news) => news.unwrap(),
                std::task::Poll::Pending => return std::task::Poll::Pending,
            }
        }
    })
    .await
}

fn framed(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// What the Rust client of the seed registers, in the order in which serde writes it.
const SEED_REGISTER: &str = r#"{"type":"register","name":"example_client","description":"An example client that provides math.add method","methods":[{"name":"math.add","params_schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","additionalProperties":false,"properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"],"type":"object"},"result_schema":{"type":"number"}}]}"#;

const UUID: &str = "6f9619ff-8b86-d011-b42d-00c04fc964ff";

fn is_uuid(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<uuid::Uuid>().is_ok())
}
