//! A collector of traces.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything here takes.
const SAFETY: Duration = Duration::from_secs(60);
/// Requests that a test may be behind.
const REQUESTS: usize = 64;

/// A collector on the loopback: takes requests of OTLP, and keeps their spans.
pub(crate) struct Collector {
    pub(crate) address: String,
    service: &'static str,
    requests: mpsc::Receiver<Value>,
    spans: VecDeque<Value>,
}

impl Collector {
    /// It answers the first requests with these, and all others with 200; they are to come from this service.
    pub(crate) async fn start(service: &'static str, first: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel(REQUESTS);
        let answers: VecDeque<&str> = first.iter().copied().collect();
        tokio::spawn(async move {
            let mut answers = answers;
            while let Ok((stream, _)) = listener.accept().await {
                // One after the other: an exporter has one connection.
                if serve(stream, &sender, &mut answers).await.is_none() {
                    return;
                }
            }
        });
        Self { address, service, requests, spans: VecDeque::new() }
    }

    pub(crate) async fn span(&mut self) -> Value {
        loop {
            if let Some(span) = self.spans.pop_front() {
                return span;
            }
            let request = timeout(SAFETY, self.requests.recv()).await.expect("no request came");
            let request = request.unwrap();
            let resource = &request["resourceSpans"][0];
            let about = resource["resource"]["attributes"].as_array().unwrap();
            assert!(about.contains(&json!({
                "key": "service.name", "value": { "stringValue": self.service }
            })));
            self.spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().clone());
        }
    }

    /// The spans of one call.
    pub(crate) async fn pair(&mut self) -> (Value, Value) {
        (self.span().await, self.span().await)
    }
}

/// Serves a connection to its end; `None` when nobody listens any more.
async fn serve(
    stream: TcpStream,
    sender: &mpsc::Sender<Value>,
    answers: &mut VecDeque<&'static str>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut first) = (0, String::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return Some(());
            }
            let line = line.trim_end().to_lowercase();
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(told) = line.strip_prefix("content-length: ") {
                length = told.parse().unwrap();
            }
            assert!(!line.starts_with("content-type:") || line.ends_with("application/json"));
            if line.is_empty() {
                break;
            }
        }
        assert_eq!(first, "post /v1/traces http/1.1");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let status = answers.pop_front().unwrap_or("200 OK");
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        if status.starts_with("200") {
            sender.send(serde_json::from_slice(&body).unwrap()).await.ok()?;
        }
    }
}
