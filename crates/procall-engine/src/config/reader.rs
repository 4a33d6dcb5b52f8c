//! Values with their places: every mistake is told with its line, all of them at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use procall::transport::Address;
use procall::{Error, similar};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::units::parse_duration;

pub(super) type Key<'a> = Spanned<DeString<'a>>;
pub(super) type Item<'a> = Spanned<DeValue<'a>>;

/// Mistakes that are told; more would not be read.
const MAX_TOLD: usize = 16;

/// A table, and what it is called.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) name: String,
    pub(super) entries: &'a DeTable<'a>,
}

/// Reads one file.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    wrong: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text, wrong: Vec::new() }
    }

    pub(super) fn document(&mut self) -> Option<DeTable<'a>> {
        match DeTable::parse(self.text) {
            Ok(document) => Some(document.into_inner()),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.complain(at, error.message().to_owned());
                None
            }
        }
    }

    /// Tells all mistakes, if there are any.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.wrong.sort_by_key(|(line, _)| *line);
        let more = self.wrong.len().saturating_sub(MAX_TOLD);
        let shown = self.wrong.iter().take(MAX_TOLD);
        let mut lines: Vec<String> = shown
            .map(|(line, message)| format!("{}:{line}: {message}", self.path.display()))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        Err(Error::invalid(lines.join("\n")))
    }

    /// The entries of a table as they stand in the file.
    pub(super) fn in_order<'t, 'd>(
        &self,
        table: &'t DeTable<'d>,
    ) -> Vec<(&'t Key<'d>, &'t Item<'d>)> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    pub(super) fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
    }

    pub(super) fn complain(&mut self, at: usize, message: String) {
        let line = self.line(at);
        self.wrong.push((line, message));
    }

    pub(super) fn unknown(&mut self, table: &str, key: &Key<'_>, known: &[&str]) {
        let name = key.get_ref();
        let near = similar(name, known.iter().copied());
        let hint = match &*near {
            [] => format!(": there are {}", known.join(", ")),
            names => format!("; did you mean {}?", names.join(" or ")),
        };
        let message = format!("{table} has no key \"{}\"{hint}", name.escape_debug());
        self.complain(key.span().start, message);
    }

    fn mistaken<T>(&mut self, key: &str, value: &Item<'_>, wanted: &str) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(text) => format!("\"{}\"", text.escape_debug()),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(truth) => truth.to_string(),
            other => format!("a value of type {}", other.type_str()),
        };
        self.complain(value.span().start, format!("{key} is {wanted}, not {found}"));
        None
    }

    /// A value that was understood, or why not.
    pub(super) fn checked<T>(&mut self, value: &Item<'_>, read: Result<T, Error>) -> Option<T> {
        read.map_err(|error| self.complain(value.span().start, error.message().to_owned())).ok()
    }

    pub(super) fn table<'t>(&mut self, name: &str, value: &'t Item<'t>) -> Option<Table<'t>> {
        match value.get_ref() {
            DeValue::Table(entries) => Some(Table { name: name.to_owned(), entries }),
            _ => self.mistaken(name, value, "a table"),
        }
    }

    pub(super) fn text(&mut self, key: &str, value: &Item<'_>, wanted: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if !text.contains('\0') => Some(text.to_string()),
            _ => self.mistaken(key, value, wanted),
        }
    }

    pub(super) fn texts(
        &mut self,
        key: &str,
        value: &Item<'_>,
        wanted: &str,
    ) -> Option<Vec<String>> {
        let DeValue::Array(items) = value.get_ref() else {
            return self.mistaken(key, value, &format!("a list: {wanted}"));
        };
        items
            .iter()
            .map(|item| self.text(&format!("each entry of {key}"), item, "a text"))
            .collect()
    }

    pub(super) fn truth(&mut self, key: &str, value: &Item<'_>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            _ => self.mistaken(key, value, "true or false"),
        }
    }

    /// A whole number that is no less than the least.
    pub(super) fn count(&mut self, key: &str, value: &Item<'_>, least: usize) -> Option<usize> {
        match integer(value).and_then(|number| usize::try_from(number).ok()) {
            Some(number) if number >= least => Some(number),
            _ => self.mistaken(key, value, &format!("a whole number from {least} on")),
        }
    }

    pub(super) fn duration(&mut self, key: &str, value: &Item<'_>) -> Option<Duration> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(_) => integer(value)?.to_string(),
            DeValue::Float(number) => number.as_str().to_owned(),
            _ => return self.mistaken(key, value, "a time such as \"500ms\", \"5s\" or \"2m\""),
        };
        let read = parse_duration(&text)
            .map_err(|error| Error::invalid(format!("{key}: {}", error.message())));
        self.checked(value, read)
    }

    pub(super) fn bytes(&mut self, key: &str, value: &Item<'_>) -> Option<u64> {
        match value.get_ref() {
            DeValue::Integer(_) => match integer(value).and_then(|bytes| u64::try_from(bytes).ok())
            {
                Some(bytes) if bytes > 0 => Some(bytes),
                _ => self.mistaken(key, value, "a number of bytes"),
            },
            DeValue::String(text) => {
                let read = procall_pool::parse_bytes(text);
                let read =
                    read.map_err(|error| Error::invalid(format!("{key}: {}", error.message())));
                self.checked(value, read)
            }
            _ => self.mistaken(key, value, "an amount of memory such as \"512MiB\""),
        }
    }

    pub(super) fn fraction(&mut self, key: &str, value: &Item<'_>) -> Option<f64> {
        let number = match value.get_ref() {
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
            DeValue::Integer(_) => integer(value).map(|number| number as f64),
            _ => None,
        };
        match number.filter(|share| (0.0..=1.0).contains(share)) {
            Some(share) => Some(share),
            None => self.mistaken(key, value, "a number from 0 to 1"),
        }
    }

    /// A path; one that is not full counts from the folder of the file.
    pub(super) fn path(&mut self, key: &str, value: &Item<'_>) -> Option<PathBuf> {
        match self.text(key, value, "a path")? {
            text if text.is_empty() => self.mistaken(key, value, "a path"),
            text => Some(self.placed(&text)),
        }
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    pub(super) fn placed(&self, path: &str) -> PathBuf {
        self.folder().join(path)
    }

    pub(super) fn addresses(&mut self, value: &Item<'_>, texts: &[String]) -> Option<Vec<Address>> {
        let read = texts
            .iter()
            .map(|text| text.parse().map_err(|error| Error::invalid(format!("listen: {error}"))));
        self.checked(value, read.collect())
    }
}

fn integer(value: &Item<'_>) -> Option<i64> {
    match value.get_ref() {
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
        }
        _ => None,
    }
}
