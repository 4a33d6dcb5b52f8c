//! The workers of a pool as they are seen from outside: what `procall run`, and an engine that starts services itself, tell of them.

mod lines;
mod rows;

pub use lines::{Lines, LogLine};
pub use rows::{WorkerRow, restart};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procall_pool::{Event, Happening, OutputLine, Pool};

/// What is known of one service's workers, over the ends of its pools: clones share it.
///
/// It hears of lines and events from the callbacks of a [`PoolBuilder`](procall_pool::PoolBuilder), and is shown the pool once it runs.
///
/// ```no_run
/// use procall_engine::workers::Seen;
/// use procall_pool::Pool;
///
/// # async fn f() -> Result<(), procall::Error> {
/// let seen = Seen::new("calc");
/// let (lines, events) = (seen.clone(), seen.clone());
/// let pool = Pool::spawn("calc.py")
///     .on_output(move |line| lines.hear_line(line))
///     .on_event(move |event| events.hear(event))
///     .start()
///     .await?;
/// seen.show(Some(pool));
/// for row in seen.rows() {
///     println!("{} {} {} calls", row.name, row.state, row.calls);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Seen {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    service: Mutex<String>,
    lines: Lines,
    /// Why each worker stays down, by its place.
    failed: Mutex<Vec<Option<String>>>,
    pool: Mutex<Option<Pool>>,
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks panics half-way.
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    /// Of the service of this name.
    pub fn new(service: impl Into<String>) -> Self {
        let seen = Self::default();
        seen.call_it(service);
        seen
    }

    /// The service's name, where it is known only after the workers have registered.
    pub fn call_it(&self, service: impl Into<String>) {
        *lock(&self.inner.service) = service.into();
    }

    /// A worker printed a line.
    pub fn hear_line(&self, line: &OutputLine) {
        self.inner.lines.hear(line);
    }

    /// Something happened to a worker.
    pub fn hear(&self, event: &Event) {
        let mut failed = lock(&self.inner.failed);
        if failed.len() <= event.index {
            failed.resize(event.index + 1, None);
        }
        match &event.happening {
            Happening::Started => failed[event.index] = None,
            Happening::Failed { reason } => failed[event.index] = Some(reason.clone()),
            _ => {}
        }
    }

    /// The pool that runs from now on; `None` when it has ended. Whoever shows one takes it away again: it is held meanwhile.
    pub fn show(&self, pool: Option<Pool>) {
        let before = std::mem::replace(&mut *lock(&self.inner.pool), pool);
        // Not under the lock: the end of a pool waits for its workers.
        drop(before);
    }

    /// The pool that runs now.
    pub fn pool(&self) -> Option<Pool> {
        lock(&self.inner.pool).clone()
    }

    /// What the workers printed.
    pub fn lines(&self) -> &Lines {
        &self.inner.lines
    }

    /// Its workers; none while it does not run.
    pub fn rows(&self) -> Vec<WorkerRow> {
        let Some(pool) = self.pool() else { return Vec::new() };
        let service = lock(&self.inner.service).clone();
        let failed = lock(&self.inner.failed).clone();
        rows::of(&service, &pool, &failed)
    }
}
