//! The records that cross the border to JavaScript. `src/native.ts` has the same numbers.

/// Events, from here to JavaScript: eight 32-bit numbers each, in the byte order of the machine.
///
/// ```text
/// ┌──────┬────┬──────────┬───────┬────────┬────────┬───────┬───────┐
/// │ kind │ id │ encoding │ flags │ offset │ length │ extra │ extra │
/// └──────┴────┴──────────┴───────┴────────┴────────┴───────┴───────┘
/// ```
pub(crate) const EVENT_LEN: usize = 32;
/// Events that fit one turn; bodies stand behind the place for all of them.
pub(crate) const EVENTS: usize = 512;

/// A call of ours got its reply.
pub(crate) const REPLY: u32 = 1;
/// A call or operation of ours failed; the body is an error map.
pub(crate) const FAILED: u32 = 2;
/// An item of the answer came.
pub(crate) const ITEM: u32 = 3;
/// The stream of the answer is complete.
pub(crate) const END: u32 = 4;
/// The handler of a call of ours reports progress; the body is an array.
pub(crate) const PROGRESS: u32 = 5;
/// An item that had to wait was sent, or (flags 1) is no longer wanted.
pub(crate) const SENT: u32 = 6;
/// An operation is done; `extra` is its result.
pub(crate) const DONE: u32 = 7;
/// A call of the peer's: `extra` are the method's number and the milliseconds left. The `id` of a notification is the number of its connection.
pub(crate) const CALL: u32 = 8;
/// An item that a caller sends.
pub(crate) const SERVED_ITEM: u32 = 9;
/// The caller's stream is complete.
pub(crate) const SERVED_END: u32 = 10;
/// The caller's stream was cut short; the body is an error map.
pub(crate) const SERVED_FAILED: u32 = 11;
/// Like [`SENT`], for an item of an answer of ours.
pub(crate) const SERVED_SENT: u32 = 12;
/// The caller no longer wants the answer; flags 1: because its time is over.
pub(crate) const CANCELLED: u32 = 13;
/// The service of number `id` is over: its pool is gone, or it is drained.
pub(crate) const SERVICE_ENDED: u32 = 14;

/// Something happened in the pool whose notices have number `id`; the body is a map.
pub(crate) const NOTICE: u32 = 15;
/// A connection on its way is to be looked at again after `extra` milliseconds.
pub(crate) const PAUSE: u32 = 16;

/// Flags of [`CALL`].
pub(crate) const ITEMS_IN: u32 = 1;
pub(crate) const ITEMS_OUT: u32 = 2;
pub(crate) const NOTIFICATION: u32 = 4;
/// The arguments came by name; here they stand by position.
pub(crate) const BY_NAME: u32 = 8;
/// The body is not in the shared buffer: `offset` is its number for `takeBody`.
pub(crate) const OWN_BODY: u32 = 1 << 16;

/// "No deadline".
pub(crate) const NONE: u32 = u32::MAX;

/// Commands, from JavaScript to here, little-endian.
///
/// ```text
/// start  │ 1 u8 │ flags u8 │ method length u16 │ channel u32 │ id u32 │ params length u32 │ meta length u32 │ timeout f64 │ inherited f64 │ serving u32 │ method │ params │ meta │ key? │ to? │ for engine? │
/// reply  │ 2 u8 │ 0 u8     │ 0 u16             │ served u32  │ body length u32 │ body      │
/// fail   │ 3 u8 │ 0 u8     │ 0 u16             │ served u32  │ body length u32 │ error map │
/// notify │ 4 u8 │ 0 u8     │ method length u16 │ channel u32 │ 0 u32  │ params length u32 │ meta length u32 │ f64 │ f64 │ 0 u32 │ method │ params │ meta │ key? │ to? │ for engine? │
/// ```
///
/// `serving` is the number of the call whose handler makes this one, [`NONE`] when no handler does.
///
/// The key of the call and the worker it is for are there when their flags are set: a length (u32), then so many bytes of UTF-8. What is for
/// an engine is the version in the same way, empty for any, 1 (u8) when the call waits while nobody serves the method, the idempotency key in the same
/// way, empty for none, and the retries (u32), [`NONE`] for the usual number.
pub(crate) const START: u8 = 1;
pub(crate) const ANSWER: u8 = 2;
pub(crate) const FAIL: u8 = 3;
pub(crate) const NOTIFY: u8 = 4;

/// Further flags of [`START`]; the first two are [`ITEMS_IN`] and [`ITEMS_OUT`].
pub(crate) const IDEMPOTENT: u8 = 4;
pub(crate) const WANTS_PROGRESS: u8 = 8;
pub(crate) const KEY: u8 = 16;
pub(crate) const TO: u8 = 32;
/// A worker that is busy with the call when its deadline passes is to be started anew.
pub(crate) const RESTART: u8 = 64;
/// An engine is told which version is meant, whether to wait for a worker, and by which key the call is known; and the retries are given.
pub(crate) const FOR_ENGINE: u8 = 128;

/// What sending an item comes to.
pub(crate) const SENT_NOW: u32 = 0;
pub(crate) const SENT_LATER: u32 = 1;
pub(crate) const SENT_NEVER: u32 = 2;

/// Whether a caller still wants the answer.
pub(crate) const WANTED: u32 = 0;
pub(crate) const WANTED_NOT: u32 = 1;
pub(crate) const WANTED_NO_LONGER: u32 = 2;
