//! Peers over TLS: what they can do is what they can do everywhere.

use std::process::{Command, Stdio};
use std::sync::Arc;

use procall::transport::tls::TlsLink;
use procall::transport::{Link, LinkOptions};
use procall::{Bytes, ErrorCode, Readiness, TlsFiles};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{House, SAFETY, math};

#[tokio::test(flavor = "multi_thread")]
async fn calls_streams_and_large_bodies_cross() {
    let house = House::new();
    let service = math().stream_method("count", |n: u64| procall::Stream::from_iter(0..n));
    let _worker = house.serve(service).await;
    let client = house.client().await;
    assert_eq!(client.call::<f64>("math.add", (1, 2)).await.unwrap(), 3.0);
    let large: Vec<u8> = (0..20 << 20).map(|at: u32| (at % 251) as u8).collect();
    let echo = client.call::<Bytes>("math.echo", (Bytes::from(large.clone()),)).await.unwrap();
    assert!(echo.0 == large);
    let mut items = client.stream::<u64>("math.count", (10_000,));
    let mut next = 0;
    while let Some(item) = items.next().await {
        assert_eq!(item.unwrap(), next);
        next += 1;
    }
    assert_eq!(next, 10_000);
    let many = (0..500).map(|n| client.call::<f64>("math.add", (n, 1)).into_future());
    for (n, sum) in futures_util::future::join_all(many).await.into_iter().enumerate() {
        assert_eq!(sum.unwrap(), n as f64 + 1.0);
    }
}

/// A peer that speaks JSON over TLS.
struct Json(TlsLink, Readiness);

impl Json {
    fn connect(house: &House) -> Self {
        let tls = house.certificates.trusting().load().unwrap();
        let link = TlsLink::connect("localhost", house.port, &tls, &LinkOptions::default());
        let link = link.unwrap();
        let readiness = Readiness::new(link.readiness()).unwrap();
        Self(link, readiness)
    }

    async fn say(&mut self, message: Value) {
        let text = message.to_string();
        self.0.buffer(text.len()).unwrap().expect("room").copy_from_slice(text.as_bytes());
        self.0.commit();
        self.0.flush().unwrap();
    }

    async fn heard(&mut self) -> Value {
        let Self(link, readiness) = self;
        let heard = async {
            loop {
                if let Some(message) = link.receive().unwrap() {
                    return serde_json::from_slice(message).unwrap();
                }
                // Whatever it says, the link is looked at again.
                let _ = std::future::poll_fn(|cx| readiness.poll_news(cx)).await;
            }
        };
        timeout(SAFETY, heard).await.expect("nothing was said")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_speak_json_come_in_too() {
    let house = House::new();
    let _worker = house.serve(math()).await;
    let mut peer = Json::connect(&house);
    peer.say(json!({"type": "hello", "min": 1, "max": 1})).await;
    assert_eq!(peer.heard().await["type"], "welcome");
    peer.say(json!({"type": "call", "id": 1, "method": "math.add", "params": [1, 2]})).await;
    let expected = json!({"type": "result", "id": 1, "ok": true, "result": 3.0});
    assert_eq!(peer.heard().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_an_engine_that_was_restarted() {
    let house = House::new();
    let client = house.client().await;
    let address: procall::transport::Address = house.address.parse().unwrap();
    let House { engine, certificates, .. } = house;
    engine.stop().await;
    let engine = procall_engine::Engine::builder()
        .listen(address)
        .tls(certificates.serving("server"))
        .start()
        .unwrap();
    client.call::<Value>("procall.engine.peers", ()).await.unwrap();
    engine.stop().await;
}

const WORKER: &str = "PROCALL_TEST_TLS_ENGINE";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_is_seen_at_once() {
    let house = Arc::new(House::new());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "peers::this_is_the_worker"])
        .env(WORKER, &house.address)
        .env("PROCALL_TLS_CA", house.certificates.path("ca.pem"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    house.until(|peers| peers.iter().any(|peer| peer.methods > 0)).await;
    let client = house.client().await;
    assert_eq!(client.call::<f64>("math.add", (1, 2)).await.unwrap(), 3.0);
    let hanging = tokio::spawn({
        let client = client.clone();
        async move { client.call::<()>("math.hang", ()).await.unwrap_err() }
    });
    house.until(|peers| peers.iter().any(|peer| peer.methods > 0 && peer.in_flight > 0)).await;
    child.kill().unwrap();
    let error = timeout(SAFETY, hanging).await.expect("the death was not seen").unwrap();
    assert_eq!(error.code(), ErrorCode::WorkerLost, "{error}");
    house.until(|peers| peers.iter().all(|peer| peer.methods == 0)).await;
    child.wait().unwrap();
}

/// Does nothing unless `a_worker_that_is_killed_is_seen_at_once` runs it. Its authority is that of the environment.
#[tokio::test]
async fn this_is_the_worker() {
    let Ok(address) = std::env::var(WORKER) else { return };
    assert!(TlsFiles::default().load().is_ok());
    math().engine(address).run().await.unwrap();
}
