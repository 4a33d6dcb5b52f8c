use procall::{Client, Error, Service};
use procall_engine::{Engine, EngineBuilder, PeerRow};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) use crate::common::SAFETY;
use crate::common::{served, until_peers};

/// An engine at a free port of the loopback, with what hangs on it.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) address: String,
}

/// A worker that ends with the test.
pub(crate) struct Worker {
    task: JoinHandle<Result<(), Error>>,
    leave: Option<oneshot::Sender<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Worker {
    pub(crate) fn start(service: Service, engine: &str) -> Self {
        let (leave, left) = oneshot::channel();
        let done = async {
            // A dropped sender is the end of the test.
            let _ = left.await;
        };
        let task = tokio::spawn(service.engine(engine).run_until(done));
        Self { task, leave: Some(leave) }
    }

    /// Takes no new calls, finishes those it has, and goes.
    pub(crate) async fn leave(mut self) {
        drop(self.leave.take());
        (&mut self.task).await.unwrap().unwrap();
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(shape: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Self {
        let builder = Engine::builder()
            .listen("tcp:127.0.0.1:0".parse().unwrap())
            .guests(procall_engine::Rights::user().administer());
        let engine = shape(builder).start().unwrap();
        let address = engine.addresses()[0].to_string();
        Self { engine, address }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.address).await.unwrap()
    }

    /// Runs a service that registers with the engine, and waits until it has.
    pub(crate) async fn serve(&self, service: Service) -> Worker {
        served(&self.engine, || Worker::start(service, &self.address)).await
    }

    pub(crate) async fn peers(&self) -> Vec<PeerRow> {
        self.until(|_| true).await
    }

    /// Waits until the list of peers is so.
    pub(crate) async fn until(&self, so: impl Fn(&[PeerRow]) -> bool) -> Vec<PeerRow> {
        until_peers(&self.engine, so).await
    }
}

pub(crate) fn math() -> Service {
    Service::new("math").method("add", |a: f64, b: f64| a + b).params("add", &["a", "b"])
}
