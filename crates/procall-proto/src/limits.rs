//! What a session allows, with the defaults of the specification.

use std::time::Duration;

/// The bounds of one session.
///
/// Every queue and table of the session is bounded by one of these; the field says what happens at the bound.
///
/// ```
/// use procall_proto::Limits;
///
/// let limits = Limits { max_calls: 16, ..Limits::default() };
/// assert_eq!(limits.max_body, 256 * 1024 * 1024);
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest native message in bytes, 1 MiB. A longer one ends the session with PROTOCOL_ERROR.
    pub max_message: usize,
    /// Largest body of a call, reply, notification or item in bytes, 256 MiB.
    /// Sending more is refused locally; a peer that announces more gets INVALID_ARGUMENT (call) or makes the call fail with RESULT_TOO_LARGE (reply).
    pub max_body: usize,
    /// Bodies above this many bytes travel in chunks of this size, 64 KiB. The peer's value counts when it is smaller.
    pub chunk: usize,
    /// Calls in flight in each direction, 1,024. The peer's next one is refused with OVERLOADED and `executed: no`; this side's waits for its turn.
    pub max_calls: usize,
    /// Calls of this side's that wait for their turn when so many are in flight, 65,536. The next one is refused with OVERLOADED and
    /// `executed: no`. A waiting call costs its body and about 200 bytes. The line itself is the driver's; a session without one refuses at
    /// `max_calls`.
    pub max_waiting: usize,
    /// Bytes of unfinished chunked bodies held at once, 512 MiB. A body that would pass it is refused like one above `max_body`.
    pub max_assembly: usize,
    /// Bytes of outgoing bodies queued at once, those of waiting calls included, 512 MiB. The next call is refused with OVERLOADED and `executed: no`.
    pub max_queued: usize,
    /// Items a peer may send on a stream before it must wait for credit, 64.
    pub stream_items: u32,
    /// Bytes a peer may send on a stream before it must wait for credit, 1 MiB. The item that crosses the bound is still allowed.
    pub stream_bytes: u32,
    /// Time from the first byte to the end of the handshake, 5 s. Then the session ends.
    pub handshake: Duration,
    /// Largest message before the handshake is done, 4 KiB (acceptor only). A longer one ends the session.
    pub max_handshake_message: usize,
    /// How long after its deadline a call waits for the peer's verdict on whether the handler ran, 8 ms. Then it ends with `executed: maybe`.
    pub slack: Duration,
    /// Pings a peer may send in any one second, 10. One more ends the session.
    pub max_pings: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 1 << 20,
            max_body: 256 << 20,
            chunk: 64 << 10,
            max_calls: 1024,
            max_waiting: 1 << 16,
            max_assembly: 512 << 20,
            max_queued: 512 << 20,
            stream_items: 64,
            stream_bytes: 1 << 20,
            handshake: Duration::from_secs(5),
            max_handshake_message: 4 << 10,
            slack: Duration::from_millis(8),
            max_pings: 10,
        }
    }
}

/// When a session asks its peer for a sign of life.
///
/// Heartbeats find hangs only: death is seen by end-of-file long before.
///
/// ```
/// use std::time::Duration;
/// use procall_proto::Heartbeat;
///
/// let beat = Heartbeat { interval: Duration::from_secs(1), ..Heartbeat::default() };
/// assert_eq!(beat.misses, 3);
/// ```
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Time between two pings, 5 s; at least 150 ms.
    pub interval: Duration,
    /// Time a pong may take before the beat counts as missed, 3 s; at least 150 ms.
    /// The next beat follows at once then, up to three without an answer.
    pub timeout: Duration,
    /// Beats missed in a row after which the peer is suspected, 3.
    pub misses: u32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), timeout: Duration::from_secs(3), misses: 3 }
    }
}
