use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use procall::Heartbeat;
use tokio::sync::Mutex;

use crate::support::{Place, register, until_peers, until_served, who, worker};

/// Passes bytes on between one peer and the engine for as long as nobody holds `gate`.
fn passage(from: &Path, to: &Path, gate: &Arc<Mutex<()>>) {
    let listener = UnixListener::bind(from).unwrap();
    let (to, gate) = (to.to_owned(), gate.clone());
    std::thread::spawn(move || {
        let peer = listener.accept().unwrap().0;
        let engine = UnixStream::connect(to).unwrap();
        let pass = |mut from: UnixStream, mut to: UnixStream, gate: Arc<Mutex<()>>| {
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(len @ 1..) = from.read(&mut bytes) {
                    let _open = gate.blocking_lock();
                    if to.write_all(&bytes[..len]).is_err() {
                        break;
                    }
                }
                // The other side may have gone first.
                let _ = to.shutdown(Shutdown::Both);
            });
        };
        pass(peer.try_clone().unwrap(), engine.try_clone().unwrap(), gate.clone());
        pass(engine, peer, gate);
    });
}

#[tokio::test]
async fn one_that_is_not_heard_of_any_more_gives_way_to_itself() {
    let place = Place::new();
    let beat = Duration::from_millis(150);
    let heartbeat = Heartbeat { interval: beat, timeout: beat, misses: 1 };
    let engine = place.builder().heartbeat(Some(heartbeat)).start().unwrap();
    let (through, gate) = (place.path("through"), Arc::default());
    passage(&through, &place.path("e.sock"), &gate);
    let ghost = worker(&format!("unix:{}", through.display()).parse().unwrap(), "one", "ghost");
    register(&ghost).await.unwrap();
    assert_eq!(who(&engine).await.unwrap(), "ghost");

    // Nothing is heard of it any more, and its connection is open still.
    let shut = gate.lock().await;
    let back = worker(&place.address(), "one", "back");
    until_peers(&engine, |peers| {
        peers.iter().filter(|peer| peer.pid.is_some()).count() == 1
            && peers.iter().any(|peer| peer.methods > 0)
    })
    .await;
    until_served(&engine, "named.who").await;
    assert_eq!(who(&engine).await.unwrap(), "back", "without registering");
    drop(shut);
    std::future::poll_fn(|cx| ghost.poll_closed(cx.waker())).await;
    assert_eq!(who(&engine).await.unwrap(), "back");
    drop(back);
    engine.stop().await;
}
