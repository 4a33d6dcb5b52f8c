use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use procall::{Client, Error, Service, Stream};
use procall_engine::{Engine, EngineBuilder, PeerRow};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

pub(crate) use crate::common::SAFETY;
use crate::common::{served, until_peers};
pub(crate) use crate::worker::Worker;

/// An engine with HTTP at a free port of the loopback.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) address: String,
    pub(crate) http: SocketAddr,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(shape: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Self {
        let builder = Engine::builder()
            .listen("tcp:127.0.0.1:0".parse().unwrap())
            .http("127.0.0.1:0".parse().unwrap());
        let engine = shape(builder).start().unwrap();
        let address = engine.addresses()[0].to_string();
        let http = engine.http_address().unwrap();
        Self { engine, address, http }
    }

    /// Runs a service that registers with the engine, and waits until it has.
    pub(crate) async fn serve(&self, service: Service) -> Worker {
        let address = self.address.clone();
        let run = async move { service.engine(&address).run().await };
        served(&self.engine, || Worker(tokio::spawn(run))).await
    }

    pub(crate) async fn peers(&self) -> Vec<PeerRow> {
        until_peers(&self.engine, |_| true).await
    }

    pub(crate) async fn until(&self, so: impl Fn(&[PeerRow]) -> bool) {
        until_peers(&self.engine, so).await;
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.address).await.unwrap()
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire(BufReader::new(TcpStream::connect(self.http).await.unwrap()))
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.connect().await.ask(line, headers, body).await
    }

    /// A call with a JSON body.
    pub(crate) async fn call(&self, path: &str, body: &str) -> Answer {
        self.ask(&format!("POST /v1/call/{path}"), &[JSON], body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], "").await
    }
}

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A connection that speaks HTTP word by word.
pub(crate) struct Wire(pub(crate) BufReader<TcpStream>);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By their names in small letters.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status, and the error's `code` and `executed`.
    pub(crate) fn failure(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("code"), text("executed"))
    }
}

/// What [`Answer::failure`] is expected to be.
pub(crate) fn failure(status: u16, code: &str, executed: &str) -> (u16, String, String) {
    (status, code.to_owned(), executed.to_owned())
}

impl Wire {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    /// Sends a request with a `Host`, unless there is one in `headers`, and a `Content-Length`.
    pub(crate) async fn request(&mut self, line: &str, headers: &[(&str, &str)], body: &str) {
        let mut text = format!("{line} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let host = self.0.get_ref().peer_addr().unwrap();
            text += &format!("Host: {host}\r\n");
        }
        headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        text += body;
        self.send(text.as_bytes()).await;
    }

    pub(crate) async fn ask(&mut self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.request(line, headers, body).await;
        self.answer().await
    }

    /// A whole answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        while let Some(part) = self.part(&mut answer).await {
            answer.body += &part;
        }
        answer
    }

    /// An answer without its body.
    pub(crate) async fn head(&mut self) -> Answer {
        let status = self.line().await;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut headers = HashMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Answer { status: status.expect("a status"), headers, body: String::new() }
    }

    /// The next part of a body; none at its end.
    pub(crate) async fn part(&mut self, answer: &mut Answer) -> Option<String> {
        let chunked = answer.headers.contains_key("transfer-encoding");
        let len = match chunked {
            true => usize::from_str_radix(&self.line().await, 16).expect("a chunk's length"),
            // Taken out, so that it counts once.
            false => answer.headers.remove("content-length").map_or(0, |len| len.parse().unwrap()),
        };
        let mut part = vec![0; len];
        timeout(SAFETY, self.0.read_exact(&mut part)).await.expect("a part").unwrap();
        if chunked {
            assert_eq!(self.line().await, "");
        }
        (len > 0).then(|| String::from_utf8(part).unwrap())
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(SAFETY, self.0.read_line(&mut line)).await.expect("a line").unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for the end of the connection.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = timeout(SAFETY, self.0.read_to_end(&mut rest)).await.expect("the end");
    }
}

/// Something that happens when the last copy goes.
pub(crate) struct Told(pub(crate) Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[procall::service(name = "lab")]
pub(crate) trait Lab {
    /// Adds two numbers.
    async fn add(&self, a: f64, b: f64) -> f64;
    async fn nan(&self) -> f64;
    async fn fail(&self) -> Result<(), Error>;
    /// Answers when it is let go.
    async fn hang(&self) -> Result<(), Error>;
    async fn count(&self, n: u64) -> Stream<u64>;
    /// Counts to `n`, then fails.
    async fn trip(&self, n: u64) -> Stream<u64>;
    /// Counts until nobody wants it any more.
    async fn flood(&self) -> Stream<String>;
    async fn sum(&self, start: i64, values: Stream<i64>) -> Result<i64, Error>;
    async fn echo(&self, values: Stream<String>) -> Stream<String>;
}

#[derive(Clone, Default)]
pub(crate) struct MyLab {
    /// A call that hangs, or a flood, was begun.
    pub(crate) begun: Arc<Notify>,
    /// It was given up, or is over.
    pub(crate) given_up: Arc<Notify>,
    /// Lets one that hangs go.
    pub(crate) release: Arc<Notify>,
}

impl Lab for MyLab {
    async fn add(&self, a: f64, b: f64) -> f64 {
        a + b
    }

    async fn nan(&self) -> f64 {
        f64::NAN
    }

    async fn fail(&self) -> Result<(), Error> {
        Err(Error::handler("OutOfLuck", "no luck today"))
    }

    async fn hang(&self) -> Result<(), Error> {
        let _told = Told(self.given_up.clone());
        self.begun.notify_one();
        self.release.notified().await;
        Ok(())
    }

    async fn count(&self, n: u64) -> Stream<u64> {
        Stream::from_iter(0..n)
    }

    async fn trip(&self, n: u64) -> Stream<u64> {
        let items = (0..n).map(Ok).chain([Err(Error::handler("Tripped", "over a stone"))]);
        Stream::new(futures_util::stream::iter(items))
    }

    async fn flood(&self) -> Stream<String> {
        let told = Told(self.given_up.clone());
        self.begun.notify_one();
        Stream::new(futures_util::stream::unfold(told, |told| async move {
            Some((Ok("x".repeat(1000)), told))
        }))
    }

    async fn sum(&self, start: i64, mut values: Stream<i64>) -> Result<i64, Error> {
        let mut sum = start;
        while let Some(value) = values.next().await {
            sum += value?;
        }
        Ok(sum)
    }

    async fn echo(&self, values: Stream<String>) -> Stream<String> {
        values
    }
}

/// An engine and a lab that serves there.
pub(crate) async fn lab() -> (House, MyLab, Worker) {
    let house = House::new();
    let lab = MyLab::default();
    let worker = house.serve(lab.clone().into_service()).await;
    (house, lab, worker)
}

pub(crate) async fn told(notify: &Notify) {
    timeout(SAFETY, notify.notified()).await.expect("it never happened");
}
