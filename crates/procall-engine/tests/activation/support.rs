use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use procall::{Client, Error};
use procall_engine::{
    Engine, EngineBuilder, Program, ServiceRow, ServiceSpec, ServiceState, StartWhen,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;
use tokio::sync::Notify;

/// Longer than anything here takes.
pub(crate) const SAFETY: Duration = Duration::from_secs(60);

/// The program of `examples/engine_worker.rs`, which `cargo test` builds along.
fn worker() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join("engine_worker");
    assert!(
        program.is_file(),
        "{} is missing: `cargo build --examples` makes it",
        program.display()
    );
    program
}

/// A folder for a test's workers, and what they and the engine said.
pub(crate) struct Place {
    folder: TempDir,
    told: Arc<Mutex<Vec<String>>>,
    calls: Arc<Mutex<Vec<u64>>>,
    news: Arc<Notify>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, told: Arc::default(), calls: Arc::default(), news: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// While this file is there, workers do not come up.
    pub(crate) fn broken(&self) -> PathBuf {
        self.path().join("broken")
    }

    pub(crate) fn fifo(&self) -> String {
        let path = self.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        path.display().to_string()
    }

    /// How often a worker was started.
    pub(crate) fn starts(&self) -> usize {
        let text = std::fs::read_to_string(self.path().join("starts")).unwrap_or_default();
        text.lines().count()
    }

    /// A service that starts when it is called.
    pub(crate) fn calc(&self) -> ServiceSpec {
        let path = |name: &str| self.path().join(name).display().to_string();
        ServiceSpec {
            workers: Some(1),
            env: vec![("STARTS".to_owned(), path("starts")), ("BROKEN".to_owned(), path("broken"))],
            start: StartWhen::Call,
            ..ServiceSpec::new("calc", Program::File(worker()))
        }
    }

    pub(crate) fn engine(&self, service: ServiceSpec) -> Engine {
        self.with(|engine| engine.service(service))
    }

    pub(crate) fn with(&self, shape: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Engine {
        let (told, news) = (self.told.clone(), self.news.clone());
        let (lines, line) = (self.told.clone(), self.news.clone());
        let builder = Engine::builder()
            .listen("tcp:127.0.0.1:0".parse().unwrap())
            .on_output(move |index, printed| {
                lines.lock().unwrap().push(format!("{index} {printed}"));
                line.notify_one();
            })
            .on_service(move |service| {
                let state = match service.state {
                    ServiceState::Starting => "starting".to_owned(),
                    ServiceState::Running { methods, workers } => {
                        format!("running, {workers} workers, {} methods", methods.len())
                    }
                    ServiceState::Failed { why, .. } => format!("failed: {}", why.message()),
                    ServiceState::Stopping { why } => format!("stopping: {why}"),
                    ServiceState::Asleep => "asleep".to_owned(),
                    other => format!("{other:?}"),
                };
                told.lock().unwrap().push(format!("{} {state}", service.service));
                news.notify_one();
            });
        shape(builder).start().unwrap()
    }

    /// Waits until a line with this in it was said so often.
    pub(crate) async fn said(&self, part: &str, times: usize) {
        let look = async {
            while self.told().iter().filter(|line| line.contains(part)).count() < times {
                self.news.notified().await;
            }
        };
        let waited = tokio::time::timeout(SAFETY, look).await;
        assert!(waited.is_ok(), "no \"{part}\" {times} times, only {:?}", self.told());
    }

    /// The numbers of calls that are over, for tests that note them.
    pub(crate) fn told_calls(&self) -> Arc<Mutex<Vec<u64>>> {
        self.calls.clone()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

pub(crate) async fn state(engine: &Engine) -> (String, String) {
    let client = engine.client().await.unwrap();
    let rows: Vec<ServiceRow> = client.call("procall.engine.services", ()).await.unwrap();
    (rows[0].state.clone(), rows[0].reason.clone())
}

pub(crate) async fn add(client: &Client) -> Result<i64, Error> {
    client.call("calc.add", (2, 3)).deadline(SAFETY).await
}

/// A process as a descriptor, which never means another one.
pub(crate) fn hold(pid: u32) -> OwnedFd {
    pidfd_open(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), PidfdFlags::empty()).unwrap()
}

pub(crate) fn is_gone(process: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)).unwrap() > 0
}
