//! Which services run, and which of them has a method.

use std::time::{Duration, Instant};

use procall::{Client, Error, ErrorCode, MethodInfo, Registration, similar, surroundings};
use procall_engine::PeerRow;
use tokio::task::JoinSet;

use crate::engine::{self, Engine};
use crate::failure::Failure;
use crate::workers::{self, WorkerRow};

/// How long one service may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often `--wait` looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Methods that every service has; they are listed nowhere.
const RESERVED: &str = "procall.";

/// A service that answered.
#[derive(Debug)]
pub(crate) struct Service {
    /// The name it is found by.
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) registration: Registration,
    /// The workers behind it; `None` for a service without a pool.
    pub(crate) workers: Option<Vec<WorkerRow>>,
    /// Its own process.
    pub(crate) pid: Option<u32>,
    /// How it is known to an engine, when that was asked for it and not the service itself.
    pub(crate) through: Option<Through>,
    /// An engine lists it too, with other workers besides: there it is called.
    pub(crate) covered: bool,
}

/// What an engine knows of a service.
#[derive(Debug)]
pub(crate) struct Through {
    /// The peers that serve it now.
    pub(crate) peers: Vec<PeerRow>,
    /// Of each method of the registration, the names of the peers that serve it now.
    pub(crate) workers: Vec<Vec<String>>,
}

impl Service {
    /// Its methods but those that every service has.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &MethodInfo> {
        self.registration.methods.iter().filter(|method| !method.name.starts_with(RESERVED))
    }

    /// The name it is found by, and the one it gives itself: they differ where it was asked at its address.
    fn names(&self) -> [&str; 2] {
        [&self.name, &self.registration.name]
    }

    /// How many workers have a method now; `None` for a service without a pool or an engine.
    pub(crate) fn workers_of(&self, method: &str) -> Option<usize> {
        let Some(through) = &self.through else { return self.workers.as_ref().map(Vec::len) };
        let at = self.registration.methods.iter().position(|known| known.name == method)?;
        through.workers.get(at).map(Vec::len)
    }

    /// Whether somebody serves the method now.
    fn serves(&self, method: &str) -> bool {
        self.through.is_none() || self.workers_of(method) != Some(0)
    }

    /// `calc, 2 workers`
    fn shown(&self) -> String {
        let workers = match (&self.through, &self.workers) {
            (Some(through), _) => Some(through.peers.len()),
            (None, workers) => workers.as_ref().map(Vec::len),
        };
        match workers {
            Some(0) if self.through.is_some() => format!("{}, away", self.name),
            Some(workers) => format!("{}, {}", self.name, counted(workers, "worker")),
            None => self.name.clone(),
        }
    }
}

/// `1 worker`, `2 workers`
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// What is there.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Those that answered, by name.
    pub(crate) services: Vec<Service>,
    /// The engines among them; what they know is among the services.
    pub(crate) engines: Vec<Engine>,
    /// Those that did not, and why.
    pub(crate) silent: Vec<(String, Error)>,
}

/// A method and who serves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) service: &'a Service,
    pub(crate) method: &'a MethodInfo,
}

/// Who is asked: the name it is shown by, and the address.
type Asked = (String, String);

/// Who answered.
enum Answer {
    Service(Box<Service>),
    Engine(Engine),
}

/// The services that run and are found by name. A socket that was left behind is no service.
fn found() -> Result<Vec<Asked>, Error> {
    let found = surroundings::services()?.into_iter().filter(|found| found.answers);
    Ok(found.map(|found| (found.name, found.address.to_string())).collect())
}

impl Directory {
    /// Asks every service that runs, or the one at an address, or the engine that `PROCALL_ENGINE` names.
    pub(crate) async fn survey(at: Option<&str>) -> Result<Self, Error> {
        match engine::named(at) {
            Some(target) => {
                let address = engine::address(&target)?;
                Ok(Self::ask_all(vec![(target, address)], true).await)
            }
            None => Ok(Self::ask_all(found()?, false).await),
        }
    }

    /// Asks some services at once. One that nobody listens at is left out, unless it is `wanted`.
    async fn ask_all(those: Vec<Asked>, wanted: bool) -> Self {
        let mut asked = JoinSet::new();
        for (name, address) in those {
            asked.spawn(async move {
                let answer = tokio::time::timeout(PATIENCE, ask(&name, &address)).await;
                let silent = || {
                    let message = format!("it does not answer within {PATIENCE:?}");
                    Err(Error::new(ErrorCode::DeadlineExceeded, message))
                };
                (name, answer.unwrap_or_else(|_| silent()))
            });
        }
        let mut directory = Self::default();
        while let Some(joined) = asked.join_next().await {
            match joined {
                Ok((_, Ok(Answer::Service(service)))) => directory.services.push(*service),
                Ok((_, Ok(Answer::Engine(engine)))) => directory.engines.push(engine),
                // A socket that was left behind is no service.
                Ok((_, Err(error))) if !wanted && error.code() == ErrorCode::NoWorker => {}
                Ok((name, Err(error))) => directory.silent.push((name, error)),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        directory.merge();
        directory.services.sort_by(|one, other| one.name.cmp(&other.name));
        directory.silent.sort_by(|one, other| one.0.cmp(&other.0));
        directory
    }

    /// Adds what the engines know, each service once: one that was asked itself counts, unless the engine has more workers of it.
    fn merge(&mut self) {
        let mut added = Vec::new();
        for known in self.engines.iter().flat_map(Engine::services) {
            let peers = known.through.as_ref().map_or(&[][..], |through| &through.peers);
            let same = |own: &&mut Service| {
                own.pid.is_some() && peers.iter().any(|peer| peer.pid == own.pid)
            };
            let own = self.services.iter_mut().filter(|own| own.names().contains(&&*known.name));
            match own.into_iter().find(same) {
                Some(_) if peers.len() == 1 => {}
                Some(own) => {
                    own.covered = true;
                    added.push(known);
                }
                None => added.push(known),
            }
        }
        self.services.append(&mut added);
    }

    /// Those that are called where they were found.
    pub(crate) fn called(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| !service.covered)
    }

    /// The directory in which a name is looked up: only the service it names, where that has the method; else everything.
    pub(crate) async fn for_method(name: &str, at: Option<&str>) -> Result<Self, Error> {
        if engine::named(at).is_none()
            && let Some((service, _)) = name.rsplit_once('.')
            && let Ok(address) = surroundings::resolve(service)
        {
            let only = vec![(service.to_owned(), address.to_string())];
            let only = Self::ask_all(only, false).await;
            if only.exact(name).is_some() {
                return Ok(only);
            }
        }
        Self::survey(at).await
    }

    /// Has an engine start the service that this method would belong to, if it knows such a one that does not run. False when nobody does.
    async fn start_service(&self, name: &str) -> Result<bool, Error> {
        for engine in &self.engines {
            let known = engine.client.call("procall.engine.services", ()).await;
            // An older engine starts nothing.
            let known: Vec<procall_engine::ServiceRow> = known.unwrap_or_default();
            let under = |service: &&procall_engine::ServiceRow| {
                let rest = name.strip_prefix(&service.name);
                service.state != "running" && rest.is_some_and(|rest| rest.starts_with('.'))
            };
            if let Some(service) = known.iter().find(under) {
                engine.client.call::<()>("procall.engine.start", (&service.name,)).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same; for a method that nobody serves it looks again until `wait` is over.
    pub(crate) async fn with_method(
        name: &str,
        at: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<Self, Failure> {
        let since = Instant::now();
        loop {
            let mut directory = Self::for_method(name, at).await?;
            if directory.method(name).is_err() && directory.start_service(name).await? {
                directory = Self::for_method(name, at).await?;
            }
            let again = wait.is_some_and(|wait| since.elapsed() + LOOK_AGAIN < wait);
            let served = |found: Found<'_>| found.service.serves(&found.method.name);
            if !again || directory.method(name).is_ok_and(served) {
                return Ok(directory);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn all(&self) -> impl Iterator<Item = Found<'_>> {
        self.called()
            .flat_map(|service| service.methods().map(move |method| Found { service, method }))
    }

    /// The only method of this full name.
    fn exact(&self, name: &str) -> Option<Found<'_>> {
        let named: Vec<Found<'_>> = self.all().filter(|found| found.method.name == name).collect();
        let own: Vec<Found<'_>> =
            named.iter().copied().filter(|found| found.service.through.is_none()).collect();
        // Who was asked itself comes before what an engine knows of others.
        match (&named[..], &own[..]) {
            (&[found], _) | (_, &[found]) => Some(found),
            _ => None,
        }
    }

    /// The method a name means: the one of that full name, else `SERVICE.method` of the service that is found as SERVICE, else the only
    /// one whose last part it is.
    pub(crate) fn method(&self, name: &str) -> Result<Found<'_>, Failure> {
        if let Some(found) = self.exact(name) {
            return Ok(found);
        }
        let under = |found: &Found<'_>| {
            found.service.names().into_iter().any(|service| {
                name.strip_prefix(service)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|rest| rest == last_part(&found.method.name))
            })
        };
        let by_service: Vec<Found<'_>> = served(self.all().filter(under).collect());
        if let [found] = by_service[..] {
            return Ok(found);
        }
        let same = |found: &Found<'_>| found.method.name == name;
        let full: Vec<Found<'_>> = self.all().filter(same).collect();
        let bare = |found: &Found<'_>| !name.contains('.') && last_part(&found.method.name) == name;
        let several =
            served(if full.is_empty() { self.all().filter(bare).collect() } else { full });
        match several[..] {
            [found] => Ok(found),
            [] => Err(self.unknown(name)),
            _ => Err(ambiguous(name, &several)),
        }
    }

    fn unknown(&self, name: &str) -> Failure {
        if let (Some((_, error)), true) = (self.silent.first(), self.services.is_empty()) {
            return Failure::from(error.clone()).fix(
                "start the service, or give its right name or address; procall ls shows what runs",
            );
        }
        let likely = similar(name, self.all().map(|found| &*found.method.name));
        let meant = likely.iter().filter_map(|likely| {
            let found = self.all().find(|found| found.method.name == *likely)?;
            Some((likely.clone(), found.service.shown()))
        });
        let meant = meant.collect();
        let message = if self.services.is_empty() {
            format!("no method \"{name}\": no service runs here")
        } else {
            format!("no method \"{name}\"")
        };
        let file = name.rsplit_once('.').map_or("FILE", |(service, _)| service);
        Failure::new(ErrorCode::NotFound, message)
            .meant(meant)
            .fix(format!("procall ls   or start a worker: procall run {file}.py"))
    }

    /// The service that is found by a name.
    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.names().contains(&name))
    }
}

/// Methods that nobody serves now count only where there are no others.
fn served(found: Vec<Found<'_>>) -> Vec<Found<'_>> {
    let (now, away): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|found| found.service.serves(&found.method.name));
    if now.is_empty() { away } else { now }
}

fn ambiguous(name: &str, several: &[Found<'_>]) -> Failure {
    let shown = |found: &Found<'_>| {
        let name = &found.method.name;
        let full = format!("{}.{}", found.service.name, last_part(name));
        match several.iter().filter(|other| other.method.name == *name).count() {
            1 => (name.clone(), found.service.shown()),
            _ => (full, found.service.shown()),
        }
    };
    Failure::new(
        ErrorCode::NotFound,
        format!("\"{name}\" could be one of {} methods", several.len()),
    )
    .meant(several.iter().map(shown).collect())
    .fix("use the full name")
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Asks one service, or an engine, what it is.
async fn ask(name: &str, address: &str) -> Result<Answer, Error> {
    // One look: who is not there now is not waited for.
    let client = engine::reach(address).await?;
    if client.connection().leads_to_router() {
        return Engine::ask(name, client).await.map(Answer::Engine);
    }
    let registration = client.methods().await?;
    let pid = engine::process(&client);
    let workers = match registration.methods.iter().any(|method| method.name == workers::METHOD) {
        true => Some(client.call(workers::METHOD, ()).await?),
        false => None,
    };
    let name = name.to_owned();
    let (through, covered) = (None, false);
    Ok(Answer::Service(Box::new(Service {
        name,
        client,
        registration,
        workers,
        pid,
        through,
        covered,
    })))
}
