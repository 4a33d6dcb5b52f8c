//! R19: the engine is started anew under many light clients, who come back without a rush.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use procall::{AsChannel as _, Client};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Setting;
use crate::Failure;
use crate::ledger::Ledger;
use crate::load::{Work, call, mixed};
use crate::processes::{self, PATIENCE, until_served, worker};
use crate::proxy::{Fault, Proxy};
use crate::report::{Found, percentile};

/// Clients of the short form; there are 500 at most.
const CLIENTS: u64 = 60;
const MOST: u64 = 500;
/// How often each of them calls.
const LIGHTLY: Duration = Duration::from_millis(400);
/// How long there is no engine.
const AWAY: Duration = Duration::from_millis(1_500);
const SLOT: Duration = Duration::from_millis(100);

pub(super) async fn run(setting: &Setting) -> Result<Found, Failure> {
    let ledger = Arc::new(Ledger::new()?);
    let server = free_address().await?;
    let engine_at = format!("tcp:{server}");
    let mut engine = processes::engine(setting, &engine_at)?;
    let mut worker = worker(setting, "rust", &engine_at, &ledger, &[])?;
    until_served(&Client::connect(&engine_at).await?, &ledger.beside()?).await?;
    // It is there all the while, so it sees who tries to come back, and when.
    let proxy = Proxy::new(server, Fault::None).await?;
    let at = format!("tcp:{}", proxy.address());
    let crowd = (CLIENTS * u64::from(setting.scale)).min(MOST);
    let mut clients = Vec::new();
    for _ in 0..crowd {
        clients.push(Client::connect(&at).await?);
    }
    let light = |client: Client, number: u64, ledger: Arc<Ledger>| async move {
        let (channel, mut took) = (client.as_channel(), Vec::new());
        sleep(LIGHTLY.mul_f64(mixed(number) as f64 / u64::MAX as f64)).await;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            let one = Instant::now();
            let work = Work { deadline: Duration::from_secs(10), ..Work::default() };
            if call(&channel, "chaos.work", &ledger, work).await.is_ok() {
                took.push(one.elapsed());
            }
            sleep(LIGHTLY).await;
        }
        took
    };
    let load = |ledger: &Arc<Ledger>| {
        let mut all = JoinSet::new();
        for (number, client) in (0..).zip(&clients) {
            all.spawn(light(client.clone(), number, ledger.clone()));
        }
        all
    };
    let before: Vec<Duration> = load(&ledger).join_all().await.into_iter().flatten().collect();

    let under_way = load(&ledger);
    sleep(LIGHTLY).await;
    engine.kill().await?;
    let killed = Instant::now();
    sleep(AWAY).await;
    engine = processes::engine(setting, &engine_at)?;
    let started = Instant::now();
    let mut coming = JoinSet::new();
    for client in clients.clone() {
        let probes = ledger.beside()?;
        coming.spawn(async move {
            let come = until_served(&client, &probes).await;
            (come.is_ok(), started.elapsed())
        });
    }
    let (mut away, mut back) = (0, Duration::ZERO);
    while let Some(come) = coming.join_next().await {
        let (come, after) = come?;
        away += u64::from(!come);
        back = back.max(after);
    }
    tokio::time::timeout(PATIENCE, under_way.join_all()).await.map_err(|_| "clients that hang")?;
    let after: Vec<Duration> = load(&ledger).join_all().await.into_iter().flatten().collect();
    let rush = rush(&proxy.accepted(), killed + Duration::from_secs(1));
    clients.iter().for_each(Client::close);
    worker.kill().await?;
    engine.kill().await?;

    let mut found = Found::default();
    found.ledger(&ledger.verdict()?);
    found.figure("clients", crowd.to_string(), "some", crowd > 0);
    found.promise("clients that did not come back", away, "0");
    found.time("all back within", back, Duration::from_secs(10));
    let share = 100.0 * rush as f64 / crowd as f64;
    let shown = format!("{rush} of {crowd} clients");
    found.figure("attempts within 100 ms, at most", shown, "at most 25 %", share <= 25.0);
    let (before, after) = (percentile(before, 0.99), percentile(after, 0.99));
    let times = after.as_secs_f64() / before.as_secs_f64().max(1e-9);
    let shown = format!("{after:.1?}, before {before:.1?}");
    found.figure("p99 of their calls", shown, "at most 3 times", times <= 3.0);
    Ok(found)
}

/// The most connections within one slot of time, from then on.
fn rush(accepted: &[Instant], from: Instant) -> usize {
    let late: Vec<Instant> = accepted.iter().copied().filter(|&when| when >= from).collect();
    let within = |&first: &Instant| {
        late.iter().filter(|&&when| when >= first && when < first + SLOT).count()
    };
    late.iter().map(within).max().unwrap_or(0)
}

/// Where an engine can listen again after it was killed: a port that was free a moment ago.
async fn free_address() -> Result<SocketAddr, Failure> {
    Ok(tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?)
}
