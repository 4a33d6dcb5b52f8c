//! The fields of one JSON object, to be asked for by name.

use std::borrow::Cow;

use super::keys::Keys;
use super::text::{Number, Text};
use super::{JsonError, JsonId, from_json};

/// The keys of an object with the text of their values. Null counts as absent.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    fields: Vec<(Cow<'a, str>, &'a str)>,
    /// The text of the whole object.
    pub(super) whole: &'a str,
}

impl<'a> Fields<'a> {
    /// Reads the object that is next.
    pub(super) fn read(text: &mut Text<'a>) -> Result<Self, JsonError> {
        if text.peek() != Some(b'{') {
            return Err(JsonError::Syntax { at: text.at(), expected: "a message: an object" });
        }
        let begin = text.at();
        text.enter()?;
        let mut fields = Vec::new();
        let mut keys = Keys::new();
        let mut first = true;
        while text.more(&mut first, b'}')? {
            let (at, key) = text.key()?;
            if !keys.insert(key.clone()) {
                return Err(JsonError::DuplicateKey { at });
            }
            fields.push((key, text.skip()?));
        }
        Ok(Self { fields, whole: text.since(begin) })
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        let (_, text) = self.fields.iter().find(|(key, _)| key == name)?;
        (*text != "null").then_some(*text)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.fields.iter().map(|(key, text)| (&**key, *text))
    }

    /// A body, as it is.
    pub(super) fn body(&self, name: &str) -> Option<Vec<u8>> {
        self.raw(name).map(|text| text.as_bytes().to_vec())
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&mut Text<'a>) -> Option<T>,
    ) -> Result<Option<T>, JsonError> {
        let Some(text) = self.raw(name) else { return Ok(None) };
        let value = Text::new(text.as_bytes(), 0).ok().and_then(|mut text| parse(&mut text));
        value.map(Some).ok_or(JsonError::Field { name, expected })
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, JsonError> {
        self.parsed(name, "text", |text| Some(text.string().ok()?.into_owned()))
    }

    /// An unsigned integer.
    pub(super) fn uint(&self, name: &'static str) -> Result<Option<u64>, JsonError> {
        self.parsed(name, "an unsigned integer", |text| match text.number() {
            Ok(Number::Unsigned(value)) => Some(value),
            _ => None,
        })
    }

    pub(super) fn bool(&self, name: &'static str) -> Result<Option<bool>, JsonError> {
        self.parsed(name, "true or false", |text| match () {
            () if text.word("true") => Some(true),
            () if text.word("false") => Some(false),
            () => None,
        })
    }

    pub(super) fn id(&self, name: &'static str) -> Result<Option<JsonId>, JsonError> {
        self.parsed(name, "text or an integer", |text| match text.peek()? {
            b'"' => Some(JsonId::Text(text.string().ok()?.into_owned())),
            _ => match text.number().ok()? {
                Number::Unsigned(value) => Some(JsonId::Integer(value.into())),
                Number::Negative(value) => Some(JsonId::Integer(value.into())),
                Number::Float(_) => None,
            },
        })
    }

    /// An object, as a MessagePack map; an empty map when absent.
    pub(super) fn map(&self, name: &'static str) -> Result<Vec<u8>, JsonError> {
        match self.raw(name) {
            None => Ok(vec![0x80]),
            Some(text) if text.starts_with('{') => match from_json(text.as_bytes())? {
                map if matches!(map.first(), Some(0x80..=0x8f | 0xde | 0xdf)) => Ok(map),
                _ => Err(JsonError::Field { name, expected: "an object" }),
            },
            Some(_) => Err(JsonError::Field { name, expected: "an object" }),
        }
    }
}

/// The value of a field that must be there.
pub(super) fn required<T>(
    value: Option<T>,
    name: &'static str,
    expected: &'static str,
) -> Result<T, JsonError> {
    value.ok_or(JsonError::Field { name, expected })
}
