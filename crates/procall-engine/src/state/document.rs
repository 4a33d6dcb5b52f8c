//! What is remembered: a registration, and whose it was.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use procall::Registration;
use serde::{Deserialize, Deserializer, Serialize};

/// Whose a registration is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// That of a process which comes back under its identity.
    Peer(Identity),
    /// That of a service, whoever serves it.
    Service(Arc<str>),
}

/// A process, over its connections: the id that it chose, which counts among the processes of its user only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) id: Arc<str>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(Identity { uid, id }) => write!(f, "peer/{uid}/{id}"),
            Self::Service(name) => write!(f, "service/{name}"),
        }
    }
}

impl Key {
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("service/") {
            return Some(Self::Service(name.into()));
        }
        let (uid, id) = text.strip_prefix("peer/")?.split_once('/')?;
        Some(Self::Peer(Identity { uid: uid.parse().ok()?, id: id.into() }))
    }
}

/// A registration with the time at which it was written.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Document {
    /// Seconds since 1970: the oldest is forgotten first.
    pub(super) written: u64,
    #[serde(deserialize_with = "shared")]
    pub(super) registration: Arc<Registration>,
}

/// The same to write it.
#[derive(Serialize)]
struct Written<'a> {
    written: u64,
    registration: &'a Registration,
}

fn shared<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Registration>, D::Error> {
    Registration::deserialize(from).map(Arc::new)
}

impl Document {
    pub(super) fn now(registration: Arc<Registration>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { written: since.as_secs(), registration }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Written { written: self.written, registration: &self.registration })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let peer = Identity { uid: 1000, id: "a/b".into() };
        for key in [Key::Peer(peer), Key::Service("calc".into()), Key::Service("a/b".into())] {
            assert_eq!(Key::read(&key.to_string()), Some(key));
        }
        for wrong in ["", "calc", "peer/1000", "peer/x/y", "peer/-1/y"] {
            assert_eq!(Key::read(wrong), None, "{wrong}");
        }
    }
}
