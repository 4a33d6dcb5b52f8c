//! Params to arguments: by position or by name, with errors that name the argument.

use std::borrow::Cow;
use std::collections::HashSet;

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
        if encoding == Encoding::Raw {
            // One positional argument, the bytes.
            let form = Form::Positional(vec![(0, bytes.len())]);
            return Ok(Self { bytes, form });
        }
        let mut at = 0;
        let (len, named) = head(&bytes, &mut at).ok_or_else(|| {
            let message = "the arguments are one bare value; send an array (by position) or an object (by name)";
            let field = FieldError { path: String::new(), message: "a bare value".to_owned() };
            Error::invalid(message).with_fields(vec![field])
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
        let params = Self { bytes, form };
        params.check_names()?;
        Ok(params)
    }

    /// A name that stands twice would leave one of its values unseen.
    fn check_names(&self) -> Result<(), Error> {
        let Form::Named(entries) = &self.form else { return Ok(()) };
        let mut seen = HashSet::with_capacity(entries.len());
        match entries.iter().map(|&(key, _)| self.key(key)).find(|name| !seen.insert(*name)) {
            None => Ok(()),
            Some(name) => {
                let field =
                    FieldError { path: codec::pointer(name), message: "stands twice".to_owned() };
                Err(Error::invalid(format!("the argument {name:?} stands twice"))
                    .with_fields(vec![field]))
            }
        }
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

    /// The whole of the params, as MessagePack.
    #[cfg(feature = "schema")]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The values, when they are given by position.
    #[cfg(feature = "schema")]
    pub(super) fn positional(&self) -> Option<Vec<&[u8]>> {
        match &self.form {
            Form::Positional(values) => {
                Some(values.iter().map(|&range| self.slice(range)).collect())
            }
            Form::Named(_) => None,
        }
    }

    fn slice(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.bytes[start..end]
    }

    fn key(&self, range: (usize, usize)) -> &str {
        procall_proto::wire::Reader::new(self.slice(range)).text("a name").unwrap_or_default()
    }

    /// Binds the arguments to the parameters of a method; all that is wrong with them is told at once.
    ///
    /// ```
    /// use procall::{Encoding, Params, Signature};
    ///
    /// let names = ["a".to_owned(), "b".to_owned()];
    /// let signature = Signature { names: &names, required: &[true, false], takes_whole: false };
    /// let bound = Params::new(Encoding::Json, br#"{"a": 1}"#)?.bind(signature)?;
    /// assert_eq!(bound.argument::<i64>(0)?, 1);
    /// assert_eq!(bound.value(1), None);
    ///
    /// let error = Params::new(Encoding::Json, br#"{"aa": 1}"#)?.bind(signature).unwrap_err();
    /// let paths: Vec<&str> = error.fields().iter().map(|field| &*field.path).collect();
    /// assert_eq!(paths, ["/a", "/aa"]);
    /// # Ok::<(), procall::Error>(())
    /// ```
    pub fn bind(self, signature: Signature<'a>) -> Result<Bound<'a>, Error> {
        let names = signature.names;
        let whole = signature.takes_whole && names.len() == 1 && self.leaves_out(names);
        let bound = Bound { params: self, signature, whole };
        let missing: Vec<usize> = (0..names.len())
            .filter(|&at| {
                signature.required.get(at).is_none_or(|required| *required)
                    && bound.value(at).is_none()
            })
            .collect();
        let unknown = if whole { Unknown::default() } else { bound.params.unknown(names) };
        if missing.is_empty() && unknown.paths.is_empty() {
            return Ok(bound);
        }
        let mut fields = bound.params.missing_fields(names, &missing);
        fields.extend(
            unknown
                .paths
                .into_iter()
                .map(|path| FieldError { path, message: unknown.message.to_owned() }),
        );
        let says = unknown.sentence.unwrap_or_else(|| says_missing(names, &missing));
        Err(Error::invalid(says).with_fields(fields).with_candidates(unknown.candidates))
    }

    fn lookup(&self, names: &[String], whole: bool, at: usize) -> Option<&[u8]> {
        match &self.form {
            Form::Positional(values) => values.get(at).map(|&range| self.slice(range)),
            Form::Named(_) if whole => (at == 0).then_some(&*self.bytes),
            Form::Named(entries) => {
                let name = names.get(at)?;
                entries
                    .iter()
                    .find(|&&(key, _)| self.key(key) == name)
                    .map(|&(_, value)| self.slice(value))
            }
        }
    }

    fn missing_fields(&self, names: &[String], missing: &[usize]) -> Vec<FieldError> {
        let field = |&at| FieldError { path: self.path(names, at), message: "missing".to_owned() };
        missing.iter().map(field).collect()
    }

    /// Whether this is an object in which no key is the sole parameter's name.
    pub(super) fn leaves_out(&self, names: &[String]) -> bool {
        match &self.form {
            Form::Named(entries) => !entries.iter().any(|&(key, _)| self.key(key) == names[0]),
            Form::Positional(_) => false,
        }
    }

    /// What is given and belongs to no parameter.
    fn unknown(&self, names: &[String]) -> Unknown {
        match &self.form {
            Form::Positional(values) if values.len() > names.len() => Unknown {
                paths: (names.len()..values.len()).map(|at| format!("/{at}")).collect(),
                message: "one argument too many",
                sentence: Some(format!(
                    "{} expected, {} given",
                    arguments(names.len()),
                    values.len()
                )),
                candidates: Vec::new(),
            },
            Form::Positional(_) => Unknown::default(),
            Form::Named(entries) => {
                let unknown: Vec<&str> = entries
                    .iter()
                    .map(|&(key, _)| self.key(key))
                    .filter(|key| !names.iter().any(|name| name == key))
                    .collect();
                let Some(first) = unknown.first() else { return Unknown::default() };
                let candidates = super::similar(first, names.iter().map(String::as_str));
                let hint = match (candidates.first(), names) {
                    (Some(name), _) => format!("; did you mean {name}?"),
                    (None, []) => "; it takes none".to_owned(),
                    (None, names) => format!("; it takes {}", names.join(", ")),
                };
                Unknown {
                    paths: unknown.iter().map(|name| codec::pointer(name)).collect(),
                    message: "unknown argument",
                    sentence: Some(format!("unknown argument {first}{hint}")),
                    candidates,
                }
            }
        }
    }

    /// Where an argument is, or would be: a JSON pointer into the params.
    pub fn path(&self, names: &[String], at: usize) -> String {
        match (&self.form, names.get(at)) {
            (Form::Named(_), Some(name)) => codec::pointer(name),
            _ => format!("/{at}"),
        }
    }
}

/// What is known of a method's parameters when a call is bound to them.
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    /// Their names in their order; an empty one can only be given by position.
    pub names: &'a [String],
    /// Which of them have no default, in the same order. One that is not listed is required.
    pub required: &'a [bool],
    /// The only parameter is a struct: it takes a whole object in which no key is its name.
    pub takes_whole: bool,
}

/// The arguments of a call, each at its parameter's place; see [`Params::bind`].
#[derive(Debug)]
pub struct Bound<'a> {
    params: Params<'a>,
    signature: Signature<'a>,
    whole: bool,
}

impl Bound<'_> {
    /// The argument at a place as MessagePack; `None` when it was left out. For languages that decode for themselves.
    pub fn value(&self, at: usize) -> Option<&[u8]> {
        self.params.lookup(self.signature.names, self.whole, at)
    }

    /// Where the argument at a place is, or would be: a JSON pointer into the params.
    pub fn path(&self, at: usize) -> String {
        if self.whole { String::new() } else { self.params.path(self.signature.names, at) }
    }

    /// Decodes the argument at a place. One that was left out is nil, which only optional types accept.
    pub fn argument<T: DeserializeOwned>(&self, at: usize) -> Result<T, Error> {
        let given = self.value(at);
        codec::decode_checked(given.unwrap_or(NIL)).map_err(|error| {
            let names = self.signature.names;
            let (inner, message) = match given {
                Some(bytes) => {
                    codec::misfit::<T>(bytes).unwrap_or_else(|| (String::new(), error.to_string()))
                }
                None => (String::new(), "missing".to_owned()),
            };
            let place = format!("{}{}", shown(names, at), inner.replace('/', "."));
            let path = self.path(at) + &inner;
            Error::invalid(format!("argument {place}: {message}"))
                .with_fields(vec![FieldError { path, message }])
        })
    }
}

fn says_missing(names: &[String], missing: &[usize]) -> String {
    let shown: Vec<String> = missing.iter().map(|&at| shown(names, at)).collect();
    let word = if shown.len() == 1 { "argument" } else { "arguments" };
    format!("{word} {}: missing", shown.join(", "))
}

#[derive(Default)]
struct Unknown {
    paths: Vec<String>,
    message: &'static str,
    sentence: Option<String>,
    candidates: Vec<String>,
}

/// How an argument is called in sentences: by its name, or by its number where it has none.
fn shown(names: &[String], at: usize) -> String {
    match names.get(at) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => format!("#{}", at + 1),
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

    /// Parameters with these names, all required.
    fn signature(names: &[&str], takes_whole: bool) -> Signature<'static> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Signature { names: names.leak(), required: &[], takes_whole }
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Point {
        x: i64,
        y: i64,
    }

    #[test]
    fn by_position_and_by_name_give_the_same() {
        for params in [params((1, "x")), params(serde_json::json!({"b": "x", "a": 1}))] {
            let bound = params.bind(signature(&["a", "b"], false)).unwrap();
            assert_eq!(bound.argument::<i64>(0).unwrap(), 1);
            assert_eq!(bound.argument::<String>(1).unwrap(), "x");
        }
    }

    #[test]
    fn nil_is_no_arguments() {
        assert!(params(()).is_empty());
        assert!(Params::new(Encoding::None, &[]).unwrap().is_empty());
    }

    #[test]
    fn a_raw_body_is_one_argument() {
        let params = Params::new(Encoding::Raw, b"abc").unwrap();
        assert_eq!(params.len(), 1);
        let bound = params.bind(signature(&["bytes"], false)).unwrap();
        assert_eq!(bound.value(0), Some(&b"\xc4\x03abc"[..]));
    }

    #[test]
    fn a_struct_takes_the_whole_object_unless_a_key_is_its_name() {
        let point = Point { x: 1, y: 2 };
        let named = params(serde_json::json!({"point": {"x": 1, "y": 2}}));
        for params in [params(&point), named] {
            let bound = params.bind(signature(&["point"], true)).unwrap();
            assert_eq!(bound.argument::<Point>(0).unwrap(), point);
        }
        let error = params(&point).bind(signature(&["number"], false)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn the_wrong_argument_is_named() {
        let bound = params((1, true)).bind(signature(&["a", "b"], false)).unwrap();
        let error = bound.argument::<String>(1).unwrap_err();
        assert_eq!(error.fields()[0].path, "/1");
        assert!(error.message().starts_with("argument b: "), "{error}");
        let error = params((1,)).bind(signature(&["a", "b"], false)).unwrap_err();
        assert!(error.message().contains("argument b: missing"), "{error}");
        let optional = Signature { required: &[true, false], ..signature(&["a", "b"], false) };
        let bound = params((1,)).bind(optional).unwrap();
        assert_eq!(bound.argument::<Option<String>>(1).unwrap(), None);
    }

    #[test]
    fn too_many_and_unknown_are_refused() {
        let error = params((1, 2, 3)).bind(signature(&["a", "b"], false)).unwrap_err();
        assert!(error.message().contains("2 arguments expected, 3 given"), "{error}");
        let wrong = params(serde_json::json!({"a": 1, "bb": 2}));
        let error = wrong.bind(signature(&["a", "b"], false)).unwrap_err();
        assert_eq!(error.fields()[1].path, "/bb");
        assert_eq!(error.candidates(), ["b"]);
    }
}
