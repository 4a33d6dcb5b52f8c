//! What an engine is told when it starts.

use std::time::Duration;

use procall::Heartbeat;

use crate::gateway::http::HttpSettings;
use crate::record::OnCall;

/// Calls that wait for one worker of a method; with more workers, so many for each.
pub(crate) const QUEUE: usize = 256;
/// Peers of one engine.
pub(crate) const PEERS: usize = 4_096;
/// Peers of one user or address.
pub(crate) const PEERS_EACH: usize = 512;
/// How long calls in flight may take once the engine is asked to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// How peers are treated.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) queue: usize,
    pub(crate) peers: usize,
    pub(crate) peers_each: usize,
    pub(crate) policy: Policy,
    pub(crate) validate: bool,
    /// How long calls in flight may take once the engine is asked to stop.
    pub(crate) drain: Duration,
    pub(crate) on_call: Option<OnCall>,
    pub(crate) http: HttpSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Some(Heartbeat::default()),
            queue: QUEUE,
            peers: PEERS,
            peers_each: PEERS_EACH,
            policy: Policy::IdleFirst,
            validate: true,
            drain: DRAIN,
            on_call: None,
            http: HttpSettings::default(),
        }
    }
}

/// Which of several free workers gets a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// One that has nothing to do, else the one with the fewest calls in flight.
    #[default]
    IdleFirst,
    /// The one whose slots are the least filled; of equal ones, that which has had the fewest calls.
    LeastLoaded,
    /// One after the other.
    RoundRobin,
}
