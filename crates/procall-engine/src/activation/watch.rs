//! Whoever looks on while services start and stop.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use procall::Error;
use procall_pool::{Event as WorkerEvent, OutputLine};

use crate::core::Core;
use crate::events::Event;

type OnOutput = Arc<dyn Fn(usize, &OutputLine) + Send + Sync>;
type OnEvent = Arc<dyn Fn(usize, &WorkerEvent) + Send + Sync>;
type OnNews = Arc<dyn Fn(&ServiceNews<'_>) + Send + Sync>;

/// What happens to a service that the engine starts.
#[derive(Debug)]
pub struct ServiceNews<'a> {
    /// Its place among the services of the engine, from 0.
    pub index: usize,
    /// Its name.
    pub service: &'a str,
    /// What it does from now on.
    pub state: &'a ServiceState,
}

/// What a service that the engine starts is doing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServiceState {
    /// Its workers are being started.
    Starting,
    /// It can be called.
    Running {
        /// Full names of its methods.
        methods: Vec<String>,
        /// How many workers there are.
        workers: usize,
    },
    /// It could not be started, or all of its workers have failed.
    Failed {
        /// Why, with their last words.
        why: Error,
        /// It may be tried again after this time.
        again: Duration,
    },
    /// It finishes what it has.
    Stopping {
        /// Such as `nobody called it`.
        why: &'static str,
    },
    /// A call starts it.
    Asleep,
}

impl ServiceState {
    /// For events: a word, and what there is to add.
    fn says(&self) -> (&'static str, String) {
        match self {
            Self::Starting => ("starting", String::new()),
            Self::Running { methods, workers } => {
                ("running", format!("{workers} workers, {} methods", methods.len()))
            }
            Self::Failed { why, .. } => ("failed", why.message().to_owned()),
            Self::Stopping { why } => ("stopping", (*why).to_owned()),
            Self::Asleep => ("asleep", String::new()),
        }
    }
}

/// Whoever looks on.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    pub(crate) on_output: Option<OnOutput>,
    pub(crate) on_event: Option<OnEvent>,
    pub(crate) on_news: Option<OnNews>,
}

impl Watch {
    pub(super) fn output(&self, index: usize, line: &OutputLine) {
        match &self.on_output {
            Some(call) => call(index, line),
            None => {
                use std::io::Write;
                // With nobody to read it there is nobody to tell either.
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }

    pub(super) fn event(&self, index: usize, event: &WorkerEvent) {
        if let Some(call) = &self.on_event {
            call(index, event);
        }
    }

    pub(super) fn tell(&self, core: &Core, index: usize, service: &str, state: &ServiceState) {
        if let Some(call) = &self.on_news {
            call(&ServiceNews { index, service, state });
        }
        let (word, detail) = state.says();
        core.events.tell(Event::Service {
            service: service.to_owned(),
            state: word.to_owned(),
            detail,
        });
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
