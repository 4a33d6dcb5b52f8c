//! A method as its service has described it, and how the params of a call become the arguments of its handler.

use procall::{Encoding, Error, ErrorCode, FieldError, Params, Signature};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::pace::Pace;
use crate::convert;
use crate::error;

/// How a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A plain function.
    Plain,
    /// A generator function: its items are the answer.
    Generator,
    /// `async def`.
    Coroutine,
    /// `async def` with `yield`.
    AsyncGenerator,
}

impl Kind {
    pub(super) fn is_async(self) -> bool {
        matches!(self, Self::Coroutine | Self::AsyncGenerator)
    }
}

/// What a parameter takes, as bits; 0 takes anything.
const NONE: u32 = 1;
const BOOL: u32 = 1 << 1;
const INT: u32 = 1 << 2;
const FLOAT: u32 = 1 << 3;
const STR: u32 = 1 << 4;
const BYTES: u32 = 1 << 5;
const LIST: u32 = 1 << 6;
const DICT: u32 = 1 << 7;

/// Where an argument of the handler comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The params, at this place of the names.
    Params(usize),
    /// The context of the call.
    Context,
    /// The stream that the caller sends.
    Items,
}

struct Parameter {
    name: Py<PyString>,
    source: Source,
    keyword_only: bool,
    types: u32,
    /// What the types are called in errors.
    shown: String,
    /// Makes the value that the hint promises of the one that arrived; raises `ValueError`.
    convert: Option<Py<PyAny>>,
}

pub(super) struct Method {
    pub(super) name: String,
    pub(super) handler: Py<PyAny>,
    pub(super) kind: Kind,
    pub(super) pace: Pace,
    parameters: Vec<Parameter>,
    names: Vec<String>,
    required: Vec<bool>,
    takes_whole: bool,
    /// The handler has `*args` or `**kwargs`: Python binds for itself.
    open: bool,
}

/// The arguments for a handler.
pub(super) struct Arguments<'py> {
    pub(super) args: Bound<'py, PyTuple>,
    pub(super) kwargs: Option<Bound<'py, PyDict>>,
}

impl Method {
    /// Reads the description that `procall._service` makes.
    pub(super) fn from_python(description: &Bound<'_, PyAny>) -> PyResult<Self> {
        let kind: &str = &description.getattr("kind")?.extract::<String>()?;
        let mut names = Vec::new();
        let mut required = Vec::new();
        let mut parameters = Vec::new();
        for parameter in description.getattr("parameters")?.try_iter()? {
            let parameter = parameter?;
            let name = parameter.getattr("name")?.cast_into::<PyString>()?;
            let source: String = parameter.getattr("source")?.extract()?;
            let source = match &*source {
                "context" => Source::Context,
                "items" => Source::Items,
                _ => {
                    names.push(name.to_str()?.to_owned());
                    required.push(parameter.getattr("required")?.extract()?);
                    Source::Params(names.len() - 1)
                }
            };
            parameters.push(Parameter {
                name: name.unbind(),
                source,
                keyword_only: parameter.getattr("keyword_only")?.extract()?,
                types: parameter.getattr("types")?.extract()?,
                shown: parameter.getattr("shown")?.extract()?,
                convert: parameter.getattr("convert")?.extract()?,
            });
        }
        Ok(Self {
            name: description.getattr("name")?.extract()?,
            handler: description.getattr("handler")?.unbind(),
            kind: match kind {
                "generator" => Kind::Generator,
                "coroutine" => Kind::Coroutine,
                "async_generator" => Kind::AsyncGenerator,
                _ => Kind::Plain,
            },
            pace: Pace::default(),
            parameters,
            names,
            required,
            takes_whole: description.getattr("takes_whole")?.extract()?,
            open: description.getattr("open")?.extract()?,
        })
    }

    pub(super) fn needs_context(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.source == Source::Context)
    }

    pub(super) fn needs_items(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.source == Source::Items)
    }

    /// Decodes params and places them. What is wrong with them is INVALID_ARGUMENT and names the argument.
    pub(super) fn bind<'py>(
        &self,
        py: Python<'py>,
        encoding: Encoding,
        body: &[u8],
        context: Option<&Bound<'py, PyAny>>,
        items: Option<&Bound<'py, PyAny>>,
    ) -> Result<Arguments<'py>, Error> {
        if self.open {
            return bind_open(py, encoding, body);
        }
        let signature = Signature {
            names: &self.names,
            required: &self.required,
            takes_whole: self.takes_whole,
        };
        let bound = Params::new(encoding, body)?.bind(signature)?;
        let raised = |raised: PyErr| internal(py, &raised);
        let mut positional = Vec::with_capacity(self.parameters.len());
        let mut kwargs: Option<Bound<'py, PyDict>> = None;
        // A parameter was left to its default; those after it go by name.
        let mut gap = false;
        for parameter in &self.parameters {
            let value = match parameter.source {
                Source::Context => context.cloned(),
                Source::Items => items.cloned(),
                Source::Params(at) => match bound.value(at) {
                    Some(bytes) => {
                        Some(parameter.value(py, bytes, &self.names[at], || bound.path(at))?)
                    }
                    None => None,
                },
            };
            match value {
                Some(value) if !gap && !parameter.keyword_only => positional.push(value),
                Some(value) => {
                    let kwargs = kwargs.get_or_insert_with(|| PyDict::new(py));
                    kwargs.set_item(parameter.name.bind(py), value).map_err(raised)?;
                }
                None => gap = true,
            }
        }
        let args = PyTuple::new(py, positional).map_err(raised)?;
        Ok(Arguments { args, kwargs })
    }
}

/// Whatever is there, for a handler that takes whatever is there.
fn bind_open<'py>(
    py: Python<'py>,
    encoding: Encoding,
    body: &[u8],
) -> Result<Arguments<'py>, Error> {
    let value = convert::decode(py, encoding, body)
        .map_err(|refusal| error::refused(&refusal, "argument"))?;
    if let Ok(list) = value.cast::<PyList>() {
        return Ok(Arguments { args: list.to_tuple(), kwargs: None });
    }
    Ok(Arguments { args: PyTuple::empty(py), kwargs: value.cast_into::<PyDict>().ok() })
}

impl Parameter {
    fn value<'py>(
        &self,
        py: Python<'py>,
        bytes: &[u8],
        name: &str,
        path: impl Fn() -> String,
    ) -> Result<Bound<'py, PyAny>, Error> {
        let wrong = |path: String, message: String| {
            Error::new(ErrorCode::InvalidArgument, format!("argument {name} {message}"))
                .with_fields(vec![FieldError { path, message }])
        };
        let value = convert::decode_checked(py, bytes).map_err(|refusal| {
            wrong(path() + &refusal.pointer(), refusal.describe("").trim_start().to_owned())
        })?;
        if self.types != 0 && kind_of(&value) & self.types == 0 {
            let given =
                value.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            return Err(wrong(path(), format!("must be {}, not {given}", self.shown)));
        }
        match &self.convert {
            None => Ok(value),
            Some(convert) => convert.bind(py).call1((value,)).map_err(|raised| {
                let message = raised
                    .value(py)
                    .str()
                    .map_or_else(|_| "is wrong".to_owned(), |text| text.to_string());
                wrong(path(), message)
            }),
        }
    }
}

fn internal(py: Python<'_>, raised: &PyErr) -> Error {
    Error::new(ErrorCode::Internal, error::one_line(py, raised))
}

/// The bit of a value that arrived.
fn kind_of(value: &Bound<'_, PyAny>) -> u32 {
    if value.is_exact_instance_of::<PyInt>() {
        // A float may be written without its point, and an int is as good as a float wherever one is wanted.
        INT | FLOAT
    } else if value.is_exact_instance_of::<PyString>() {
        STR
    } else if value.is_exact_instance_of::<PyFloat>() {
        FLOAT
    } else if value.is_none() {
        NONE
    } else if value.is_exact_instance_of::<PyBool>() {
        BOOL
    } else if value.is_exact_instance_of::<PyList>() {
        LIST
    } else if value.is_exact_instance_of::<PyDict>() {
        DICT
    } else if value.is_exact_instance_of::<PyBytes>() {
        BYTES
    } else {
        0
    }
}
