//! What a service tells its peer about itself.

use procall_proto::Encoding;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Methods one registration may have.
const MAX_METHODS: usize = 1024;

/// What a peer serves: the answer to `methods()`, and the document of the wire's `register` message.
///
/// ```
/// use procall::Registration;
///
/// let registration = Registration { name: "calc".into(), ..Registration::default() };
/// assert!(registration.methods.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registration {
    /// The service's name.
    pub name: String,
    /// Its own version; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What it is for, in a sentence; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words to find it by; may be empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// An engine leaves out methods whose schemas cannot be used, and keeps the others; otherwise it refuses the whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quarantine: bool,
    /// Calls it works on at the same time; 0 when it does not say.
    pub concurrency: u32,
    /// Its methods.
    pub methods: Vec<MethodInfo>,
}

/// What is known of one method.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodInfo {
    /// Full name, such as `calc.add`.
    pub name: String,
    /// What it does; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Names of the parameters in their order, so that callers may send them either way; empty when they have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<String>,
    /// JSON Schema (2020-12) of the params: an object with one property an argument. One that takes any number of them by position has
    /// `items` for those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params_schema: Option<Value>,
    /// JSON Schema of the result, or of one item when the result is a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<Value>,
    /// The method may run more than once without harm.
    pub idempotent: bool,
    /// Which sides send a stream.
    pub shape: Shape,
    /// Errors of its own that callers may expect beside those of the registry; empty when it does not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<DeclaredError>,
}

/// An error of its own that a method declares: it arrives as HANDLER_ERROR, with this name as its type.
///
/// ```
/// use procall::{DeclaredError, Service};
///
/// let refused = DeclaredError { description: "The file is no image.".into(), ..DeclaredError::new("NotAnImage") };
/// let service = Service::new("images").method("width", |path: String| path.len()).errors("width", [refused]);
/// assert_eq!(service.registration().methods[0].errors[0].name, "NotAnImage");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeclaredError {
    /// What travels as the error's type: the name of a class, most often.
    pub name: String,
    /// When it arises; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema of the error's details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

impl DeclaredError {
    /// An error of which only the name is known.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// Which sides of a call send a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One value in, one value out.
    #[default]
    Unary,
    /// A stream of items out.
    ItemsOut,
    /// A stream of items in.
    ItemsIn,
    /// Streams both ways.
    Duplex,
}

impl Shape {
    /// What a method of this shape does, for people.
    pub const fn says(self) -> &'static str {
        match self {
            Self::Unary => "takes and returns single values",
            Self::ItemsOut => "returns a stream",
            Self::ItemsIn => "takes a stream",
            Self::Duplex => "takes and returns streams",
        }
    }

    /// The shape with these streams.
    pub const fn new(items_in: bool, items_out: bool) -> Self {
        match (items_in, items_out) {
            (false, false) => Self::Unary,
            (false, true) => Self::ItemsOut,
            (true, false) => Self::ItemsIn,
            (true, true) => Self::Duplex,
        }
    }

    /// Whether the caller sends a stream.
    pub const fn items_in(self) -> bool {
        matches!(self, Self::ItemsIn | Self::Duplex)
    }

    /// Whether the answer is a stream.
    pub const fn items_out(self) -> bool {
        matches!(self, Self::ItemsOut | Self::Duplex)
    }
}

impl Registration {
    pub(crate) fn decode(encoding: Encoding, bytes: &[u8]) -> Result<Self, String> {
        let registration: Self =
            crate::codec::decode(encoding, bytes).map_err(|error| error.message().to_owned())?;
        if registration.methods.len() > MAX_METHODS {
            return Err(format!(
                "{} methods are registered, the limit is {MAX_METHODS}",
                registration.methods.len()
            ));
        }
        let mut names: Vec<&str> =
            registration.methods.iter().map(|method| &*method.name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("method \"{}\" is registered twice", twice[0]));
        }
        match names.iter().find(|name| !is_name(name)) {
            Some(name) => Err(format!("\"{}\" is no method name", name.escape_default())),
            None => Ok(registration),
        }
    }
}

/// Whether a text can name a service or method: 1 to 255 bytes, no white space, no control characters.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
