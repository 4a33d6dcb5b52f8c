//! R37: between a client and the engine lies a bad network.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use procall::{Client, ConnectOptions, TlsFiles, TlsServing};
use procall_engine::Engine;
use tempfile::TempDir;
use tokio::time::Instant;

use super::Setting;
use crate::Failure;
use crate::ledger::{Ledger, Verdict};
use crate::load::{Work, mixed, open_loop};
use crate::processes::{PATIENCE, until_served, worker};
use crate::proxy::{Fault, Proxy};
use crate::report::Found;

const RATE: u32 = 200;
pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let mut found = Found::default();
    let second = Duration::from_secs(1);
    let faults = [
        ("split into bytes", Fault::Split),
        ("50 ms late", Fault::Delay(Duration::from_millis(50))),
        ("200 kB a second", Fault::Throttle(200_000)),
        ("stalled for a second", Fault::Stall(100, second)),
    ];
    for (what, fault) in faults {
        let (verdict, _) = through(setting, fault).await?;
        found.promise(&format!("{what}: calls that failed"), verdict.failed, "0");
        defects(&mut found, what, &verdict);
    }
    let broken = [
        ("broken", Fault::Break(100)),
        ("reset", Fault::Reset(100)),
        ("half open", Fault::HalfOpen(300)),
        ("with a bit turned over, under TLS", Fault::Flip(100)),
    ];
    for (what, fault) in broken {
        let (verdict, count) = through(setting, fault).await?;
        found.figure(&format!("connections {what}"), count.to_string(), "some", count > 0);
        let served = format!("{} of {}", verdict.succeeded, verdict.calls);
        found.figure(&format!("{what}: succeeded"), served, "some", verdict.succeeded > 0);
        defects(&mut found, what, &verdict);
    }
    Ok(found)
}

fn defects(found: &mut Found, what: &str, verdict: &Verdict) {
    let defects = verdict.lost + verdict.twice + verdict.crossed + verdict.lies;
    found.promise(&format!("{what}: lost, twice, crossed or untrue"), defects, "0");
}

async fn through(setting: &Setting, fault: Fault) -> Result<(Verdict, u64), Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let certificates = Certificates::new(setting)?;
    let engine = Engine::builder().listen(format!("tcp:{loopback}").parse()?);
    let engine = engine.listen(format!("tls:{loopback}").parse()?).tls(certificates.serving());
    let engine = engine.start()?;
    let address = engine.addresses()[0].to_string();
    let mut worker = worker(setting, "rust", &address, &ledger, &[])?;
    until_served(&Client::connect(&address).await?, &ledger.beside()?).await?;
    // TCP alone tells nobody of a bit that was turned over.
    let (scheme, at) = match fault {
        Fault::Flip(_) => ("tls", engine.addresses()[1].to_string()),
        _ => ("tcp", address),
    };
    let proxy = Proxy::new(at[4..].parse()?, fault).await?;
    let options = ConnectOptions { tls: certificates.trusting(), ..ConnectOptions::default() };
    let client = connect(&format!("{scheme}:{}", proxy.address()), &options).await?;
    // Of who waits behind a connection that carries nothing, nobody is told before.
    let half_open = matches!(fault, Fault::HalfOpen(_));
    let deadline = Duration::from_secs(if half_open { 1 } else { 30 });
    let work = |number| Work { millis: mixed(number) % 4, len: 200, deadline, ..Work::default() };
    open_loop(&client, "chaos.work", &ledger, (RATE, setting.seconds(1)), work).await;
    let broken = proxy.faults();
    client.close();
    worker.kill().await?;
    engine.stop().await;
    Ok((ledger.verdict()?, broken))
}

/// Its handshake may be what breaks.
async fn connect(address: &str, options: &ConnectOptions) -> Result<Client, Failure> {
    let begun = Instant::now();
    loop {
        match Client::connect_with(address, options.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => {}
        }
    }
}

/// The certificates of the tests, with keys that nobody else can read, as Procall wants them.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new(setting: &Setting) -> Result<Self, Failure> {
        let (from, folder) = (setting.home.join("../certificates"), tempfile::tempdir()?);
        for name in ["ca.pem", "server.pem", "server.key"] {
            let to = folder.path().join(name);
            fs::copy(from.join(name), &to)?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600))?;
        }
        Ok(Self { folder })
    }

    fn serving(&self) -> TlsServing {
        let file = |name| self.folder.path().join(name);
        TlsServing { cert: file("server.pem"), key: file("server.key"), client_ca: None }
    }

    fn trusting(&self) -> TlsFiles {
        TlsFiles { ca: Some(self.folder.path().join("ca.pem")), ..TlsFiles::default() }
    }
}
