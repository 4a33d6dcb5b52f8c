//! What happens in the engine, for those who look on.

use std::sync::Arc;

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

/// Who somebody is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PeerName {
    /// UUID text.
    pub id: String,
    /// For people.
    pub name: String,
}

/// Those who look on.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Arc<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0 }
    }
}

impl Events {
    /// Whether anybody looks on.
    pub(crate) fn is_watched(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody looks on: nobody needs to hear of it.
        let _ = self.sender.send(Arc::new(event));
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<Event>> {
        self.sender.subscribe()
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
