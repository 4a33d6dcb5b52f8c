//! Messages of the engine dialect, from the peer.

use procall::json::{self, JsonId, JsonMessage};
use procall::{CallOptions, Deadline, Error, ErrorCode, Executed, Flags, Request};
use serde_json::{Map, Value, json};

use super::inbound::unreadable;
use super::object::{Object, params_from_json};
use super::outbound::{Asked, Asker, deadline};
use super::read::Refusal;
use super::task::Gate;

/// The version of the protocol that is spoken here.
const VERSION: u64 = 1;

impl Gate {
    /// Does what a message asks for.
    pub(super) fn handle(&mut self, message: JsonMessage) {
        match message {
            JsonMessage::Hello { min, max, info, broadcasts } => {
                self.hello(min, max, &info, broadcasts);
            }
            JsonMessage::Register { id, from, document } => self.register(id, from, &document),
            JsonMessage::Call { id, method, params, flags, timeout_ms, no_deadline, meta } => {
                let opening = flags.contains(Flags::OPENING);
                let options = CallOptions {
                    deadline: match no_deadline {
                        true => Deadline::Never,
                        false => deadline(timeout_ms, opening),
                    },
                    idempotent: flags.contains(Flags::IDEMPOTENT),
                    items_in: flags.contains(Flags::ITEMS_IN),
                    items_out: flags.contains(Flags::ITEMS_OUT),
                    meta,
                    ..CallOptions::default()
                };
                let params = params_from_json(params.as_deref());
                self.call(Asker::Engine(id), Asked { method, params, options });
            }
            JsonMessage::Reply { id, result } => {
                if !self.answered(&id, Ok(result.as_deref())) {
                    self.unasked(&id);
                }
            }
            JsonMessage::Error { id: Some(id), code, executed, error } => {
                // An answer to an error would be answered in turn.
                if !self.answered(&id, Err(Error::decoded(code, executed, error))) {
                    self.counters.unasked += 1;
                }
            }
            JsonMessage::Notify { method, params, meta } => {
                self.notify(&method, params.as_deref(), meta);
            }
            JsonMessage::Item { id, value } => {
                if self.is_serving(&id) {
                    self.item_of_served(&id, value.as_deref());
                } else {
                    self.item_of_call(&id, value.as_deref());
                }
            }
            JsonMessage::End { id, count } => {
                if self.is_serving(&id) {
                    self.end_of_served(&id, count);
                } else {
                    self.end_of_call(&id, count);
                }
            }
            JsonMessage::Credit { id, items, bytes } => {
                // One for a call that is over is ignored.
                let _ =
                    self.credit_served(&id, items, bytes) || self.credit_call(&id, items, bytes);
            }
            JsonMessage::Progress { id, done, total, text } => {
                self.progress_of_served(&id, done, total, &text);
            }
            JsonMessage::Cancel { id, .. } => self.cancel_call(&id),
            JsonMessage::Ping { nonce } => {
                let pong = self.peer.pong(nonce);
                self.wire.send(pong);
            }
            // The peer takes no more calls; those that it has are still answered.
            JsonMessage::Goaway { text, .. } => self.native.drain(&text),
            JsonMessage::Fault { .. } => self.over = true,
            // Nothing of ours waits for these, and an error without an id belongs to nothing.
            JsonMessage::Welcome { .. }
            | JsonMessage::Registered { .. }
            | JsonMessage::Error { id: None, .. }
            | JsonMessage::Pong { .. } => {}
            other => {
                let message = format!("this message has no place here: {other:?}");
                let error = Error::new(ErrorCode::ProtocolError, message);
                self.complain(None, &error);
            }
        }
    }

    fn hello(&mut self, min: u64, max: u64, info: &[u8], broadcasts: Option<bool>) {
        if min > VERSION || max < VERSION {
            let text = format!("the peer speaks versions {min} to {max}, the engine {VERSION}");
            let fault = Object::message("fault").text("code", "VERSION_MISMATCH");
            self.wire.send(fault.text("text", &text).finish());
            self.over = true;
            return;
        }
        let text = json::to_json(info).unwrap_or_default();
        let info: Map<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
        let number = |name| info.get(name)?.as_u64().map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        self.peer.window.0 = number("stream_items").unwrap_or(self.peer.window.0);
        self.peer.window.1 = number("stream_bytes").unwrap_or(self.peer.window.1);
        let hears = broadcasts.or_else(|| info.get("broadcasts").and_then(Value::as_bool));
        self.peer.hears = hears.unwrap_or(self.peer.hears);
        self.peer.hello = true;
        self.peer.seed = false;
        let info = json!({"runtime": concat!("rust/", env!("CARGO_PKG_VERSION"))});
        let welcome = Object::message("welcome").uint("version", VERSION);
        self.wire.send(welcome.raw("info", &info.to_string()).finish());
    }

    fn notify(&mut self, method: &str, params: Option<&[u8]>, meta: Vec<u8>) {
        let sent = params_from_json(params).and_then(|params| {
            let meta = if self.peer.hello { meta } else { to_everybody(meta) };
            let options = CallOptions { meta, ..CallOptions::default() };
            let request = Request::new(method, params.encoding, &params.bytes);
            self.native.notify(request.with_options(options))
        });
        if let Err(error) = sent {
            self.complain(None, &error);
        }
    }

    /// An answer that nobody asked for: it is counted, told, and goes no further.
    fn unasked(&mut self, id: &JsonId) {
        self.counters.unasked += 1;
        let message = "a result came for a call that this peer was never asked to serve";
        let error = Error::new(ErrorCode::ProtocolError, message).with_executed(Executed::No);
        self.complain(Some(id), &error);
    }

    /// Answers what could not be read, in the way that whoever sent it waits for.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        if let (Some("result" | "error"), Some(id)) = (refusal.tag.as_deref(), &refusal.id)
            && self.answered(id, Err(unreadable(&refusal.problem)))
        {
            return;
        }
        let text = self.peer.refused(refusal);
        self.wire.send(text);
    }

    fn complain(&mut self, id: Option<&JsonId>, error: &Error) {
        let text = self.peer.error(id, error.code().name(), error);
        self.wire.send(text);
    }
}

/// The metadata of a notification: one that names nobody is for everybody.
fn to_everybody(meta: Vec<u8>) -> Vec<u8> {
    let text =
        if meta.is_empty() { b"{}".to_vec() } else { json::to_json(&meta).unwrap_or_default() };
    let Ok(Value::Object(mut map)) = serde_json::from_slice(&text) else { return meta };
    if map.contains_key("to") {
        return meta;
    }
    map.insert("broadcast".to_owned(), Value::Bool(true));
    json::from_json(Value::Object(map).to_string().as_bytes()).unwrap_or(meta)
}
