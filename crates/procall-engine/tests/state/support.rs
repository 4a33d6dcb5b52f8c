use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procall::transport::Address;
use procall::{
    Batch, Client, Config, Connection, Encoded, Error, MethodInfo, RawService, Registration, Side,
};
use procall_engine::{Engine, EngineBuilder, MethodRow, PeerRow};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// Longer than anything here takes.
pub(crate) const SAFETY: Duration = Duration::from_secs(30);

/// A place for an engine that is started several times.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn address(&self) -> Address {
        format!("unix:{}", self.folder.path().join("e.sock").display()).parse().unwrap()
    }

    pub(crate) fn builder(&self) -> EngineBuilder {
        Engine::builder().listen(self.address()).state(self.state()).drain(Duration::ZERO)
    }

    pub(crate) fn start(&self) -> Engine {
        self.builder().start().unwrap()
    }

    /// Names in the state's directory that begin so.
    pub(crate) fn names(&self, beginning: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.state()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(beginning)).collect()
    }
}

/// Asks the engine's own service until the answer is so.
pub(crate) async fn until<T: DeserializeOwned>(
    engine: &Engine,
    method: &str,
    so: impl Fn(&T) -> bool,
) -> T {
    let client = engine.client().await.unwrap();
    let look = async {
        loop {
            let answer: T = client.call(method, ()).await.unwrap();
            if so(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SAFETY, look).await.expect("it never became so")
}

pub(crate) async fn method(engine: &Engine, name: &str) -> Option<MethodRow> {
    let client = engine.client().await.unwrap();
    let rows: Vec<MethodRow> = client.call("procall.engine.list", ()).await.unwrap();
    rows.into_iter().find(|row| row.name == name)
}

pub(crate) async fn until_served(engine: &Engine, name: &str) {
    until::<Vec<MethodRow>>(engine, "procall.engine.list", |rows| {
        rows.iter().any(|row| row.name == name && row.state == "served")
    })
    .await;
}

pub(crate) async fn until_peers(engine: &Engine, so: impl Fn(&[PeerRow]) -> bool) {
    until::<Vec<PeerRow>>(engine, "procall.engine.peers", |rows| so(rows)).await;
}

/// Answers each call with its own name.
pub(crate) struct Named(pub(crate) &'static str);

impl RawService for Named {
    fn calls(&self, connection: &Connection, batch: &Batch) {
        for call in batch.iter() {
            if let Some(id) = call.id {
                connection.reply(id, Encoded::of(&self.0).unwrap());
            }
        }
    }
}

/// A process that says who it is.
pub(crate) fn worker(address: &Address, id: &str, answers: &'static str) -> Connection {
    let link = procall::open(&address.to_string()).unwrap();
    let config = Config { id: id.to_owned(), ..Config::default() };
    procall::serve_raw(link, Side::Initiator, config, Arc::new(Named(answers))).unwrap()
}

/// Tells what a worker serves.
pub(crate) async fn register(worker: &Connection) -> Result<(), Error> {
    let method = MethodInfo { name: "who".to_owned(), ..MethodInfo::default() };
    let registration = Registration {
        name: "named".to_owned(),
        concurrency: 4,
        methods: vec![method],
        ..Registration::default()
    };
    worker.register(&registration).unwrap();
    let registered = std::future::poll_fn(|cx| worker.poll_registered(cx.waker()));
    tokio::time::timeout(SAFETY, registered).await.unwrap()
}

pub(crate) async fn who(engine: &Engine) -> Result<String, Error> {
    let client: Client = engine.client().await.unwrap();
    client.call("named.who", ()).await
}
