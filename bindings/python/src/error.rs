//! Errors across the border: ours become exceptions, exceptions of handlers become ours.

use std::time::Duration;

use procall::{Error, ErrorCode, Executed, FieldError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTracebackMethods};

use crate::convert::{self, Refusal};

/// Longest traceback that travels, in bytes; the newest frames are kept. An error map must fit one chunk.
const MAX_TRACE: usize = 16 << 10;
/// Longest message that travels, in bytes.
const MAX_MESSAGE: usize = 4 << 10;

/// Most bytes of a declared exception's attributes; further ones stay here.
const MAX_DETAILS: usize = 24 << 10;
/// Longest class name that travels, in bytes.
const MAX_NAME: usize = 255;

/// The exception class of a code.
fn class_of(py: Python<'_>, code: ErrorCode) -> PyResult<Bound<'_, PyAny>> {
    static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let classes = CLASSES.import(py, "procall._errors", "CLASSES")?;
    classes.as_any().get_item(code.name())
}

/// The exception that stands for an error.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failed| failed, PyErr::from_value)
}

pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let facts = PyDict::new(py);
    facts.set_item("executed", error.executed().as_str())?;
    facts.set_item("retryable", error.is_retryable())?;
    facts.set_item("worker", error.worker())?;
    facts.set_item("remote_type", error.remote_type())?;
    facts.set_item("remote_traceback", error.trace())?;
    facts.set_item("retry_after", error.retry_after().map(|pause| pause.as_secs_f64()))?;
    if error.attempts() > 1 {
        facts.set_item("attempts", error.attempts())?;
    }
    if error.no_retry() {
        facts.set_item("no_retry", true)?;
    }
    if !error.fields().is_empty() {
        let fields = error.fields().iter().map(|field| (&field.path, &field.message));
        facts.set_item("fields", PyList::new(py, fields.collect::<Vec<_>>())?)?;
    }
    if !error.candidates().is_empty() {
        facts.set_item("candidates", error.candidates())?;
    }
    if !error.chain().is_empty() {
        facts.set_item("chain", error.chain())?;
    }
    if !error.raw_details().is_empty() {
        // Details that cannot be read are not worth losing the error for.
        let details = convert::decode(py, procall::Encoding::Msgpack, error.raw_details()).ok();
        facts.set_item("details", details)?;
    }
    let made = class_of(py, error.code())?.call((error.message(),), Some(&facts))?;
    match error.remote_type().filter(|_| !error.raw_details().is_empty()) {
        Some(name) => known(py, name, made),
        None => Ok(made),
    }
}

/// The exception of a class that the program has registered for this name, in place of `error`.
fn known<'py>(
    py: Python<'py>,
    name: &str,
    error: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let classes = KNOWN.import(py, "procall._errors", "REGISTERED")?;
    match classes.cast::<PyDict>()?.get_item(name)? {
        Some(make) => make.call1((error,)),
        None => Ok(error),
    }
}

/// A value of the caller's that cannot be sent.
pub(crate) fn refused(refusal: &Refusal, what: &str) -> Error {
    let field = FieldError { path: refusal.pointer(), message: refusal.message().to_owned() };
    Error::new(ErrorCode::InvalidArgument, refusal.describe(what)).with_fields(vec![field])
}

/// A result or item that arrived and breaks the rules for values.
pub(crate) fn unreadable(refusal: &Refusal) -> Error {
    Error::new(ErrorCode::ProtocolError, refusal.describe("the answer"))
        .with_executed(Executed::Yes)
}

/// A result or item of a handler that cannot be sent.
pub(crate) fn unsendable(refusal: &Refusal, what: &str) -> Error {
    let field = FieldError { path: refusal.pointer(), message: refusal.message().to_owned() };
    Error::new(ErrorCode::InvalidResult, refusal.describe(what)).with_fields(vec![field])
}

/// What a handler raised, as its caller will see it.
///
/// One of our exceptions that the handler made itself keeps its code; one that a nested call gave it is an error of the handler like any other.
/// An exception of a class in `raises` takes its public attributes along.
pub(crate) fn of_handler(
    py: Python<'_>,
    raised: &PyErr,
    raises: Option<&Bound<'_, PyAny>>,
) -> Error {
    let message = clip(&message_of(py, raised), MAX_MESSAGE).to_owned();
    let error = match own_code(py, raised) {
        Some(code) => own(py, raised, Error::new(code, message).with_executed(Executed::Yes)),
        None => Error::handler(type_of(py, raised), message),
    };
    let error = match raises.and_then(|raises| declared(py, raised, raises)) {
        Some((name, message, details)) => {
            let code = error.code();
            let message = message.map_or_else(
                || error.message().to_owned(),
                |message| clip(&message, MAX_MESSAGE).to_owned(),
            );
            let error =
                if code == ErrorCode::HandlerError { Error::handler(name, message) } else { error };
            error.with_raw_details(details)
        }
        None => error,
    };
    match trace_of(py, raised) {
        Some(trace) => error.with_trace(trace),
        None => error,
    }
}

/// What a handler has set on an exception of ours.
fn own(py: Python<'_>, raised: &PyErr, error: Error) -> Error {
    let value = raised.value(py);
    let pause = value.getattr(intern!(py, "retry_after")).and_then(|pause| pause.extract::<f64>());
    let error = match pause.ok().and_then(|pause| Duration::try_from_secs_f64(pause).ok()) {
        Some(pause) => error.with_retry_after(pause),
        None => error,
    };
    let forbidden = value.getattr(intern!(py, "no_retry")).and_then(|forbids| forbids.is_truthy());
    let error = if forbidden.unwrap_or_default() { error.with_no_retry() } else { error };
    let details = value.getattr(intern!(py, "details")).ok().filter(|details| !details.is_none());
    match details.and_then(|details| encoded(&details)) {
        Some(details) => error.with_raw_details(details),
        None => error,
    }
}

/// A declared exception: the name of its class, a better message where it has none, and its attributes.
fn declared(
    py: Python<'_>,
    raised: &PyErr,
    raises: &Bound<'_, PyAny>,
) -> Option<(String, Option<String>, Vec<u8>)> {
    if !raised.value(py).is_instance(raises).ok()? {
        return None;
    }
    let told = py
        .import(intern!(py, "procall._raised"))
        .and_then(|module| module.call_method1(intern!(py, "describe"), (raised.value(py), raises)))
        .and_then(|told| told.extract::<(String, Option<String>, Vec<(String, Py<PyAny>)>)>());
    let (name, message, attributes) = match told {
        Ok(told) => told,
        Err(failed) => {
            // The exception arrives all the same, with its class and message.
            failed.write_unraisable(py, Some(raised.value(py)));
            return None;
        }
    };
    let details = PyDict::new(py);
    let mut size = 0;
    for (name, value) in attributes {
        let value = value.bind(py);
        // What cannot be sent, or is too large, stays here.
        let Some(bytes) = encoded(value) else { continue };
        size += name.len() + bytes.len();
        if size > MAX_DETAILS {
            break;
        }
        details.set_item(name, value).ok()?;
    }
    Some((name, message, encoded(&details)?))
}

fn encoded(value: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    convert::encode(value, &mut bytes).ok()?;
    (bytes.len() <= MAX_DETAILS + (MAX_DETAILS >> 3)).then_some(bytes)
}

fn own_code(py: Python<'_>, raised: &PyErr) -> Option<ErrorCode> {
    let value = raised.value(py);
    let made_here = value.getattr_opt(intern!(py, "_procall_own")).ok()??;
    if !made_here.is_truthy().ok()? {
        return None;
    }
    let code: String = value.getattr(intern!(py, "code")).ok()?.extract().ok()?;
    ErrorCode::from_name(&code)
}

fn type_of(py: Python<'_>, raised: &PyErr) -> String {
    raised.get_type(py).name().map_or_else(
        |_| "Exception".to_owned(),
        |name| clip(&name.to_string_lossy(), MAX_NAME).to_owned(),
    )
}

fn message_of(py: Python<'_>, raised: &PyErr) -> String {
    let text = raised.value(py).str().map(|text| text.to_string_lossy().into_owned());
    text.unwrap_or_else(|_| "(its text cannot be made)".to_owned())
}

/// "ValueError: text" for a sentence of our own.
pub(crate) fn one_line(py: Python<'_>, raised: &PyErr) -> String {
    let message = message_of(py, raised);
    let first = message.lines().next().unwrap_or_default();
    format!("{}: {}", type_of(py, raised), clip(first, 512))
}

fn trace_of(py: Python<'_>, raised: &PyErr) -> Option<String> {
    let traceback = raised.traceback(py)?;
    let mut text = traceback.format().ok()?;
    text.push_str(&format!(
        "{}: {}",
        type_of(py, raised),
        clip(&message_of(py, raised), MAX_MESSAGE)
    ));
    let keep = text.len().saturating_sub(MAX_TRACE);
    let start = (keep..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or_default();
    Some(text.split_off(start))
}

fn clip(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Raises INVALID_ARGUMENT for a mistake that is found before anything is sent.
pub(crate) fn invalid(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raise(py, &Error::new(ErrorCode::InvalidArgument, message))
}
