//! A stranger at the doors of an engine: whatever it says, it is answered or hung up on, and a caller beside it is served.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::BlockingClient;
use procall_engine::{Engine, PeerRow, Rights};
use tokio::runtime::Runtime;

/// Nothing here takes so long, but a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Runs after which the caller is tried.
const EACH: u64 = 16;

struct House {
    // Dropped first: it runs on the runtime.
    engine: Engine,
    http: SocketAddr,
    native: SocketAddr,
    caller: BlockingClient,
    runs: AtomicU64,
    _runtime: Runtime,
}

static HOUSE: LazyLock<House> = LazyLock::new(|| House::new().expect("an engine on the loopback"));

impl House {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let _inside = runtime.enter();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        // Guests may do all, so that their bytes come as far as can be.
        let engine = Engine::builder()
            .listen(format!("tcp:{loopback}").parse()?)
            .http(loopback)
            .guests(Rights::all())
            .start()?;
        let address = engine.addresses()[0].to_string();
        let native = address.trim_start_matches("tcp:").parse()?;
        let http = engine.http_address().ok_or("no address for HTTP")?;
        let caller = BlockingClient::connect(&address)?;
        let runs = AtomicU64::new(0);
        Ok(Self { engine, http, native, caller, runs, _runtime: runtime })
    }
}

pub(super) fn run(bytes: &[u8]) {
    let Some((door, said)) = bytes.split_first() else { return };
    let house = &*HOUSE;
    let door = if door & 1 == 0 { house.native } else { house.http };
    let mut stranger = TcpStream::connect_timeout(&door, PATIENCE).expect("the door is open");
    stranger.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    // It may be hung up on at any time, which is no mistake.
    if stranger.write_all(said).is_ok() && stranger.shutdown(Shutdown::Write).is_ok() {
        let mut answer = [0; 4096];
        loop {
            match stranger.read(&mut answer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!(
                        "a stranger that has said all it had to is still there: {}",
                        house.engine.addresses()[0]
                    );
                }
                Err(_) => break,
            }
        }
    }
    if house.runs.fetch_add(1, Ordering::Relaxed).is_multiple_of(EACH) {
        let peers: Vec<PeerRow> = house
            .caller
            .call("procall.engine.peers", ())
            .wait()
            .expect("the caller beside is served");
        assert!(!peers.is_empty());
    }
}
