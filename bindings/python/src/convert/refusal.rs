//! Why a value cannot cross, and where in it the culprit is.

use std::fmt;

use pyo3::prelude::*;

/// A value that cannot be sent or read. The path grows from the inside out while the recursion unwinds.
#[derive(Debug)]
pub(crate) struct Refusal {
    path: Vec<Segment>,
    message: String,
}

#[derive(Debug)]
enum Segment {
    Index(usize),
    Key(String),
}

impl Refusal {
    /// The message goes on from "the value": "is ...", "has ...".
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), message: message.into() }
    }

    /// What a piece of Python code raised while its value was looked at.
    pub(crate) fn raised(py: Python<'_>, error: &PyErr) -> Self {
        Self::new(format!("cannot be read: {}", crate::error::one_line(py, error)))
    }

    pub(crate) fn at(mut self, index: usize) -> Self {
        self.path.push(Segment::Index(index));
        self
    }

    pub(crate) fn under(mut self, key: &str) -> Self {
        self.path.push(Segment::Key(key.to_owned()));
        self
    }

    /// The argument that it is in, when the value is a tuple of arguments; it is then called `name` of that place.
    pub(crate) fn in_argument(mut self, name: impl FnOnce(usize) -> String) -> Self {
        if let Some(Segment::Index(at)) = self.path.last() {
            let name = name(*at);
            self.path.pop();
            self.path.push(Segment::Key(name));
        }
        self
    }

    /// Where it is, as in `user.tags[3]`; empty for the value itself.
    pub(crate) fn path(&self) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        for segment in self.path.iter().rev() {
            let plain =
                |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_');
            // Writing to a string cannot fail.
            let _ = match segment {
                Segment::Index(index) => write!(text, "[{index}]"),
                Segment::Key(key) if plain(key) && text.is_empty() => write!(text, "{key}"),
                Segment::Key(key) if plain(key) => write!(text, ".{key}"),
                Segment::Key(key) => write!(text, "[{key:?}]"),
            };
        }
        text
    }

    /// Where it is as a JSON pointer (RFC 6901), as in `/user/tags/3`.
    pub(crate) fn pointer(&self) -> String {
        let segments = self.path.iter().rev().map(|segment| match segment {
            Segment::Index(index) => format!("/{index}"),
            Segment::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        });
        segments.collect()
    }

    /// What is wrong, without the place.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// "`what` path message", as in "the result user.tags[3] is a set, ...".
    pub(crate) fn describe(&self, what: &str) -> String {
        match &*self.path() {
            "" => format!("{what} {}", self.message),
            path if path.starts_with('[') => format!("{what}{path} {}", self.message),
            path => format!("{what} {path} {}", self.message),
        }
    }
}
