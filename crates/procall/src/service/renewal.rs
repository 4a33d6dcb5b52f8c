//! What a service offers, replaced while it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{Dispatcher, Service};

/// Has services that run offer something else from then on, without a call noticing. Clones are the same.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), procall::Error> {
/// use procall::transport::{LinkOptions, mem};
/// use procall::{Client, Renewal, Service};
///
/// let renewal = Renewal::default();
/// let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
/// let first = Service::new("calc").method("add", |a: i64, b: i64| a + b);
/// first.renewed_by(&renewal).serve_link(Box::new(theirs))?;
/// let calc = Client::over(Box::new(ours)).await?;
/// assert_eq!(calc.call::<i64>("add", (1, 2)).await?, 3);
///
/// renewal.renew(&Service::new("calc").method("add", |a: i64, b: i64| a + b + 10));
/// assert_eq!(calc.call::<i64>("add", (1, 2)).await?, 13);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Renewal {
    running: Arc<Mutex<Vec<Weak<Dispatcher>>>>,
}

impl Renewal {
    /// Calls that come from now on go to this service; those that were begun end where they are. Clients that are connected, and the engine,
    /// are told which methods there are now. Of where and how the service is served nothing changes.
    pub fn renew(&self, service: &Service) {
        let running: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        for dispatcher in running {
            dispatcher.renew(service.clone());
        }
    }

    pub(super) fn add(&self, dispatcher: &Arc<Dispatcher>) {
        let mut running = self.lock();
        running.retain(|known| known.strong_count() > 0);
        running.push(Arc::downgrade(dispatcher));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Dispatcher>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("running", &self.lock().len()).finish()
    }
}

impl Service {
    /// What this service offers can be replaced while it runs; see [`Renewal`].
    #[must_use]
    pub fn renewed_by(mut self, renewal: &Renewal) -> Self {
        self.renewal = Some(renewal.clone());
        self
    }
}
