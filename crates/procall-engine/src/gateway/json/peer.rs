//! What is known of a JSON peer, and messages in the words that it understands.

use std::time::Duration;

use procall::json::JsonId;
use procall::{Error, ErrorCode, Executed, Progress, Shape};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::object::{Object, id_json, quoted};
use super::read::Refusal;

/// Who speaks when the engine itself has something to say to a peer that expects a sender: the nil UUID.
const ENGINE: Uuid = Uuid::nil();

/// What is known of a peer.
#[derive(Debug)]
pub(super) struct Peer {
    /// It has said hello, so it knows our own form with all its fields.
    pub(super) hello: bool,
    /// It registered with `from`, as clients of the first generation do: all messages to it have a sender.
    pub(super) from: bool,
    /// It registered in a way that is not answered by type, so an error without an id would be undecodable for it.
    pub(super) seed: bool,
    /// The name that the engine gave it.
    pub(super) label: Option<String>,
    /// Notifications to everybody are for it too.
    pub(super) hears: bool,
    /// The first credit of streams towards it, in items and bytes.
    pub(super) window: (u32, u32),
}

/// A call on its way to the peer.
#[derive(Debug)]
pub(super) struct Forwarded<'a> {
    pub(super) id: &'a str,
    pub(super) method: &'a str,
    /// JSON.
    pub(super) params: &'a str,
    pub(super) left: Option<Duration>,
    pub(super) opening: bool,
    pub(super) idempotent: bool,
    pub(super) shape: Shape,
    pub(super) meta: Map<String, Value>,
}

impl Peer {
    pub(super) fn new() -> Self {
        let (hello, from, seed) = (false, false, false);
        Self { hello, from, seed, label: None, hears: true, window: (64, 1 << 20) }
    }

    /// The beginning of an answer: its type and id, and the sender where one is expected.
    fn begin(&self, tag: &str, id: Option<&str>) -> Object {
        let object = Object::message(tag);
        let object = match id {
            Some(id) => object.raw("id", id),
            None => object,
        };
        if self.from { object.text("from", &ENGINE.to_string()) } else { object }
    }

    /// The sender that metadata names, for peers that expect one; text that is no UUID would be undecodable for them.
    fn sender(meta: &Map<String, Value>) -> String {
        let from = meta.get("from").and_then(Value::as_str).and_then(|from| from.parse().ok());
        from.unwrap_or(ENGINE).to_string()
    }

    /// A call to the peer: `call` with the sender, or `invokefunctionmessage`.
    pub(super) fn call(&self, call: &Forwarded<'_>) -> String {
        let object = if self.from {
            let sender = Self::sender(&call.meta);
            Object::message("call").text("id", call.id).text("from", &sender)
        } else {
            Object::message("invokefunctionmessage").text("id", call.id)
        };
        let mut object = object
            .text_or_null("to", self.label.as_deref())
            .text("method", call.method)
            .raw("params", call.params);
        if self.hello {
            if let Some(left) = call.left {
                // Rounded up, so that what has time left never says that it has none.
                object = object.uint("timeout_ms", left.as_nanos().div_ceil(1_000_000) as u64);
            }
            object = object
                .flag("idempotent", call.idempotent)
                .flag("items_in", call.shape.items_in())
                .flag("items_out", call.shape.items_out())
                .flag("opening", call.opening && call.left.is_some());
            object = with_meta(object, &call.meta);
        }
        object.finish()
    }

    /// A notification to the peer; `params` is JSON.
    pub(super) fn notify(&self, method: &str, params: &str, meta: &Map<String, Value>) -> String {
        let mut object = Object::message("notify");
        if self.from {
            object = object.text("from", &Self::sender(meta));
        }
        let broadcast = is_broadcast(meta);
        let to = if broadcast { None } else { self.label.as_deref() };
        object = object.text_or_null("to", to).text("method", method).raw("params", params);
        if self.hello {
            object = with_meta(object, meta);
        }
        object.finish()
    }

    /// `result` is JSON.
    pub(super) fn result(&self, id: &JsonId, result: &str) -> String {
        self.begin("result", Some(&id_json(id))).bool("ok", true).raw("result", result).finish()
    }

    /// A call of the peer's has failed.
    pub(super) fn failure(&self, id: &JsonId, error: &Error) -> String {
        let body = Object::new().error(self.code(error), error, &[]).finish();
        self.begin("result", Some(&id_json(id))).bool("ok", false).raw("error", &body).finish()
    }

    fn code(&self, error: &Error) -> &'static str {
        if self.hello { error.code().name() } else { error.code().engine_name() }
    }

    /// Something that is the answer to no call. Clients of the seeds need an id that is a UUID, whatever it belongs to.
    pub(super) fn error(&self, id: Option<&JsonId>, code: &str, error: &Error) -> String {
        let id = match id {
            Some(id) => Some(id_json(id)),
            None => self.seed.then(|| quoted(&Uuid::new_v4().to_string())),
        };
        self.begin("error", id.as_deref()).error(code, error, &["type", "id", "from"]).finish()
    }

    /// The answer to what could not be read: the outcome of a call, where it was one.
    pub(super) fn refused(&self, refusal: &Refusal) -> String {
        let error = |code| Error::new(code, refusal.problem.clone()).with_executed(Executed::No);
        match (refusal.tag.as_deref(), &refusal.id) {
            (Some("call" | "invokefunctionmessage"), Some(id)) => {
                self.failure(id, &error(ErrorCode::InvalidArgument))
            }
            (_, id) => {
                let error = error(ErrorCode::ProtocolError);
                self.error(id.as_ref(), error.code().name(), &error)
            }
        }
    }

    pub(super) fn pong(&self, nonce: u64) -> String {
        let object = self.begin("pong", None);
        if nonce == 0 { object.finish() } else { object.uint("nonce", nonce).finish() }
    }
}

/// Whether a notification is meant for everybody.
pub(super) fn is_broadcast(meta: &Map<String, Value>) -> bool {
    meta.get("broadcast") == Some(&Value::Bool(true))
}

fn with_meta(object: Object, meta: &Map<String, Value>) -> Object {
    if meta.is_empty() {
        return object;
    }
    object.raw("meta", &Value::Object(meta.clone()).to_string())
}

pub(super) fn item(id: &str, value: &str) -> String {
    Object::message("item").raw("id", id).raw("value", value).finish()
}

pub(super) fn end(id: &str, count: u64) -> String {
    Object::message("end").raw("id", id).uint("count", count).finish()
}

pub(super) fn credit(id: &str, (items, bytes): (u32, u32)) -> String {
    Object::message("credit")
        .raw("id", id)
        .uint("items", items.into())
        .uint("bytes", bytes.into())
        .finish()
}

pub(super) fn cancel(id: &str, reason: u64) -> String {
    Object::message("cancel").raw("id", id).uint("reason", reason).finish()
}

pub(super) fn progress(id: &str, progress: &Progress) -> String {
    let mut object = Object::message("progress").raw("id", id).uint("done", progress.done);
    if let Some(total) = progress.total {
        object = object.uint("total", total);
    }
    if !progress.text.is_empty() {
        object = object.text("text", &progress.text);
    }
    object.finish()
}
