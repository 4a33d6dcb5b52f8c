//! A pool behind a service that is a native peer of the engine in the engine's own process.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use procall::transport::{LinkOptions, mem};
use procall::{Channel, Connection, Error, ErrorCode, Service, Side};
use procall_pool::Pool;

use super::{EXIT, ServiceSpec};
use crate::core::{Core, Joined, Number};
use crate::facts::{Facts, Speaks};

/// A relay that is registered.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) number: Number,
    /// The engine's end.
    connection: Connection,
    /// The service's end.
    service: Connection,
    /// Full names.
    pub(super) methods: Vec<String>,
}

impl Attached {
    /// Registers what the pool serves.
    pub(super) async fn new(
        core: &Arc<Core>,
        spec: &ServiceSpec,
        pool: &Pool,
    ) -> Result<Self, Error> {
        let each = Channel::registration(pool).map_or(1, |known| known.concurrency);
        let mut relay =
            Service::relay(&*spec.name, Arc::new(pool.clone()))?.concurrency(spec.slots(each));
        if !spec.description.is_empty() {
            relay = relay.description(&*spec.description);
        }
        let methods = relay.registration().methods.iter().map(|known| known.name.clone()).collect();
        let (near, far) = mem::pair(&LinkOptions::default()).map_err(|error| {
            Error::new(ErrorCode::Internal, "no descriptor is left for another service")
                .with_source(error)
        })?;
        let facts = Facts::inside(Speaks::Native);
        let Joined { number, connection } = core.join(Box::new(far), Side::Initiator, facts)?;
        let service = relay.serve_link(Box::new(near))?;
        let attached = Self { number, connection, service, methods };
        let registered = poll_fn(|cx| attached.service.poll_registered(cx.waker())).await;
        if let Err(error) = registered {
            attached.leave(core);
            return Err(error);
        }
        // Its workers are called `calc/1` and so on, so it is not.
        core.call_it(number, &spec.name);
        Ok(attached)
    }

    /// Lets the calls in hand finish, then ends the pool. Calls that come meanwhile wait in the engine.
    pub(super) async fn end(self, core: &Arc<Core>, pool: &Pool) {
        core.let_go(self.number);
        let finish = core.settings.drain;
        let finished = async {
            while core.work_of(self.number).0 > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // Past the time the remaining calls end with their workers.
        let _ = tokio::time::timeout(finish, finished).await;
        // A stop fails only when the pool was stopped before; then nothing is left of it either.
        let _ = pool.stop_within(Duration::ZERO, EXIT).await;
        self.leave(core);
    }

    fn leave(&self, core: &Arc<Core>) {
        self.service.close();
        self.connection.close();
        // Now, and not when somebody looks: what waits for the service is sorted right after this.
        core.leave(self.number, &self.connection);
    }
}
