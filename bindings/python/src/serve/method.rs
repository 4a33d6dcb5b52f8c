//! A method as its service has described it, and how the params of a call become the arguments of its handler.

use std::sync::Arc;

use procall::{Encoding, Error, ErrorCode, FieldError, Lent, Params, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::outcome::Outcome;
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
    positional_only: bool,
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
    pub(super) outcome: Arc<Outcome>,
    /// `procall._signature.Description`: binds what is not bound here, and finds all that is wrong with params.
    description: Py<PyAny>,
    parameters: Vec<Parameter>,
    names: Vec<String>,
    required: Vec<bool>,
    takes_whole: bool,
    /// The handler has `*args` or `**kwargs`, or takes the params as one model: the description binds.
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
                positional_only: parameter.getattr("positional_only")?.extract()?,
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
            outcome: Arc::new(Outcome::from_python(description)?),
            description: description.clone().unbind(),
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
        params: Raw<'_>,
        context: Option<&Bound<'py, PyAny>>,
        items: Option<&Bound<'py, PyAny>>,
    ) -> Result<Arguments<'py>, Error> {
        if self.open {
            return self.bind_open(py, params, context, items);
        }
        self.bind_known(py, params, context, items)
            .map_err(|error| self.with_all_fields(py, params, error))
    }

    fn bind_known<'py>(
        &self,
        py: Python<'py>,
        params: Raw<'_>,
        context: Option<&Bound<'py, PyAny>>,
        items: Option<&Bound<'py, PyAny>>,
    ) -> Result<Arguments<'py>, Error> {
        let signature = Signature {
            names: &self.names,
            required: &self.required,
            takes_whole: self.takes_whole,
        };
        let bound = Params::new(params.encoding, params.bytes)?.bind(signature)?;
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
                        Some(parameter.value(py, bytes, params.lent, || bound.path(at))?)
                    }
                    None => None,
                },
            };
            match value {
                Some(value) if !gap && !parameter.keyword_only => positional.push(value),
                Some(_) if parameter.positional_only => return Err(parameter.after_gap(py)),
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

    /// The description binds: its handler takes more than the names of its parameters say.
    fn bind_open<'py>(
        &self,
        py: Python<'py>,
        params: Raw<'_>,
        context: Option<&Bound<'py, PyAny>>,
        items: Option<&Bound<'py, PyAny>>,
    ) -> Result<Arguments<'py>, Error> {
        let (args, kwargs) = given(py, params)?;
        let bound = self
            .description
            .call_method1(py, intern!(py, "bind"), (args, kwargs, context, items))
            .and_then(|bound| {
                bound.extract::<(Py<PyTuple>, Py<PyDict>, Vec<(String, String)>)>(py)
            });
        let (args, kwargs, wrong) = bound.map_err(|raised| internal(py, &raised))?;
        if wrong.is_empty() {
            let kwargs = Some(kwargs.into_bound(py)).filter(|kwargs| !kwargs.is_empty());
            return Ok(Arguments { args: args.into_bound(py), kwargs });
        }
        let message = summary(&wrong);
        Err(Error::new(ErrorCode::InvalidArgument, message).with_fields(fields(wrong)))
    }

    /// An error about params, with everything that is wrong with them.
    fn with_all_fields(&self, py: Python<'_>, params: Raw<'_>, error: Error) -> Error {
        let Ok((args, kwargs)) = given(py, params) else { return error };
        let none = py.None();
        let wrong = self
            .description
            .call_method1(py, intern!(py, "bind"), (args, kwargs, &none, &none))
            .and_then(|bound| bound.extract::<(Py<PyAny>, Py<PyAny>, Vec<(String, String)>)>(py));
        match wrong {
            Ok((_, _, wrong)) if wrong.len() >= error.fields().len() => {
                error.with_fields(fields(wrong))
            }
            // The first error is one that only the native half sees.
            _ => error,
        }
    }
}

/// The params of a call as they came.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) encoding: Encoding,
    pub(super) bytes: &'a [u8],
    pub(super) lent: &'a Lent,
}

/// Params as positional and named arguments.
fn given<'py>(
    py: Python<'py>,
    params: Raw<'_>,
) -> Result<(Bound<'py, PyTuple>, Bound<'py, PyDict>), Error> {
    // Says what is wrong with params that are neither an array nor an object.
    Params::new(params.encoding, params.bytes)?;
    let value = convert::decode_lent(py, params.encoding, params.bytes, params.lent)
        .map_err(|refusal| error::refused(&refusal, "argument"))?;
    if let Ok(list) = value.cast::<PyList>() {
        return Ok((list.to_tuple(), PyDict::new(py)));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        let args = PyTuple::new(py, [bytes]).map_err(|raised| internal(py, &raised))?;
        return Ok((args, PyDict::new(py)));
    }
    let kwargs = value.cast_into::<PyDict>().unwrap_or_else(|_| PyDict::new(py));
    Ok((PyTuple::empty(py), kwargs))
}

pub(super) fn fields(wrong: Vec<(String, String)>) -> Vec<FieldError> {
    wrong.into_iter().map(|(path, message)| FieldError { path, message }).collect()
}

fn summary(wrong: &[(String, String)]) -> String {
    let (path, message) = &wrong[0];
    let path = path.trim_start_matches('/').replace('/', ".");
    let more = match wrong.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    if path.is_empty() {
        format!("the arguments: {message}{more}")
    } else {
        format!("argument {path}: {message}{more}")
    }
}

impl Parameter {
    /// One that Python takes by place only, while one before it is left out. The description knows where it is.
    fn after_gap(&self, py: Python<'_>) -> Error {
        let name = self.name.bind(py).to_string_lossy();
        let message = format!("argument {name} needs those before it");
        Error::new(ErrorCode::InvalidArgument, message)
    }

    fn value<'py>(
        &self,
        py: Python<'py>,
        bytes: &[u8],
        lent: &Lent,
        path: impl Fn() -> String,
    ) -> Result<Bound<'py, PyAny>, Error> {
        let wrong = |path: String, message: String| {
            let name = self.name.bind(py).to_string_lossy();
            Error::new(ErrorCode::InvalidArgument, format!("argument {name} {message}"))
                .with_fields(vec![FieldError { path, message }])
        };
        let value = convert::decode_checked(py, bytes, lent).map_err(|refusal| {
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
pub(super) fn kind_of(value: &Bound<'_, PyAny>) -> u32 {
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
