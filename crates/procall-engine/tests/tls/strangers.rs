//! Those who come without shaking hands: 5 s, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, interval, timeout};

use crate::support::{House, SAFETY, math};

/// The head of a handshake that announces 200 bytes, and a hello in it of 196.
const HALF: [u8; 9] = [0x16, 3, 1, 0, 200, 1, 0, 0, 196];

/// Calls on until it is told to stop; how many went well.
fn bystander(house: &Arc<House>) -> (Arc<AtomicBool>, tokio::task::JoinHandle<u32>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (house, stopped) = (house.clone(), stop.clone());
    let calling = tokio::spawn(async move {
        let client = house.client().await;
        let mut done = 0;
        while !stopped.load(Ordering::Relaxed) {
            assert_eq!(
                client.call::<f64>("math.add", (done, 1)).await.unwrap(),
                f64::from(done) + 1.0
            );
            done += 1;
        }
        done
    });
    (stop, calling)
}

/// Waits for the end of the connection, while it says a byte a second of what it is to say.
async fn outlast(port: u16, mut words: impl Iterator<Item = u8> + Send, at_once: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let first: Vec<u8> = words.by_ref().take(at_once).collect();
    stream.write_all(&first).await.unwrap();
    let mut second = interval(Duration::from_secs(1));
    let mut told = Vec::new();
    let over = async {
        loop {
            tokio::select! {
                _ = second.tick() => {
                    let Some(byte) = words.next() else { continue };
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
                // A reset is an end as good as any.
                read = stream.read_buf(&mut told) => if read.unwrap_or(0) == 0 {
                    return;
                },
            }
        }
    };
    timeout(SAFETY, over).await.expect("it may stay for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_hung_up_on_and_bystanders_do_not_notice() {
    let house = Arc::new(House::new());
    let _worker = house.serve(math()).await;
    let (stop, calling) = bystander(&house);
    let port = house.port;
    let mut strangers = tokio::task::JoinSet::new();
    for number in 0..10_u8 {
        // Garbage; a plain greeting; a plain request; silence; half a handshake; one that never comes to its end.
        let garbage = (0..200).map(move |at: u8| at.wrapping_mul(31).wrapping_add(number));
        strangers.spawn(outlast(port, garbage, 200));
        let plain = b"\0\0\0\x0c{\"type\":\"x\"}".iter().copied();
        strangers.spawn(outlast(port, plain, 16));
        strangers.spawn(outlast(port, b"GET / HTTP/1.1\r\n\r\n".iter().copied(), 18));
        strangers.spawn(outlast(port, std::iter::empty(), 0));
        strangers.spawn(outlast(port, HALF.into_iter(), 9));
        strangers.spawn(outlast(port, HALF.into_iter().chain(std::iter::repeat(0)), 1));
    }
    while let Some(stranger) = strangers.join_next().await {
        stranger.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(calling.await.unwrap() > 0);
    // The bystander has gone; the worker is left, and who asks.
    house.until(|peers| peers.len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_shake_hands_and_say_nothing_are_let_go_as_well() {
    use procall::Readiness;
    use procall::transport::{Link, LinkOptions, tls::TlsLink};

    let house = House::with("server", |_, builder| {
        builder.token("boss", "0123456789abcdef", procall_engine::Rights::all())
    });
    let tls = house.certificates.trusting().load().unwrap();
    let link = TlsLink::connect("127.0.0.1", house.port, &tls, &LinkOptions::default());
    let mut link = link.unwrap();
    let readiness = Readiness::new(link.readiness()).unwrap();
    let mut words = String::new();
    let over = async {
        loop {
            match link.receive() {
                Ok(Some(told)) => words.push_str(&String::from_utf8_lossy(told)),
                Ok(None) => {
                    // Whatever it says, the link is looked at again.
                    let _ = std::future::poll_fn(|cx| readiness.poll_news(cx)).await;
                }
                Err(_) => return,
            }
        }
    };
    timeout(SAFETY, over).await.expect("it may stay for ever");
    assert!(words.contains("nothing was said"), "{words:?}");
}
