//! JSON messages to text.

use super::text::{Text, write_string};
use super::to_json::{Dollar, append_entries, write_base64};
use super::tokens::{Token, Tokens};
use super::{BYTES, JsonError, JsonId, to_json};
use crate::{Encoding, ErrorCode, Executed, Flags, Message};

/// How the peer expects a call to be spelled. The seeds' clients understand one spelling each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spelling<'a> {
    /// `call`.
    #[default]
    Call,
    /// `invokefunctionmessage`, for a peer that registered with a name.
    Invoke,
    /// `call` with the name of the sender, for a peer that registered with `from`.
    From(&'a str),
}

/// What the JSON form of a message needs beyond the message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style<'a> {
    /// The peer's own id in place of the native one.
    pub id: Option<&'a JsonId>,
    /// How a call is spelled.
    pub spelling: Spelling<'a>,
}

/// The JSON form of a message, with its native id as an integer.
///
/// Chunks have no JSON form: whoever encodes a message puts the body together first.
///
/// ```
/// use procall_proto::{Message, json};
///
/// let text = json::encode(&Message::End { id: 9, count: 3 }).unwrap();
/// assert_eq!(text, br#"{"type":"end","id":9,"count":3}"#);
/// ```
pub fn encode(message: &Message<'_>) -> Result<Vec<u8>, JsonError> {
    encode_with(message, Style::default())
}

/// The JSON form of a message in the style that a peer expects.
///
/// ```
/// use procall_proto::json::{JsonId, Style, encode_with};
/// use procall_proto::{Encoding, Flags, Message};
///
/// let message = Message::Reply { id: 9, encoding: Encoding::Msgpack, flags: Flags::default(), total: None, body: &[3] };
/// let id = JsonId::Text("c1".into());
/// let text = encode_with(&message, Style { id: Some(&id), ..Style::default() }).unwrap();
/// assert_eq!(text, br#"{"type":"result","id":"c1","ok":true,"result":3}"#);
/// ```
pub fn encode_with(message: &Message<'_>, style: Style<'_>) -> Result<Vec<u8>, JsonError> {
    let mut object = Object { out: Vec::new(), style };
    object.message(message)?;
    object.out.push(b'}');
    Ok(object.out)
}

struct Object<'a> {
    out: Vec<u8>,
    style: Style<'a>,
}

impl Object<'_> {
    fn message(&mut self, message: &Message<'_>) -> Result<(), JsonError> {
        match *message {
            Message::Hello { min, max, info } => {
                self.begin("hello").uint("min", min).uint("max", max).map("info", info)
            }
            Message::Welcome { version, info } => {
                self.begin("welcome").uint("version", version).map("info", info)
            }
            Message::Register { id, encoding, body } => {
                self.begin("register").id(id).registration(encoding, body)
            }
            Message::Registered { id, code: 0, .. } => {
                self.begin("registered").id(id).bool("ok", true);
                Ok(())
            }
            Message::Registered { id, code, body } => {
                self.begin("registered").id(id).bool("ok", false);
                self.error(code, None, Encoding::Msgpack, body)
            }
            Message::Call(ref call, body) => {
                whole(call.flags)?;
                match self.style.spelling {
                    Spelling::Call => self.begin("call").id(call.id),
                    Spelling::Invoke => self.begin("invokefunctionmessage").id(call.id),
                    Spelling::From(from) => self.begin("call").id(call.id).text("from", from),
                };
                self.to(call.meta)?.text("method", call.method);
                self.body("params", call.encoding, body)?;
                if let Some(timeout_ms) = call.timeout_ms {
                    self.uint("timeout_ms", timeout_ms);
                }
                for (name, flag) in [
                    ("idempotent", Flags::IDEMPOTENT),
                    ("items_in", Flags::ITEMS_IN),
                    ("items_out", Flags::ITEMS_OUT),
                    ("opening", Flags::OPENING),
                ] {
                    if call.flags.contains(flag) {
                        self.bool(name, true);
                    }
                }
                self.meta(call.meta)
            }
            Message::Reply { id, encoding, flags, body, .. } => {
                whole(flags)?;
                self.begin("result").id(id).bool("ok", true).body("result", encoding, body)
            }
            Message::Error { id, code, executed, encoding, body } => {
                self.begin("result").id(id).bool("ok", false);
                self.error(code, Some(executed), encoding, body)
            }
            Message::Notify(ref notify, body) => {
                whole(notify.flags)?;
                self.begin("notify").to(notify.meta)?.text("method", notify.method);
                self.body("params", notify.encoding, body)?;
                self.meta(notify.meta)
            }
            Message::Item { id, encoding, flags, body, .. } => {
                whole(flags)?;
                self.begin("item").id(id).body("value", encoding, body)
            }
            Message::End { id, count } => {
                self.begin("end").id(id).uint("count", count);
                Ok(())
            }
            Message::Credit { id, items, bytes } => {
                self.begin("credit").id(id).uint("items", items.into()).uint("bytes", bytes.into());
                Ok(())
            }
            Message::Progress { id, done, total, text } => {
                self.begin("progress").id(id).uint("done", done);
                if let Some(total) = total {
                    self.uint("total", total);
                }
                self.text_unless_empty(text);
                Ok(())
            }
            Message::Cancel { id, reason } => {
                self.begin("cancel").id(id).uint("reason", reason);
                Ok(())
            }
            Message::Ping { nonce } => {
                self.begin("ping").nonce(nonce);
                Ok(())
            }
            Message::Pong { nonce } => {
                self.begin("pong").nonce(nonce);
                Ok(())
            }
            Message::Goaway { step, last_id, text } => {
                self.begin("goaway").uint("step", step);
                match self.style.id {
                    Some(id) => id.write(self.key("last_id")),
                    None => _ = self.uint("last_id", last_id),
                }
                self.text_unless_empty(text);
                Ok(())
            }
            Message::Fault { code, text } => {
                self.begin("fault").text("code", &code_name(code)).text_unless_empty(text);
                Ok(())
            }
            Message::Chunk { .. } => Err(JsonError::NoForm("a chunk")),
            Message::Packed { .. } => Err(JsonError::NoForm("a packed message")),
        }
    }

    fn begin(&mut self, tag: &str) -> &mut Self {
        self.out.extend_from_slice(b"{\"type\":");
        write_string(tag, &mut self.out);
        self
    }

    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.push(b',');
        write_string(name, &mut self.out);
        self.out.push(b':');
        &mut self.out
    }

    fn id(&mut self, native: u64) -> &mut Self {
        match self.style.id {
            Some(id) => id.write(self.key("id")),
            None => _ = self.uint("id", native),
        }
        self
    }

    fn uint(&mut self, name: &str, value: u64) -> &mut Self {
        self.key(name).extend_from_slice(value.to_string().as_bytes());
        self
    }

    fn bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.key(name).extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        write_string(value, self.key(name));
        self
    }

    fn text_unless_empty(&mut self, text: &str) {
        if !text.is_empty() {
            self.text("text", text);
        }
    }

    /// Pings of the seeds have no nonce, so 0 is left out.
    fn nonce(&mut self, nonce: u64) {
        if nonce != 0 {
            self.uint("nonce", nonce);
        }
    }

    fn body(&mut self, name: &str, encoding: Encoding, body: &[u8]) -> Result<(), JsonError> {
        let out = self.key(name);
        match encoding {
            Encoding::None => out.extend_from_slice(b"null"),
            Encoding::Msgpack => out.append(&mut to_json(body)?),
            Encoding::Json => {
                let mut text = Text::new(body, 3)?;
                let value = text.skip()?;
                text.end()?;
                out.extend_from_slice(value.as_bytes());
            }
            Encoding::Raw => {
                out.push(b'{');
                write_string(BYTES, out);
                out.push(b':');
                write_base64(body, out);
                out.push(b'}');
            }
            Encoding::Unknown(_) => return Err(JsonError::NoForm("a body of unknown encoding")),
        }
        Ok(())
    }

    /// A MessagePack map; left out when empty.
    fn map(&mut self, name: &str, map: &[u8]) -> Result<(), JsonError> {
        if map.is_empty() || map == [0x80] {
            return Ok(());
        }
        self.body(name, Encoding::Msgpack, map)
    }

    /// The entry `to` of the metadata, which JSON has beside the metadata.
    fn to(&mut self, meta: &[u8]) -> Result<&mut Self, JsonError> {
        let mut tokens = Tokens::new(meta);
        if !meta.is_empty()
            && let Token::Map(len) = tokens.next()?
        {
            for _ in 0..len {
                if tokens.key()? != TO {
                    tokens.skip()?;
                } else if let Token::Text(to) = tokens.next()? {
                    self.text(TO, to);
                    break;
                } else {
                    return Err(JsonError::Field { name: TO, expected: "text" });
                }
            }
        }
        Ok(self)
    }

    /// The metadata without `to`.
    fn meta(&mut self, meta: &[u8]) -> Result<(), JsonError> {
        let mut entries = Vec::new();
        if !meta.is_empty() {
            append_entries(meta, Dollar::Marks, &[TO], &mut entries)?;
        }
        self.object("meta", entries);
        Ok(())
    }

    /// An object of entries that each begin with a comma; left out when there are none.
    fn object(&mut self, name: &str, mut entries: Vec<u8>) {
        if let Some(first) = entries.first_mut() {
            *first = b'{';
            entries.push(b'}');
            self.key(name).append(&mut entries);
        }
    }

    fn error(
        &mut self,
        code: u64,
        executed: Option<u64>,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<(), JsonError> {
        let mut inner = Object { out: Vec::new(), style: self.style };
        inner.text("code", &code_name(code));
        if let Some(executed) = executed {
            inner.text("executed", Executed::from_number(executed).as_str());
        }
        let without = ["code", "executed"];
        match encoding {
            Encoding::Msgpack if !body.is_empty() => {
                append_entries(body, Dollar::Marks, &without, &mut inner.out)?;
            }
            Encoding::Json => {
                let map = super::from_json(body)?;
                append_entries(&map, Dollar::Marks, &without, &mut inner.out)?;
            }
            Encoding::None | Encoding::Msgpack => {}
            Encoding::Raw | Encoding::Unknown(_) => {
                return Err(JsonError::NoForm("an error that is not a map"));
            }
        }
        self.object("error", inner.out);
        Ok(())
    }

    fn registration(&mut self, encoding: Encoding, body: &[u8]) -> Result<(), JsonError> {
        let without = ["type", "id"];
        match encoding {
            Encoding::Msgpack => append_entries(body, Dollar::Letter, &without, &mut self.out),
            Encoding::Json => {
                let fields = super::fields::Fields::read(&mut Text::new(body, 3)?)?;
                for (name, value) in fields.iter().filter(|(name, _)| !without.contains(name)) {
                    self.key(name).extend_from_slice(value.as_bytes());
                }
                Ok(())
            }
            _ => Err(JsonError::NoForm("a registration that is not a map")),
        }
    }
}

/// The metadata key that names one peer.
const TO: &str = "to";

/// Refuses a body that goes on in chunks.
fn whole(flags: Flags) -> Result<(), JsonError> {
    if flags.contains(Flags::MORE) { Err(JsonError::NoForm("a part of a body")) } else { Ok(()) }
}

/// The name of an error number, also of one that this version does not know.
fn code_name(code: u64) -> String {
    match u16::try_from(code).ok().and_then(ErrorCode::from_number) {
        Some(code) => code.name().to_owned(),
        None => format!("CODE_{code}"),
    }
}
