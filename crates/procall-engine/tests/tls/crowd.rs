//! A crowd of strangers at each door: those who say nothing and those who say a byte a second. Others come in and are answered meanwhile.

use std::time::{Duration, Instant};

use procall::{Client, ConnectOptions};
use procall_engine::Rights;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::support::{House, SAFETY};

const SECRET: &str = "0123456789abcdef";

/// Strangers who say nothing: 100, or as many as `PROCALL_STRANGERS` says, which `make long` has say 2,000. Beside them there is a quarter of
/// that who say a byte a second.
fn crowd() -> usize {
    std::env::var("PROCALL_STRANGERS").map_or(100, |crowd| crowd.parse().expect("a number"))
}

/// A place to come to, and how strangers and others do.
struct Door {
    name: &'static str,
    address: String,
}

trait Byways: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Byways for T {}

impl Door {
    async fn stranger(&self) -> Box<dyn Byways> {
        let (kind, place) = self.address.split_once(':').unwrap();
        match kind {
            "unix" => Box::new(UnixStream::connect(place).await.unwrap()),
            _ => Box::new(TcpStream::connect(place).await.unwrap()),
        }
    }
}

/// How long it is until a stranger is hung up on, who says these bytes, one a second.
async fn outlast(mut stream: Box<dyn Byways>, mut words: impl Iterator<Item = u8>) -> Duration {
    let came = Instant::now();
    let mut second = interval(Duration::from_secs(1));
    let mut told = Vec::new();
    loop {
        tokio::select! {
            _ = second.tick() => {
                let Some(byte) = words.next() else { continue };
                if stream.write_all(&[byte]).await.is_err() {
                    return came.elapsed();
                }
            }
            // A reset is an end as good as any.
            read = stream.read_buf(&mut told) => if read.unwrap_or(0) == 0 {
                return came.elapsed();
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_each_door_is_let_go_while_others_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("engine.sock").display());
    let house = House::with("server", |_, builder| {
        builder.listen(socket.parse().unwrap()).token("boss", SECRET, Rights::all())
    });
    let doors = [
        Door { name: "tls", address: house.address.clone() },
        Door { name: "tcp", address: house.plain.clone() },
        Door { name: "unix", address: socket },
    ];
    for door in doors {
        let crowd = crowd();
        let mut strangers = JoinSet::new();
        for at in 0..crowd + crowd / 4 {
            let stream = door.stranger().await;
            // The head of a handshake over TLS, or of a message of 200 bytes: neither comes to its end.
            let head: &[u8] = if door.name == "tls" {
                &[0x16, 3, 1, 0, 200, 1, 0, 0, 196]
            } else {
                &[0, 0, 0, 200]
            };
            let words = head.iter().copied().chain(std::iter::repeat(b' '));
            let said = if at < crowd { 0 } else { usize::MAX };
            strangers.spawn(outlast(stream, words.take(said)));
        }
        let crowded = Instant::now();
        let mut took = Vec::new();
        let mut stayed = Vec::new();
        while !strangers.is_empty() {
            let began = Instant::now();
            let options = ConnectOptions {
                token: Some(SECRET.into()),
                tls: house.certificates.trusting(),
                ..ConnectOptions::default()
            };
            let client = Client::connect_with(&door.address, options).await.unwrap();
            client.call::<serde_json::Value>("procall.engine.strays", ()).await.unwrap();
            took.push(began.elapsed());
            client.close();
            while let Some(gone) = strangers.try_join_next() {
                stayed.push(gone.unwrap());
            }
            assert!(crowded.elapsed() < 2 * SAFETY, "they may stay for ever");
        }
        took.sort_unstable();
        let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
        let last = stayed.iter().max().unwrap();
        println!(
            "{}: {} strangers, the last gone after {last:?}; {} came in and were answered within {:?} (half of them), {:?} (99 of 100)",
            door.name,
            crowd + crowd / 4,
            took.len(),
            at(50),
            at(99),
        );
        assert_eq!(stayed.len(), crowd + crowd / 4);
        assert!(took.len() > 10, "others did not come in meanwhile");
    }
    house.engine.stop().await;
}
