//! What a JSON message is about, also when it cannot be read as a whole.

use super::fields::Fields;
use super::text::Text;
use super::{JsonError, JsonId};

/// How much deeper than a body a message may be.
const AROUND: usize = 8;

/// The keys of a JSON object with the text of their values, which nobody has looked at yet.
///
/// Values may be what no body can have, such as NaN and integers beyond 64 bits, so that whoever sent them can be told, by the id of the call.
///
/// ```
/// use procall_proto::json::{JsonId, Outline, decode};
///
/// let text = br#"{"type": "call", "id": 7, "method": "add", "params": [NaN, 1]}"#;
/// assert!(decode(text).is_err());
/// let outline = Outline::read(text).unwrap();
/// assert_eq!(outline.text("type").as_deref(), Some("call"));
/// assert_eq!(outline.id(), Some(JsonId::Integer(7)));
/// assert_eq!(outline.raw("params"), Some("[NaN, 1]"));
/// ```
#[derive(Debug)]
pub struct Outline<'a> {
    fields: Fields<'a>,
}

impl<'a> Outline<'a> {
    /// Reads the keys of an object. Refused is what is no object, nests too deep, or has a key twice.
    pub fn read(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let mut text = Text::new(bytes, AROUND)?.skipping_any_number();
        let fields = Fields::read(&mut text)?;
        text.end()?;
        Ok(Self { fields })
    }

    /// The text of a value; null counts as absent.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields.raw(name)
    }

    /// Whether there is such a key, be its value null.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key == name)
    }

    /// A value that is text.
    pub fn text(&self, name: &'static str) -> Option<String> {
        self.fields.text(name).ok().flatten()
    }

    /// The value of `id`, if it is one of a call.
    pub fn id(&self) -> Option<JsonId> {
        self.fields.id("id").ok().flatten()
    }
}
