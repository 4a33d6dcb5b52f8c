//! Params to arguments: by position or by name, with errors that name the argument.

use std::borrow::Cow;

use procall_proto::Encoding;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{Error, FieldError};

/// The arguments of a call, not yet decoded.
#[derive(Debug)]
pub struct Params<'a> {
    bytes: Cow<'a, [u8]>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Where each value lies.
    Positional(Vec<(usize, usize)>),
    /// Name and value: where each lies.
    Named(Vec<((usize, usize), (usize, usize))>),
}

const NIL: &[u8] = &[0xc0];

impl<'a> Params<'a> {
    /// Takes a call's params apart. They are checked for depth and length first.
    pub fn new(encoding: Encoding, bytes: &'a [u8]) -> Result<Self, Error> {
        if encoding == Encoding::None {
            return Ok(Self { bytes: Cow::Borrowed(NIL), form: Form::Positional(Vec::new()) });
        }
        let bytes = codec::to_msgpack(encoding, bytes)?;
        let mut at = 0;
        let (len, named) = head(&bytes, &mut at).ok_or_else(|| {
            Error::invalid("the arguments are one bare value; send an array (by position) or an object (by name)")
        })?;
        // The bytes are checked, so every value is there.
        let mut next = || {
            let start = at;
            at += procall_proto::wire::Reader::new(&bytes[at..]).skip_any().map_or(0, <[u8]>::len);
            (start, at)
        };
        let form = if named {
            Form::Named((0..len).map(|_| (next(), next())).collect())
        } else {
            Form::Positional((0..len).map(|_| next()).collect())
        };
        Ok(Self { bytes, form })
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Positional(values) => values.len(),
            Form::Named(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn slice(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.bytes[start..end]
    }

    fn key(&self, range: (usize, usize)) -> &str {
        procall_proto::wire::Reader::new(self.slice(range)).text("a name").unwrap_or_default()
    }

    /// Checks that the arguments fit a method with these parameter names; empty names can only be given by position.
    ///
    /// A sole parameter takes a whole object when none of the object's keys is its name.
    pub fn check(&self, names: &[String]) -> Result<(), Error> {
        match &self.form {
            Form::Positional(values) if values.len() > names.len() => {
                Err(Error::invalid(format!("{} expected, {} given", arguments(names.len()), values.len())))
            }
            Form::Positional(_) => Ok(()),
            Form::Named(_) if self.takes_whole(names) => Ok(()),
            Form::Named(entries) => {
                let unknown: Vec<&str> =
                    entries.iter().map(|&(key, _)| self.key(key)).filter(|key| !names.iter().any(|name| name == key)).collect();
                let Some(first) = unknown.first() else { return Ok(()) };
                let candidates = super::similar(first, names.iter().map(String::as_str));
                let hint = match candidates.first() {
                    Some(name) => format!("; did you mean {name}?"),
                    None => format!("; it takes {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }),
                };
                let fields = unknown
                    .iter()
                    .map(|name| FieldError { path: (*name).to_owned(), message: "unknown argument".to_owned() })
                    .collect();
                Err(Error::invalid(format!("unknown argument {first}{hint}"))
                    .with_fields(fields)
                    .with_candidates(candidates))
            }
        }
    }

    fn takes_whole(&self, names: &[String]) -> bool {
        match &self.form {
            Form::Named(entries) => {
                names.len() == 1 && !entries.is_empty() && !entries.iter().any(|&(key, _)| self.key(key) == names[0])
            }
            Form::Positional(_) => false,
        }
    }

    /// Decodes the argument at a place. A missing one is nil, which only optional types accept.
    pub fn argument<T: DeserializeOwned>(&self, names: &[String], at: usize) -> Result<T, Error> {
        let name = names.get(at).map(String::as_str).unwrap_or_default();
        let given = match &self.form {
            Form::Positional(values) => values.get(at).map(|&range| self.slice(range)),
            Form::Named(_) if self.takes_whole(names) => Some(&*self.bytes),
            Form::Named(entries) => {
                entries.iter().find(|&&(key, _)| self.key(key) == name).map(|&(_, value)| self.slice(value))
            }
        };
        let shown = if name.is_empty() { format!("#{}", at + 1) } else { name.to_owned() };
        codec::decode_checked(given.unwrap_or(NIL)).map_err(|error| {
            let message = if given.is_some() { error.to_string() } else { "missing".to_owned() };
            Error::invalid(format!("argument {shown}: {message}"))
                .with_fields(vec![FieldError { path: shown, message }])
        })
    }
}

fn arguments(count: usize) -> String {
    match count {
        1 => "1 argument".to_owned(),
        count => format!("{count} arguments"),
    }
}

/// The length of the array or map that checked bytes begin with, and whether it is a map.
fn head(bytes: &[u8], at: &mut usize) -> Option<(usize, bool)> {
    let mut reader = procall_proto::wire::Reader::new(bytes);
    let (len, named) = match bytes.first()? {
        0xc0 => (0, false),
        0x80..=0x8f | 0xde | 0xdf => (reader.map().ok()?, true),
        0x90..=0x9f | 0xdc | 0xdd => (reader.array().ok()?, false),
        _ => return None,
    };
    *at = bytes.len() - reader.rest().len();
    Some((len, named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use procall_proto::ErrorCode;

    fn params(value: impl serde::Serialize) -> Params<'static> {
        let bytes = codec::encode(&value).unwrap();
        Params::new(Encoding::Msgpack, Box::leak(bytes.into_boxed_slice())).unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Point {
        x: i64,
        y: i64,
    }

    #[test]
    fn by_position_and_by_name_give_the_same() {
        let names = names(&["a", "b"]);
        for params in [params((1, "x")), params(serde_json::json!({"b": "x", "a": 1}))] {
            params.check(&names).unwrap();
            assert_eq!(params.argument::<i64>(&names, 0).unwrap(), 1);
            assert_eq!(params.argument::<String>(&names, 1).unwrap(), "x");
        }
    }

    #[test]
    fn nil_is_no_arguments() {
        assert!(params(()).is_empty());
        assert!(Params::new(Encoding::None, &[]).unwrap().is_empty());
    }

    #[test]
    fn a_bare_value_is_refused() {
        let error = Params::new(Encoding::Msgpack, &[7]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn a_sole_parameter_takes_the_whole_object_unless_a_key_is_its_name() {
        let point = Point { x: 1, y: 2 };
        let whole = params(&point);
        whole.check(&names(&["point"])).unwrap();
        assert_eq!(whole.argument::<Point>(&names(&["point"]), 0).unwrap(), point);
        let named = params(serde_json::json!({"point": {"x": 1, "y": 2}}));
        named.check(&names(&["point"])).unwrap();
        assert_eq!(named.argument::<Point>(&names(&["point"]), 0).unwrap(), point);
    }

    #[test]
    fn the_wrong_argument_is_named() {
        let error = params((1, true)).argument::<String>(&names(&["a", "b"]), 1).unwrap_err();
        assert_eq!(error.fields()[0].path, "b");
        let error = params((1,)).argument::<String>(&names(&["a", "b"]), 1).unwrap_err();
        assert!(error.message().contains("argument b: missing"), "{error}");
        assert_eq!(params((1,)).argument::<Option<String>>(&names(&["a", "b"]), 1).unwrap(), None);
    }

    #[test]
    fn too_many_and_unknown_are_refused() {
        let error = params((1, 2, 3)).check(&names(&["a", "b"])).unwrap_err();
        assert!(error.message().contains("2 arguments expected, 3 given"), "{error}");
        let error = params(serde_json::json!({"a": 1, "bb": 2})).check(&names(&["a", "b"])).unwrap_err();
        assert_eq!(error.fields()[0].path, "bb");
        assert_eq!(error.candidates(), ["b"]);
    }
}
