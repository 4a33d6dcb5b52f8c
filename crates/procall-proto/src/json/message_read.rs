//! JSON messages from text.

use super::fields::{Fields, required};
use super::text::{Text, write_string};
use super::tokens::{Token, Tokens};
use super::{JsonError, JsonId, JsonMessage, from_json};
use crate::wire::Writer;
use crate::{ErrorCode, Executed, Flags};

/// What a body may be nested in: the batch, the message, and the error or registration.
const AROUND: usize = 8;

/// Reads one JSON message, or a batch of them. Messages of an unknown type are left out, fields that are not known are skipped.
///
/// ```
/// use procall_proto::json::{self, JsonMessage};
///
/// let batch = br#"[{"type": "ping"}, {"type": "of the future"}, {"type": "pong", "nonce": 7}]"#;
/// let pings = [JsonMessage::Ping { nonce: 0 }, JsonMessage::Pong { nonce: 7 }];
/// assert_eq!(json::decode(batch).unwrap(), pings);
/// ```
pub fn decode(bytes: &[u8]) -> Result<Vec<JsonMessage>, JsonError> {
    let mut text = Text::new(bytes, AROUND)?;
    let mut messages = Vec::new();
    if text.peek() == Some(b'[') {
        text.enter()?;
        let mut first = true;
        while text.more(&mut first, b']')? {
            messages.extend(message(&Fields::read(&mut text)?)?);
        }
    } else {
        messages.extend(message(&Fields::read(&mut text)?)?);
    }
    text.end()?;
    Ok(messages)
}

fn message(fields: &Fields<'_>) -> Result<Option<JsonMessage>, JsonError> {
    let tag = required(fields.text("type")?, "type", "the type of a message")?;
    let id = || required(fields.id("id")?, "id", "the id of a call");
    let uint = |name| required(fields.uint(name)?, name, "an unsigned integer");
    let uint32 = |name| {
        let value = u32::try_from(uint(name)?).ok();
        required(value, name, "an unsigned integer of 32 bits")
    };
    let ok = || required(fields.bool("ok")?, "ok", "true or false");
    let flag = |name| Ok::<_, JsonError>(fields.bool(name)?.unwrap_or(false));
    let text = |name| Ok::<_, JsonError>(fields.text(name)?.unwrap_or_default());
    Ok(Some(match &*tag {
        "hello" => {
            let (min, max, info) = (uint("min")?, uint("max")?, fields.map("info")?);
            JsonMessage::Hello { min, max, info, broadcasts: fields.bool("broadcasts")? }
        }
        "welcome" => JsonMessage::Welcome { version: uint("version")?, info: fields.map("info")? },
        "register" => JsonMessage::Register {
            id: fields.id("id")?,
            from: fields.text("from")?,
            document: fields.whole.as_bytes().to_vec(),
        },
        "registered" if ok()? => {
            JsonMessage::Registered { id: fields.id("id")?, code: 0, error: Vec::new() }
        }
        "registered" => {
            let Failure { code, error, .. } = Failure::of_field(fields)?;
            JsonMessage::Registered { id: fields.id("id")?, code, error }
        }
        "call" | "invokefunctionmessage" => JsonMessage::Call {
            id: id()?,
            method: method(fields)?,
            params: fields.body("params"),
            flags: Flags::default()
                .with(Flags::IDEMPOTENT, flag("idempotent")?)
                .with(Flags::ITEMS_IN, flag("items_in")?)
                .with(Flags::ITEMS_OUT, flag("items_out")?)
                .with(Flags::OPENING, flag("opening")?),
            timeout_ms: fields.uint("timeout_ms")?,
            no_deadline: no_deadline(fields)?,
            meta: meta(fields)?,
        },
        "result" if ok()? => JsonMessage::Reply { id: id()?, result: fields.body("result") },
        "result" => {
            let Failure { code, executed, error } = Failure::of_field(fields)?;
            JsonMessage::Error { id: Some(id()?), code, executed, error }
        }
        "error" => {
            let Failure { code, executed, error } = Failure::of_message(fields)?;
            JsonMessage::Error { id: fields.id("id")?, code, executed, error }
        }
        "notify" => JsonMessage::Notify {
            method: method(fields)?,
            params: fields.body("params"),
            meta: meta(fields)?,
        },
        "item" => JsonMessage::Item { id: id()?, value: fields.body("value") },
        "end" => JsonMessage::End { id: id()?, count: uint("count")? },
        "credit" => {
            JsonMessage::Credit { id: id()?, items: uint32("items")?, bytes: uint32("bytes")? }
        }
        "progress" => JsonMessage::Progress {
            id: id()?,
            done: uint("done")?,
            total: fields.uint("total")?,
            text: text("text")?,
        },
        "cancel" => JsonMessage::Cancel { id: id()?, reason: fields.uint("reason")?.unwrap_or(0) },
        "ping" => JsonMessage::Ping { nonce: fields.uint("nonce")?.unwrap_or(0) },
        "pong" => JsonMessage::Pong { nonce: fields.uint("nonce")?.unwrap_or(0) },
        "goaway" => JsonMessage::Goaway {
            step: uint("step")?,
            last_id: fields.id("last_id")?,
            text: text("text")?,
        },
        "fault" => {
            let code = required(fields.text("code")?, "code", "the name of an error")?;
            JsonMessage::Fault { code: code_number(&code).0, text: text("text")? }
        }
        _ => return Ok(None),
    }))
}

fn method(fields: &Fields<'_>) -> Result<String, JsonError> {
    let method = fields.text("method")?.filter(|method| (1..=255).contains(&method.len()));
    required(method, "method", "a name of 1 to 255 bytes")
}

/// Whether the call has no deadline; then it has no time either.
fn no_deadline(fields: &Fields<'_>) -> Result<bool, JsonError> {
    let none = fields.bool("no_deadline")?.unwrap_or(false);
    if none && fields.uint("timeout_ms")?.is_some() {
        return Err(JsonError::Field { name: "no_deadline", expected: "without `timeout_ms`" });
    }
    Ok(none)
}

/// The metadata map with `to` in it, or nothing.
fn meta(fields: &Fields<'_>) -> Result<Vec<u8>, JsonError> {
    let map = fields.map("meta")?;
    let Some(to) = fields.text("to")? else {
        return Ok(if map == [0x80] { Vec::new() } else { map });
    };
    with_entry(&map, "to", &to).ok_or(JsonError::Field { name: "meta", expected: "without `to`" })
}

/// The map with one more entry of text at its front; `None` when the key is there already.
fn with_entry(map: &[u8], key: &str, value: &str) -> Option<Vec<u8>> {
    let mut tokens = Tokens::new(map);
    let Ok(Token::Map(len)) = tokens.next() else { return None };
    let entries = &map[tokens.at()..];
    for _ in 0..len {
        if tokens.key().ok()? == key {
            return None;
        }
        tokens.skip().ok()?;
    }
    let mut longer = Vec::with_capacity(map.len() + key.len() + value.len() + 10);
    Writer::new(&mut longer).map(len + 1).text(key).text(value).raw(entries);
    Some(longer)
}

/// The parts of an error.
struct Failure {
    code: u64,
    executed: u64,
    error: Vec<u8>,
}

impl Failure {
    /// Of the object `error` in a message.
    fn of_field(fields: &Fields<'_>) -> Result<Self, JsonError> {
        let Some(text) = fields.raw("error") else {
            // The seeds allow a failure that says nothing more.
            let code = ErrorCode::HandlerError;
            let executed = code.executed().number().into();
            return Ok(Self { code: code.number().into(), executed, error: vec![0x80] });
        };
        Self::read(&Fields::read(&mut Text::new(text.as_bytes(), AROUND)?)?, &["code", "executed"])
    }

    /// Of a message that is the error itself.
    fn of_message(fields: &Fields<'_>) -> Result<Self, JsonError> {
        Self::read(fields, &["type", "id", "from", "code", "executed"])
    }

    /// `without` are the fields that are not part of the error map.
    fn read(fields: &Fields<'_>, without: &[&str]) -> Result<Self, JsonError> {
        let name = required(fields.text("code")?, "code", "the name of an error")?;
        let (code, known) = code_number(&name);
        let usual = u16::try_from(code).ok().and_then(ErrorCode::from_number);
        let executed = match fields.text("executed")?.as_deref() {
            Some("no") => Executed::No,
            Some("yes") => Executed::Yes,
            Some(_) => Executed::Maybe,
            None => usual.map_or(Executed::Maybe, ErrorCode::executed),
        };
        let mut error = error_map(fields, without)?;
        // A code of the peer's own stays visible as the class of the error.
        if !known && let Some(longer) = with_entry(&error, "type", &name) {
            error = longer;
        }
        Ok(Self { code, executed: executed.number().into(), error })
    }
}

/// The fields of an error but for some, as MessagePack.
fn error_map(fields: &Fields<'_>, without: &[&str]) -> Result<Vec<u8>, JsonError> {
    let mut text = vec![b'{'];
    for (name, value) in fields.iter().filter(|(name, _)| !without.contains(name)) {
        if text.len() > 1 {
            text.push(b',');
        }
        write_string(name, &mut text);
        text.push(b':');
        text.extend_from_slice(value.as_bytes());
    }
    text.push(b'}');
    from_json(&text)
}

/// The number of a code, and whether the name is one of ours. Names of the seeds' dialects have their counterparts.
fn code_number(name: &str) -> (u64, bool) {
    if let Some(code) = ErrorCode::from_name(name) {
        return (code.number().into(), true);
    }
    if let Some(number) = name.strip_prefix("CODE_").and_then(|number| number.parse().ok()) {
        return (number, true);
    }
    let code = match name {
        "invalid_params_schema" | "invalid_result_schema" => Some(ErrorCode::InvalidArgument),
        _ => ErrorCode::ALL.iter().copied().find(|code| code.engine_name() == name),
    };
    (code.unwrap_or(ErrorCode::HandlerError).number().into(), false)
}

impl JsonId {
    /// The id as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Self::Text(text) => write_string(text, out),
        }
    }
}
