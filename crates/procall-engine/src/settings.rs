//! What an engine is told when it starts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use procall::{Error, Heartbeat, similar};

use crate::gateway::http::HttpSettings;
use crate::record::OnCall;
use crate::spans::Endpoint;

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
    pub(crate) compression: bool,
    /// How long calls in flight may take once the engine is asked to stop.
    pub(crate) drain: Duration,
    pub(crate) on_call: Option<OnCall>,
    /// Peers over the loopback of our own user count as on a Unix socket.
    pub(crate) own_over_tcp: bool,
    /// Where spans are sent.
    pub(crate) otlp: Option<Endpoint>,
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
            compression: procall::surroundings::compression(),
            drain: DRAIN,
            on_call: None,
            own_over_tcp: true,
            otlp: None,
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

impl Policy {
    const ALL: [Self; 3] = [Self::IdleFirst, Self::LeastLoaded, Self::RoundRobin];

    /// The name that settings have for it: `idle_first`, `least_loaded` or `round_robin`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleFirst => "idle_first",
            Self::LeastLoaded => "least_loaded",
            Self::RoundRobin => "round_robin",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads a name, such as `round_robin`; a hyphen may stand for the underscore.
impl FromStr for Policy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let plain = name.replace('-', "_");
        if let Some(policy) = Self::ALL.into_iter().find(|policy| policy.name() == plain) {
            return Ok(policy);
        }
        let names = Self::ALL.map(Self::name);
        let candidates = similar(&plain, names);
        let hint = match candidates.first() {
            Some(candidate) => format!("; did you mean {candidate}?"),
            None => String::new(),
        };
        let message = format!("\"{name}\" is no policy: there are {}{hint}", names.join(", "));
        Err(Error::invalid(message).with_candidates(candidates))
    }
}
