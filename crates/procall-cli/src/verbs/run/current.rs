//! The pool that serves now: another one can take its place without a call noticing.

use std::sync::{Arc, PoisonError, RwLock};

use procall::{
    Arena, Channel, Error, ErrorCode, Executed, Metrics, Registration, Request, Started,
};
use procall_pool::Pool;

/// A channel to whichever pool serves now. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pool: Arc<RwLock<Pool>>,
}

impl Current {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool: Arc::new(RwLock::new(pool)) }
    }

    pub(crate) fn pool(&self) -> Pool {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has this pool serve from now on; the one that did so before, which still has the calls that it was given.
    pub(crate) fn set(&self, pool: Pool) -> Pool {
        std::mem::replace(&mut *self.pool.write().unwrap_or_else(PoisonError::into_inner), pool)
    }
}

impl Channel for Current {
    fn start(&self, request: Request<'_>) -> Result<Started, Error> {
        let pool = self.pool();
        match pool.start_call(request.clone()) {
            // It has been replaced since it was looked up, and has not even seen the call.
            Err(error) if is_closed(&error) && !pool.is_open() => self.pool().start_call(request),
            outcome => outcome,
        }
    }

    fn notify(&self, request: Request<'_>) -> Result<(), Error> {
        Channel::notify(&self.pool(), request)
    }

    fn registration(&self) -> Option<Arc<Registration>> {
        Channel::registration(&self.pool())
    }

    fn metrics(&self) -> Metrics {
        self.pool().metrics()
    }

    fn arena(&self) -> Option<Arena> {
        self.pool().arena()
    }

    fn is_lost(&self) -> bool {
        !self.pool().is_open()
    }

    fn close(&self) {
        self.pool().close();
    }
}

fn is_closed(error: &Error) -> bool {
    error.executed() == Executed::No
        && matches!(error.code(), ErrorCode::Unavailable | ErrorCode::Closed)
}
