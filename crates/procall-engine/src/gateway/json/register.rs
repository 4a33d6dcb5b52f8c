//! What a JSON peer serves: telling the engine, and the peer what came of it.

use std::task::{Poll, Waker};

use procall::json::{self, JsonId};
use procall::{CallOptions, Encoding, Error, ErrorCode, Executed, Pending, Registration, Request};
use serde_json::{Map, Value, json};

use super::names::{self, Names};
use super::object::{Object, id_json};
use super::ready::Key;
use super::task::Gate;

/// The method of the engine that says who the caller is: a map with `id` and `name`.
pub(super) const SELF: &str = "procall.engine.self";

/// A registration that is under way. Nothing more is read from the peer until it is answered.
#[derive(Debug)]
pub(super) struct Registering {
    id: Option<JsonId>,
    document: Map<String, Value>,
    names: Names,
    /// Asks who the peer is to others, once the registration stands.
    asking: Option<Pending>,
    waker: Waker,
}

impl Gate {
    /// Tells the engine what the peer serves.
    pub(super) fn register(&mut self, id: Option<JsonId>, from: Option<String>, bytes: &[u8]) {
        let read = read(bytes, from.as_deref());
        let (document, mut registration) = match read {
            Ok(read) => read,
            Err(error) => return self.refuse(id.as_ref(), &error),
        };
        let names = names::read(bytes);
        for method in &mut registration.methods {
            if let Some(names) = names.get(&method.name) {
                method.params.clone_from(names);
            }
        }
        self.peer.from = from.is_some() && !document.contains_key("name");
        self.peer.seed |= id.is_none() && !self.peer.hello;
        if let Some(hears) = document.get("broadcasts").and_then(Value::as_bool) {
            self.peer.hears = hears;
        }
        if let Err(error) = self.native.register(&registration) {
            return self.refuse(id.as_ref(), &error);
        }
        let waker = self.ready.signal(Key::Registration);
        self.registering = Some(Registering { id, document, names, asking: None, waker });
        self.keys.push_back(Key::Registration);
    }

    /// Looks how far the registration is.
    pub(super) fn drive_registration(&mut self) {
        let Some(registering) = &mut self.registering else { return };
        let Registering { asking, waker, .. } = registering;
        if asking.is_none() {
            match self.native.poll_registered(waker) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    let request = Request::new(SELF, Encoding::None, &[])
                        .with_options(CallOptions { idempotent: true, ..CallOptions::default() });
                    match self.native.start(request) {
                        Ok(pending) => *asking = Some(pending),
                        Err(error) => return self.registration_failed(&error),
                    }
                }
                Poll::Ready(Err(error)) => return self.registration_failed(&error),
            }
        }
        let Some(pending) = asking else { return };
        match pending.poll_reply(waker) {
            Poll::Pending => {}
            Poll::Ready(Ok(known)) => {
                let text = json::to_json(&known.bytes).unwrap_or_default();
                let known: Map<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
                self.registration_stands(&known);
            }
            // It stands all the same; only the name is not known.
            Poll::Ready(Err(_)) => self.registration_stands(&Map::new()),
        }
    }

    fn registration_stands(&mut self, known: &Map<String, Value>) {
        let Some(Registering { id, document, names, .. }) = self.registering.take() else { return };
        self.names = names;
        let own = |name| document.get(name).and_then(Value::as_str).map(str::to_owned);
        let label = known.get("name").and_then(Value::as_str).map(str::to_owned);
        self.peer.label = label.filter(|label| !label.is_empty()).or_else(|| own("name"));
        let label = self.peer.label.as_deref();
        let left_out = quarantined(known);
        let text = match id {
            Some(id) => {
                let mut object =
                    Object::message("registered").raw("id", &id_json(&id)).bool("ok", true);
                if let Some(label) = label {
                    object = object.text("name", label);
                }
                if let Some(peer) = known.get("id").and_then(Value::as_str) {
                    object = object.text("peer", peer);
                }
                if let Some(left_out) = &left_out {
                    object = object.raw("quarantined", left_out);
                }
                object.finish()
            }
            None => {
                let mut object = Object::message("register");
                if let Some(from) = own("from") {
                    object = object.text("from", &from);
                }
                object = object
                    .text("name", label.unwrap_or_default())
                    .text("description", &own("description").unwrap_or_default())
                    .raw("methods", &echo(&document).to_string());
                if let Some(left_out) = &left_out {
                    object = object.raw("quarantined", left_out);
                }
                object.finish()
            }
        };
        if self.wire.fits(text.len()) {
            self.wire.send(text);
        }
    }

    fn registration_failed(&mut self, error: &Error) {
        if let Some(registering) = self.registering.take() {
            self.refuse(registering.id.as_ref(), error);
        }
    }

    /// Says that nothing was registered. The first schema that is wrong decides about the code.
    fn refuse(&mut self, id: Option<&JsonId>, error: &Error) {
        let first = error.fields().first();
        let schema = first.and_then(|field| {
            let at = |part: &str| field.path.split('/').any(|name| name == part);
            match () {
                () if at("params_schema") => Some("invalid_params_schema"),
                () if at("result_schema") => Some("invalid_result_schema"),
                () => None,
            }
        });
        let text = match (schema, first) {
            (Some(code), Some(field)) => {
                let told = Error::new(error.code(), field.message.clone())
                    .with_fields(error.fields().to_vec())
                    .with_executed(Executed::No);
                self.peer.error(id, code, &told)
            }
            _ => self.peer.error(id, error.code().name(), error),
        };
        self.wire.send(text);
    }
}

/// The document, and what the engine is told. Null counts as absent, but not inside schemas.
fn read(document: &[u8], from: Option<&str>) -> Result<(Map<String, Value>, Registration), Error> {
    let wrong = |error: serde_json::Error| {
        let message = format!("the registration cannot be read: {error}");
        Error::new(ErrorCode::InvalidArgument, message).with_source(error)
    };
    let mut document: Map<String, Value> = serde_json::from_slice(document).map_err(wrong)?;
    document.retain(|_, value| !value.is_null());
    if let Some(Value::Array(methods)) = document.get_mut("methods") {
        for method in methods.iter_mut().filter_map(Value::as_object_mut) {
            method.retain(|_, value| !value.is_null());
        }
    }
    let mut registration: Registration =
        serde_json::from_value(Value::Object(document.clone())).map_err(wrong)?;
    if registration.name.is_empty() {
        registration.name = from.unwrap_or_default().to_owned();
    }
    Ok((document, registration))
}

/// What of a registration was left out, where something was.
fn quarantined(known: &Map<String, Value>) -> Option<String> {
    let left_out = known.get("quarantined")?.as_array().filter(|left_out| !left_out.is_empty())?;
    let entry = |entry: &Value| json!({ "path": entry[0], "message": entry[1] });
    Some(Value::Array(left_out.iter().map(entry).collect()).to_string())
}

/// The methods with the three keys that clients of the seeds insist on.
fn echo(document: &Map<String, Value>) -> Value {
    let methods = document.get("methods").and_then(Value::as_array);
    let methods = methods.into_iter().flatten().map(|method| {
        let keys = ["name", "params_schema", "result_schema"];
        let field = |key| (String::from(key), method.get(key).cloned().unwrap_or(Value::Null));
        Value::Object(keys.into_iter().map(field).collect())
    });
    Value::Array(methods.collect())
}
