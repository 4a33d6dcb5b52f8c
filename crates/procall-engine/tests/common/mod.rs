//! What tests ask of an engine by its own service.

use std::time::Duration;

use procall_engine::{Engine, PeerRow};

/// Longer than anything here takes.
pub(crate) const SAFETY: Duration = Duration::from_secs(20);

/// Waits until the list of peers is so.
pub(crate) async fn until_peers(engine: &Engine, so: impl Fn(&[PeerRow]) -> bool) -> Vec<PeerRow> {
    let client = engine.client().await.unwrap();
    let look = async {
        loop {
            let peers: Vec<PeerRow> = client.call("procall.engine.peers", ()).await.unwrap();
            if so(&peers) {
                return peers;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SAFETY, look).await.expect("the peers never became so")
}

/// Starts a service that registers with the engine, and waits until it has.
pub(crate) async fn served<W>(engine: &Engine, start: impl FnOnce() -> W) -> W {
    let serving = |peers: &[PeerRow]| peers.iter().filter(|peer| peer.methods > 0).count();
    let before = serving(&until_peers(engine, |_| true).await);
    let worker = start();
    until_peers(engine, |peers| serving(peers) > before).await;
    worker
}
