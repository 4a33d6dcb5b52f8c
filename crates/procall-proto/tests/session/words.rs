//! Short words for what tests say often, and short words for what goes over the wire.

use std::time::Duration;

use procall_proto::{Body, Config, Encoding, Event, Limits, Message, Options, wire::Reader};

pub(crate) const NANO: Duration = Duration::from_nanos(1);
pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Limits that differ from the defaults, as a configuration.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = Config::default();
    change(&mut config.limits);
    config
}

pub(crate) fn timeout(duration: Duration) -> Options<'static> {
    Options { timeout: Some(duration), ..Options::default() }
}

pub(crate) fn items_in() -> Options<'static> {
    Options { items_in: true, ..Options::default() }
}

pub(crate) fn items_out() -> Options<'static> {
    Options { items_out: true, ..Options::default() }
}

pub(crate) fn raw(bytes: &[u8]) -> Body<'_> {
    Body::new(Encoding::Raw, bytes)
}

pub(crate) fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

/// The text and the pause of an error map.
pub(crate) fn error_map(map: &[u8]) -> (String, Option<u64>) {
    let (mut message, mut retry_after) = (String::new(), None);
    let mut reader = Reader::new(map);
    for _ in 0..reader.map().expect("a map") {
        match reader.text("a key").expect("a key") {
            "message" => message = reader.text("the message").expect("a text").to_owned(),
            "retry_after_ms" => retry_after = Some(reader.uint("the pause").expect("a number")),
            _ => _ = reader.skip().expect("a value"),
        }
    }
    (message, retry_after)
}

/// A message in short: `call 1`, `chunk 1`, `last 1`, `ping`.
pub(crate) fn describe(bytes: &[u8]) -> String {
    match Message::decode(bytes).expect("well formed").expect("of a known kind") {
        Message::Call(header, _) => format!("call {}", header.id),
        Message::Notify(header, _) => format!("notify {}", header.id),
        Message::Chunk { id, last: true, .. } => format!("last {id}"),
        Message::Chunk { id, .. } => format!("chunk {id}"),
        Message::Reply { id, .. } => format!("reply {id}"),
        Message::Error { id, .. } => format!("error {id}"),
        Message::Item { id, .. } => format!("item {id}"),
        Message::End { id, .. } => format!("end {id}"),
        Message::Credit { id, .. } => format!("credit {id}"),
        Message::Progress { id, .. } => format!("progress {id}"),
        Message::Cancel { id, .. } => format!("cancel {id}"),
        Message::Register { id, .. } => format!("register {id}"),
        Message::Registered { id, .. } => format!("registered {id}"),
        Message::Ping { .. } => "ping".to_owned(),
        Message::Pong { .. } => "pong".to_owned(),
        Message::Goaway { step, .. } => format!("goaway {step}"),
        Message::Hello { .. } => "hello".to_owned(),
        Message::Welcome { .. } => "welcome".to_owned(),
        Message::Fault { .. } => "fault".to_owned(),
        Message::Packed { .. } => "packed".to_owned(),
    }
}

/// The event without borrows, so that a test can keep it.
pub(crate) fn own(event: Event<'_>) -> Event<'static> {
    event.into_owned()
}
