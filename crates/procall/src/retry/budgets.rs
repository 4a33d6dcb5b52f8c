//! What one handle may spend on retries, target by target.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use procall_proto::RetryBudget;

/// Targets with a budget of their own; those beyond share one.
const TARGETS: usize = 64;

/// What the callers on one channel may spend on retries: a [`RetryBudget`] for each service they call. Clones of a client share it.
///
/// ```
/// use procall::RetryBudgets;
///
/// assert_eq!(RetryBudgets::default().retries(), 0);
/// ```
#[derive(Debug, Default)]
pub struct RetryBudgets {
    /// Those of which something is spent, by the service's name.
    targets: Mutex<HashMap<Box<str>, RetryBudget>>,
    /// How many there are, so that a success costs one look as long as nothing fails.
    spent: AtomicUsize,
    retries: AtomicU64,
}

impl RetryBudgets {
    /// How many attempts were made after a first one.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A call of this method ended well.
    pub(super) fn succeeded(&self, method: &str) {
        if self.spent.load(Ordering::Relaxed) > 0 {
            self.with(method, RetryBudget::succeeded);
        }
    }

    /// Does something with the budget of a method's service.
    pub(super) fn with<R>(&self, method: &str, f: impl FnOnce(&mut RetryBudget) -> R) -> R {
        let service = method.rsplit_once('.').map_or("", |(service, _)| service);
        let mut targets = self.lock();
        let known = targets.contains_key(service) || targets.len() < TARGETS;
        let target = if known { service } else { "" };
        let mut budget = targets.get(target).cloned().unwrap_or_default();
        let result = f(&mut budget);
        if budget.is_full() {
            targets.remove(target);
        } else {
            targets.insert(target.into(), budget);
        }
        self.spent.store(targets.len(), Ordering::Relaxed);
        result
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, RetryBudget>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_own() {
        let budgets = RetryBudgets::default();
        for _ in 0..5 {
            budgets.with("calc.add", RetryBudget::failed);
        }
        assert!(!budgets.with("calc.mul", |budget| budget.allows()));
        assert!(budgets.with("maps.find", |budget| budget.allows()));
        budgets.succeeded("calc.add");
        assert!(budgets.with("calc.add", |budget| budget.allows()));
    }

    #[test]
    fn what_is_full_again_is_forgotten_and_the_table_is_bounded() {
        let budgets = RetryBudgets::default();
        budgets.with("calc.add", RetryBudget::failed);
        for _ in 0..10 {
            budgets.succeeded("calc.add");
        }
        assert_eq!(budgets.spent.load(Ordering::Relaxed), 0);
        for at in 0..1000 {
            budgets.with(&format!("s{at}.m"), RetryBudget::failed);
        }
        assert!(budgets.spent.load(Ordering::Relaxed) <= TARGETS + 1);
    }
}
