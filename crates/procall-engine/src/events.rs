//! What happens in the engine, for those who look on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procall::Encoded;
use procall::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// Events that wait for a slow reader; the oldest are dropped and counted.
const BACKLOG: usize = 1_024;

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Somebody has connected.
    Joined {
        /// Who.
        peer: PeerName,
    },
    /// Somebody has gone.
    Left {
        /// Who.
        peer: PeerName,
        /// Why, in a few words.
        why: String,
    },
    /// Somebody serves something from now on.
    Registered {
        /// Who.
        peer: PeerName,
        /// Full names of the methods.
        methods: Vec<String>,
        /// Methods that were left out, and why.
        quarantined: Vec<String>,
    },
    /// A registration was refused.
    Refused {
        /// Who.
        peer: PeerName,
        /// Why.
        why: String,
    },
    /// Somebody has missed its heartbeats: it gets no new calls.
    Suspected {
        /// Who.
        peer: PeerName,
    },
    /// It is heard again.
    Recovered {
        /// Who.
        peer: PeerName,
    },
    /// Somebody takes no new calls.
    GoingAway {
        /// Who.
        peer: PeerName,
    },
    /// Somebody who was drained takes new calls again.
    Resumed {
        /// Who.
        peer: PeerName,
    },
    /// Whoever reads this was too slow: so many events before the next one were dropped, the oldest first.
    Missed {
        /// How many.
        count: u64,
    },
    /// A service that the engine starts does something else from now on.
    Service {
        /// Its name.
        service: String,
        /// `starting`, `running`, `failed`, `stopping` or `asleep`.
        state: String,
        /// Why, or how many workers it has; may be empty.
        detail: String,
    },
    /// A notification that was meant for everybody.
    Notified {
        /// Who sent it.
        peer: PeerName,
        /// The method it names.
        method: String,
        /// Its params.
        params: serde_json::Value,
    },
}

impl Event {
    /// Tells whoever collects the events of this program.
    fn log(&self) {
        /// At the level INFO what is as it should be, at WARN what is not.
        macro_rules! say {
            ($level:ident, $what:literal, $peer:expr) => {
                tracing::$level!(target: TARGET, peer = &*$peer.name, $what)
            };
            ($level:ident, $what:literal, $peer:expr, $why:expr) => {
                tracing::$level!(target: TARGET, peer = &*$peer.name, why = &**$why, $what)
            };
        }
        match self {
            Self::Joined { peer } => say!(info, "peer joined", peer),
            Self::Left { peer, why } => say!(info, "peer left", peer, why),
            Self::Registered { peer, methods, quarantined } if quarantined.is_empty() => {
                let methods = methods.len();
                tracing::info!(target: TARGET, peer = &*peer.name, methods, "peer registered");
            }
            Self::Registered { peer, methods, quarantined } => {
                let (methods, left_out) = (methods.len(), quarantined.join("; "));
                let left_out = &*left_out;
                tracing::warn!(target: TARGET, peer = &*peer.name, methods, left_out, "peer registered");
            }
            Self::Refused { peer, why } => say!(warn, "peer refused", peer, why),
            Self::Suspected { peer } => say!(warn, "peer does not answer", peer),
            Self::Recovered { peer } => say!(info, "peer answers again", peer),
            Self::GoingAway { peer } => say!(info, "peer takes no new calls", peer),
            Self::Resumed { peer } => say!(info, "peer takes calls again", peer),
            Self::Service { service, state, detail } => {
                let (service, state, detail) = (&**service, &**state, &**detail);
                match state {
                    "failed" => tracing::warn!(target: TARGET, service, state, detail, "service"),
                    _ => tracing::info!(target: TARGET, service, state, detail, "service"),
                }
            }
            // What others say to each other, and readers of events who are slow, are nothing of the engine's own.
            Self::Notified { .. } | Self::Missed { .. } => {}
        }
    }
}

/// The target of the events of peers and services.
const TARGET: &str = "procall.engine";

/// Who somebody is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PeerName {
    /// UUID text.
    pub id: String,
    /// For people.
    pub name: String,
}

/// Who asks, and what of its registration was left out: places and reasons.
#[derive(Debug, Serialize)]
pub(crate) struct Oneself {
    #[serde(flatten)]
    pub(crate) peer: PeerName,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) quarantined: Vec<(String, String)>,
}

/// Those who look on.
#[derive(Debug)]
pub(crate) struct Events {
    /// `None` once the engine stops: nobody looks on for ever.
    sender: Mutex<Option<broadcast::Sender<Arc<Event>>>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: Mutex::new(Some(broadcast::channel(BACKLOG).0)) }
    }
}

impl Events {
    fn sender(&self) -> MutexGuard<'_, Option<broadcast::Sender<Arc<Event>>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody looks on.
    pub(crate) fn is_watched(&self) -> bool {
        self.sender().as_ref().is_some_and(|sender| sender.receiver_count() > 0)
    }

    pub(crate) fn tell(&self, event: Event) {
        event.log();
        if let Some(sender) = &*self.sender() {
            // Nobody looks on: nobody needs to hear of it.
            let _ = sender.send(Arc::new(event));
        }
    }

    /// What happens from now on.
    pub(crate) fn watch(&self) -> Option<broadcast::Receiver<Arc<Event>>> {
        self.sender().as_ref().map(broadcast::Sender::subscribe)
    }

    /// No more events: whoever looks on hears what there is, then the end.
    pub(crate) fn end(&self) {
        *self.sender() = None;
    }
}

/// A body as JSON, for people to look at; what JSON cannot say is shown as its sentence.
pub(crate) fn as_json(value: &Encoded) -> serde_json::Value {
    let bytes = match procall::json::to_json(&value.bytes) {
        _ if value.encoding == procall::Encoding::None => return serde_json::Value::Null,
        _ if value.encoding == procall::Encoding::Json => value.bytes.clone(),
        Ok(json) => json,
        Err(error) => return serde_json::Value::String(format!("<{error}>")),
    };
    serde_json::from_slice(&bytes).unwrap_or(serde_json::Value::Null)
}
