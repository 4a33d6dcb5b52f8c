//! Options as Python gives them. A mistake is told with the option's name, what it was, and what it can be.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use procall::{Error, ErrorCode, similar};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyMapping};

use crate::error;

/// Longer times are as good as this one, and sums of two of them still are times.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);
/// Letters of a wrong value that are shown.
const MAX_SHOWN: usize = 80;

/// Options that are taken one by one; what is left in the end, there is not. `None` is the same as absent.
pub(crate) struct Given<'py> {
    values: Bound<'py, PyDict>,
    known: Vec<&'static str>,
}

impl<'py> Given<'py> {
    pub(crate) fn new(values: &Bound<'py, PyDict>) -> Self {
        Self { values: values.clone(), known: Vec::new() }
    }

    pub(crate) fn take(&mut self, name: &'static str) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.known.push(name);
        Ok(self.values.get_item(name)?.filter(|value| !value.is_none()))
    }

    /// An option that `read` makes something of, if it is given.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&Bound<'py, PyAny>) -> Option<T>,
    ) -> PyResult<Option<T>> {
        match self.take(name)? {
            None => Ok(None),
            Some(value) => match read(&value) {
                Some(found) => Ok(Some(found)),
                None => Err(wrong(name, &value, wanted)),
            },
        }
    }

    pub(crate) fn text(&mut self, name: &'static str) -> PyResult<Option<String>> {
        self.read(name, "a text", |value| value.extract().ok())
    }

    pub(crate) fn path(&mut self, name: &'static str) -> PyResult<Option<PathBuf>> {
        self.read(name, "a path", |value| value.extract().ok())
    }

    pub(crate) fn texts(&mut self, name: &'static str) -> PyResult<Option<Vec<PathBuf>>> {
        self.read(name, "a list of texts", |value| value.extract().ok())
    }

    pub(crate) fn flag(&mut self, name: &'static str) -> PyResult<Option<bool>> {
        self.read(name, "True or False", |value| value.extract().ok())
    }

    pub(crate) fn variables(
        &mut self,
        name: &'static str,
    ) -> PyResult<Option<Vec<(OsString, OsString)>>> {
        self.read(name, "a dict of texts", |value| {
            value.cast::<PyMapping>().ok()?.items().ok()?.extract().ok()
        })
    }

    pub(crate) fn whole<T>(&mut self, name: &'static str) -> PyResult<Option<T>>
    where
        T: for<'a> FromPyObject<'a, 'py>,
    {
        self.read(name, "a whole number from 0", whole)
    }

    /// Seconds; infinity is for ever.
    pub(crate) fn seconds(&mut self, name: &'static str) -> PyResult<Option<Duration>> {
        self.read(name, "seconds from 0", |value| {
            let seconds: f64 = value.extract().ok()?;
            (seconds >= 0.0)
                .then(|| Duration::try_from_secs_f64(seconds).unwrap_or(FOR_EVER).min(FOR_EVER))
        })
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self, whose: &str) -> PyResult<()> {
        for name in self.values.keys() {
            let name: String = name.extract()?;
            if self.known.contains(&&*name) {
                continue;
            }
            let hint = match similar(&name, self.known.iter().copied()).first() {
                Some(candidate) => format!("did you mean {candidate}?"),
                None => format!("there are {}", self.known.join(", ")),
            };
            return Err(PyTypeError::new_err(format!("{whose} has no option {name}; {hint}")));
        }
        Ok(())
    }
}

/// A whole number that fits the type. `True` is none, although Python counts with it.
pub(crate) fn whole<'py, T>(value: &Bound<'py, PyAny>) -> Option<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    if value.is_instance_of::<PyBool>() { None } else { value.extract().ok() }
}

/// The error of an option whose value is nothing that it can be.
pub(crate) fn wrong(name: &str, value: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    let mut shown =
        value.repr().map_or_else(|_| "something".to_owned(), |text| text.to_string_lossy().into());
    if shown.len() > MAX_SHOWN {
        shown.truncate(shown.floor_char_boundary(MAX_SHOWN));
        shown.push_str("...");
    }
    error::invalid(value.py(), format!("{name} is {shown}: give {wanted}"))
}

/// The error of an option whose value the core reads.
pub(crate) fn refused(py: Python<'_>, name: &str, error: &Error) -> PyErr {
    let named = Error::new(ErrorCode::InvalidArgument, format!("{name}: {}", error.message()));
    error::raise(py, &named.with_candidates(error.candidates().to_vec()))
}
