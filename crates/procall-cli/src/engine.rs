//! The engine: found, and asked what it knows.

use std::future::poll_fn;
use std::time::Duration;

use procall::{Client, ConnectOptions, Error, ErrorCode, Finder, Registration, surroundings};
use procall_engine::{MethodRow, PeerName, PeerRow, ServiceRow};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::directory::{Service, Through};
use crate::exit;
use crate::failure::Failure;
use crate::workers::WorkerRow;

/// How long an engine may take to answer what it has at hand.
const PATIENCE: Duration = Duration::from_secs(5);

/// An engine that answered.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The name or address it was asked by.
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) pid: Option<u32>,
    /// Everybody who is connected, but for this command.
    pub(crate) peers: Vec<PeerRow>,
    pub(crate) methods: Vec<MethodRow>,
    /// Services that it starts itself.
    pub(crate) started: Vec<ServiceRow>,
}

/// The address or name that was given, or what `PROCALL_ENGINE` says.
pub(crate) fn named(at: Option<&str>) -> Option<String> {
    let variable = || std::env::var(surroundings::ENGINE).ok().filter(|target| !target.is_empty());
    at.map(str::to_owned).or_else(variable)
}

/// Connects to whoever listens there now. An engine that `PROCALL_ENGINE` names is shown the token of `PROCALL_ENGINE_TOKEN_FILE`.
pub(crate) async fn reach(target: &str) -> Result<Client, Error> {
    let mut finder = Finder::new(target, Duration::ZERO);
    let link = finder.wait(&mut || false)?;
    let options = ConnectOptions { token: finder.token()?, ..ConnectOptions::default() };
    Client::over_with(link, options).await
}

/// The process at the other side, as the kernel knows it, or as it says itself.
pub(crate) fn process(client: &Client) -> Option<u32> {
    let connection = client.connection();
    let known = connection.link_info().peer.as_ref().map(|peer| peer.pid).filter(|&pid| pid != 0);
    known.or_else(|| connection.peer().map(|peer| peer.pid).filter(|&pid| pid != 0))
}

impl Engine {
    /// Asks an engine what it knows.
    pub(crate) async fn ask(name: &str, client: Client) -> Result<Self, Error> {
        let this: Option<PeerName> = client.call("procall.engine.self", ()).await?;
        let mut peers: Vec<PeerRow> = client.call("procall.engine.peers", ()).await?;
        peers.retain(|peer| this.as_ref().is_none_or(|this| this.id != peer.id));
        let methods: Vec<MethodRow> = client.call("procall.engine.list", ()).await?;
        let started = match client.call("procall.engine.services", ()).await {
            // An older engine starts nothing, and one may be allowed to see peers only.
            Err(error)
                if matches!(error.code(), ErrorCode::NotFound | ErrorCode::PermissionDenied) =>
            {
                Vec::new()
            }
            told => told?,
        };
        let pid = process(&client);
        Ok(Self { name: name.to_owned(), client, pid, peers, methods, started })
    }

    /// The workers of the services that it starts; one that has none now has a row of its own.
    pub(crate) fn workers(&self) -> Vec<WorkerRow> {
        let rows = |service: &ServiceRow| {
            if !service.workers.is_empty() {
                return service.workers.clone();
            }
            let reason = Some(service.reason.clone()).filter(|reason| !reason.is_empty());
            vec![WorkerRow {
                name: service.name.clone(),
                service: service.name.clone(),
                state: service.state.clone(),
                reason,
                ..WorkerRow::default()
            }]
        };
        self.started.iter().flat_map(rows).collect()
    }

    /// Whether a name is that of a service that it starts, or of a worker of one.
    pub(crate) fn starts(&self, target: &str) -> bool {
        let named = |service: &ServiceRow| {
            service.name == target || service.workers.iter().any(|worker| worker.name == target)
        };
        self.started.iter().any(named)
    }

    /// The services it knows, those included that are away.
    pub(crate) fn services(&self) -> Vec<Service> {
        let mut services: Vec<Service> = Vec::new();
        for method in self.methods.iter().filter(|method| !method.name.starts_with("procall.")) {
            // What registered without a name goes by that of the engine.
            let name = if method.service.is_empty() { &self.name } else { &method.service };
            let at = services.iter().position(|service| service.name == *name);
            let at = at.unwrap_or_else(|| {
                services.push(self.service(name, method));
                services.len() - 1
            });
            let service = &mut services[at];
            service.registration.methods.push(method.info.clone());
            if let Some(through) = &mut service.through {
                through.workers.push(method.workers.clone());
            }
        }
        services
    }

    fn service(&self, name: &str, method: &MethodRow) -> Service {
        let serves = |peer: &&PeerRow| peer.methods > 0 && peer.service == method.service;
        let peers: Vec<PeerRow> = self.peers.iter().filter(serves).cloned().collect();
        Service {
            name: name.to_owned(),
            client: self.client.clone(),
            registration: Registration {
                name: name.to_owned(),
                version: method.version.clone(),
                ..Registration::default()
            },
            workers: None,
            pid: if let [only] = &peers[..] { only.pid } else { None },
            through: Some(Through { peers, workers: Vec::new() }),
            covered: false,
        }
    }
}

/// The engine at an address, or that of `PROCALL_ENGINE`, or that of the runtime directory.
pub(crate) async fn connect(at: Option<&str>) -> Result<Client, Failure> {
    let target = named(at).unwrap_or_else(|| surroundings::ENGINE_NAME.to_owned());
    let address = address(&target)?;
    let client =
        match tokio::time::timeout(PATIENCE, reach(&address)).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) if error.code() == ErrorCode::NoWorker => return Err(absent(&target)),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                return Err(Failure::new(
                ErrorCode::DeadlineExceeded,
                format!("{target} accepts connections but does not answer within {PATIENCE:?}"),
            )
            .fix("procall doctor   looks at what runs; an engine that hangs is ended by a signal"));
            }
        };
    match client.connection().leads_to_router() {
        true => Ok(client),
        false => Err(Failure::usage(format!("{target} is a service, not an engine")).fix(
            "give the address of a procall serve, or leave it out for the one that runs here",
        )),
    }
}

/// Where a target is, in the very words in which it was given if that is an address.
pub(crate) fn address(target: &str) -> Result<String, Error> {
    let address = surroundings::resolve(target)?;
    Ok(if target.contains(':') { target.to_owned() } else { address.to_string() })
}

fn absent(target: &str) -> Failure {
    let message = match target == surroundings::ENGINE_NAME {
        true => "no engine runs here".to_owned(),
        false => format!("no engine runs at {target}"),
    };
    Failure::new(ErrorCode::NoWorker, message)
        .exit(exit::NO_ENGINE)
        .fix("start one: procall serve   or name another: --at ADDRESS, PROCALL_ENGINE")
}

/// Asks the engine something, within a time.
pub(crate) async fn ask<R: DeserializeOwned>(
    client: &Client,
    method: &str,
    params: impl Serialize,
    within: Duration,
) -> Result<R, Failure> {
    Ok(client.call::<R>(&format!("procall.engine.{method}"), params).deadline(within).await?)
}

/// Asks for what is at hand.
pub(crate) async fn look<R: DeserializeOwned>(
    client: &Client,
    method: &str,
    params: impl Serialize,
) -> Result<R, Failure> {
    ask(client, method, params, PATIENCE).await
}

/// Waits until the other side has hung up.
pub(crate) async fn gone(client: &Client) {
    let connection = client.connection();
    poll_fn(|cx| connection.poll_closed(cx.waker())).await;
}
