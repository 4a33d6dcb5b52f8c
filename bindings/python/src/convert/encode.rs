//! Python to MessagePack.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::dict::BoundDictIterator;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple,
};

use super::buffer;
use super::refusal::Refusal;

/// Lists and dicts inside each other.
const MAX_DEPTH: usize = 64;

/// Appends a value. When it is refused, `out` holds a part of it.
///
/// It follows nesting on a stack of its own: threads of a program may have small ones.
pub(crate) fn encode(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    // Most values are flat, so that nothing is allocated for them.
    let opened = match begin(value, out)? {
        Begun::Done => return Ok(()),
        opened => opened,
    };
    let mut stack = Vec::new();
    follow(opened, &mut stack, out).map_err(|refusal| {
        stack.iter().rev().fold(refusal, |refusal, frame: &Frame<'_>| frame.place(refusal))
    })
}

/// What the first look at a value has come to.
enum Begun<'py> {
    /// It is written.
    Done,
    /// Its head is written; these are its elements.
    Open(Frame<'py>),
    /// Another value stands for it.
    Instead(Bound<'py, PyAny>),
}

/// A value with elements, on the way through them.
enum Frame<'py> {
    List {
        list: Bound<'py, PyList>,
        at: usize,
        len: usize,
    },
    Tuple {
        tuple: Bound<'py, PyTuple>,
        at: usize,
    },
    Dict {
        entries: BoundDictIterator<'py>,
        key: Option<Bound<'py, PyString>>,
    },
    /// The fields of a dataclass.
    Fields {
        value: Bound<'py, PyAny>,
        names: Vec<Bound<'py, PyString>>,
        at: usize,
    },
}

fn follow<'py>(
    mut begun: Begun<'py>,
    stack: &mut Vec<Frame<'py>>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let mut replaced = 0;
    loop {
        match begun {
            Begun::Done => replaced = 0,
            Begun::Open(_) if stack.len() == MAX_DEPTH => {
                let message = format!("is nested more than {MAX_DEPTH} deep, or contains itself");
                return Err(Refusal::new(message));
            }
            Begun::Open(frame) => {
                replaced = 0;
                stack.push(frame);
            }
            Begun::Instead(_) if replaced == MAX_DEPTH => {
                return Err(Refusal::new("stands for itself"));
            }
            Begun::Instead(value) => {
                replaced += 1;
                begun = begin(&value, out)?;
                continue;
            }
        }
        let next = loop {
            let Some(frame) = stack.last_mut() else { return Ok(()) };
            match frame.next(out)? {
                Some(next) => break next,
                None => _ = stack.pop(),
            }
        };
        begun = begin(&next, out)?;
    }
}

impl<'py> Frame<'py> {
    /// The next element; its key is written already.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
        match self {
            Self::List { list, at, len } => {
                if at == len {
                    return Ok(None);
                }
                // Looking at an element may run Python code, and that may shorten the list.
                let item = list
                    .get_item(*at)
                    .map_err(|_| Refusal::new("changed while it was being sent"))?;
                *at += 1;
                Ok(Some(item))
            }
            Self::Tuple { tuple, at } => {
                let item = tuple.get_item(*at).ok();
                *at += 1;
                Ok(item)
            }
            Self::Dict { entries, key } => {
                *key = None;
                let Some((name, value)) = entries.next() else { return Ok(None) };
                let Ok(name) = name.cast::<PyString>() else {
                    let kind = type_name(&name);
                    return Err(Refusal::new(format!(
                        "has a key of type {kind}; keys must be str"
                    )));
                };
                encode_text(name, out)?;
                *key = Some(name.clone());
                Ok(Some(value))
            }
            Self::Fields { value, names, at } => {
                let Some(name) = names.get(*at) else { return Ok(None) };
                *at += 1;
                encode_text(name, out)?;
                value.getattr(name).map(Some).map_err(|error| Refusal::raised(value.py(), &error))
            }
        }
    }

    /// Names the element that this frame is at.
    fn place(&self, refusal: Refusal) -> Refusal {
        match self {
            // The one that was taken last; none was when the frame itself is refused.
            Self::List { at, .. } | Self::Tuple { at, .. } => match at.checked_sub(1) {
                Some(at) => refusal.at(at),
                None => refusal,
            },
            Self::Dict { key: Some(key), .. } => refusal.under(&key.to_string_lossy()),
            Self::Dict { key: None, .. } => refusal,
            Self::Fields { names, at, .. } => {
                match at.checked_sub(1).and_then(|at| names.get(at)) {
                    Some(name) => refusal.under(&name.to_string_lossy()),
                    None => refusal,
                }
            }
        }
    }
}

fn begin<'py>(value: &Bound<'py, PyAny>, out: &mut Vec<u8>) -> Result<Begun<'py>, Refusal> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        encode_text(text, out)?;
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        encode_int(number, out)?;
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        encode_float(number.value(), out);
    } else if value.is_none() {
        out.push(0xc0);
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        out.push(if flag.is_true() { 0xc3 } else { 0xc2 });
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        encode_bytes(bytes.as_bytes(), out);
    } else if let Ok(list) = value.cast::<PyList>() {
        return Ok(Begun::Open(open_list(list, out)));
    } else if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(Begun::Open(open_dict(dict, out)));
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        head(out, tuple.len(), 0x90, 0xdc);
        return Ok(Begun::Open(Frame::Tuple { tuple: tuple.clone(), at: 0 }));
    } else {
        return begin_other(value, out);
    }
    Ok(Begun::Done)
}

/// Subclasses of the simple types, byte-like things, arrays, enums, dataclasses; all else is refused by name.
fn begin_other<'py>(value: &Bound<'py, PyAny>, out: &mut Vec<u8>) -> Result<Begun<'py>, Refusal> {
    let py = value.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    if is_enum(value).map_err(raised)? {
        return value.getattr(intern!(py, "value")).map(Begun::Instead).map_err(raised);
    }
    if let Ok(text) = value.cast::<PyString>() {
        encode_text(text, out)?;
    } else if let Ok(number) = value.cast::<PyInt>() {
        encode_int(number, out)?;
    } else if let Ok(number) = value.cast::<PyFloat>() {
        encode_float(number.value(), out);
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        encode_bytes(bytes.as_bytes(), out);
    } else if let Ok(bytes) = value.cast::<PyByteArray>() {
        encode_bytes(&bytes.to_vec(), out);
    } else if let Some(fields) =
        value.get_type().getattr_opt(intern!(py, "__dataclass_fields__")).map_err(raised)?
    {
        return open_fields(value, &fields, out).map(Begun::Open).map_err(raised);
    } else if let Ok(view) = value.cast::<PyMemoryView>() {
        buffer::encode_view(view, out)?;
    } else if let Some(dump) = pydantic_dump(value).map_err(raised)? {
        return dump.call0().map(Begun::Instead).map_err(raised);
    } else if let Some(value) = struct_dump(value).map_err(raised)? {
        return Ok(Begun::Instead(value));
    } else if let Some(scalar) = buffer::numpy_scalar(value).map_err(raised)? {
        return Ok(Begun::Instead(scalar));
    } else if buffer::encode_typed(value, out)? {
        // It is written.
    } else if let Ok(view) = PyMemoryView::from(value) {
        buffer::encode_array(&view, out)?;
    } else if let Some(array) = buffer::foreign(value)? {
        return Ok(Begun::Instead(array));
    } else {
        return Err(Refusal::new(format!("is of type {}, {}", type_name(value), advice(value))));
    }
    Ok(Begun::Done)
}

fn open_list<'py>(list: &Bound<'py, PyList>, out: &mut Vec<u8>) -> Frame<'py> {
    let len = list.len();
    head(out, len, 0x90, 0xdc);
    Frame::List { list: list.clone(), at: 0, len }
}

fn open_dict<'py>(dict: &Bound<'py, PyDict>, out: &mut Vec<u8>) -> Frame<'py> {
    head(out, dict.len(), 0x80, 0xde);
    Frame::Dict { entries: dict.iter(), key: None }
}

fn open_fields<'py>(
    value: &Bound<'py, PyAny>,
    fields: &Bound<'py, PyAny>,
    out: &mut Vec<u8>,
) -> PyResult<Frame<'py>> {
    let py = value.py();
    let mut names = Vec::new();
    for (name, field) in fields.cast::<PyDict>()?.iter() {
        // Class variables and init-only variables are listed too, with another field type.
        let kind = field.getattr(intern!(py, "_field_type"))?;
        if kind.str()? == "_FIELD" {
            names.push(name.cast_into::<PyString>()?);
        }
    }
    head(out, names.len(), 0x80, 0xde);
    Ok(Frame::Fields { value: value.clone(), names, at: 0 })
}

fn encode_text(text: &Bound<'_, PyString>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let text = text.to_str().map_err(|_| {
        Refusal::new("is text with a lone surrogate, which is no Unicode and cannot be sent")
    })?;
    let len = text.len();
    match len {
        0..=31 => out.push(0xa0 | len as u8),
        32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        _ => wide(out, len, 0xda),
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

pub(super) fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    bytes_head(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// The head of `len` bytes that the caller appends.
pub(super) fn bytes_head(len: usize, out: &mut Vec<u8>) {
    match len {
        0..=0xff => out.extend_from_slice(&[0xc4, len as u8]),
        _ => wide(out, len, 0xc5),
    }
}

fn encode_float(number: f64, out: &mut Vec<u8>) {
    out.push(0xcb);
    out.extend_from_slice(&number.to_be_bytes());
}

fn encode_int(number: &Bound<'_, PyInt>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if let Ok(small) = number.extract::<i64>() {
        encode_i64(small, out);
        return Ok(());
    }
    if let Ok(large) = number.extract::<u64>() {
        out.push(0xcf);
        out.extend_from_slice(&large.to_be_bytes());
        return Ok(());
    }
    Err(Refusal::new("is an int outside -2**63 to 2**64-1; send it as text"))
}

fn encode_i64(number: i64, out: &mut Vec<u8>) {
    match number {
        0..=0x7f => out.push(number as u8),
        -32..=-1 => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        -0x80..=-33 => out.extend_from_slice(&[0xd0, number as u8]),
        0x100..=0xffff => tagged(out, 0xcd, &(number as u16).to_be_bytes()),
        -0x8000..=-0x81 => tagged(out, 0xd1, &(number as i16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => tagged(out, 0xce, &(number as u32).to_be_bytes()),
        -0x8000_0000..=-0x8001 => tagged(out, 0xd2, &(number as i32).to_be_bytes()),
        0x1_0000_0000.. => tagged(out, 0xcf, &number.to_be_bytes()),
        _ => tagged(out, 0xd3, &number.to_be_bytes()),
    }
}

fn tagged(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

/// A length that does not fit the short forms: 16 bits under `marker`, 32 bits under the next.
fn wide(out: &mut Vec<u8>, len: usize, marker: u8) {
    match u16::try_from(len) {
        Ok(len) => tagged(out, marker, &len.to_be_bytes()),
        // A longer body is refused by its length before it is sent.
        Err(_) => tagged(out, marker + 1, &u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()),
    }
}

fn head(out: &mut Vec<u8>, len: usize, short: u8, long: u8) {
    if len < 16 { out.push(short | len as u8) } else { wide(out, len, long) }
}

fn is_enum(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    // Whoever has an enum has imported the module; nobody else should pay for it.
    let py = value.py();
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let modules = modules.cast_into::<PyDict>()?;
    match modules.get_item(intern!(py, "enum"))? {
        Some(module) => value.is_instance(&module.getattr(intern!(py, "Enum"))?),
        None => Ok(false),
    }
}

/// The method that turns a Pydantic model into a dict.
fn pydantic_dump<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    if value.get_type().hasattr(intern!(py, "__pydantic_fields__"))? {
        value.getattr_opt(intern!(py, "model_dump"))
    } else {
        Ok(None)
    }
}

/// What a Struct of msgspec is without its class.
fn struct_dump<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    if !value.get_type().hasattr(intern!(py, "__struct_config__"))? {
        return Ok(None);
    }
    let options = PyDict::new(py);
    let bytes = PyTuple::new(py, [py.get_type::<PyBytes>(), py.get_type::<PyByteArray>()])?;
    options.set_item(intern!(py, "builtin_types"), bytes)?;
    let to_builtins = py.import(intern!(py, "msgspec"))?.getattr(intern!(py, "to_builtins"))?;
    to_builtins.call((value,), Some(&options)).map(Some)
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    let class = value.get_type();
    match class.fully_qualified_name() {
        Ok(name) => name.to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// What to do instead, for types that people try.
fn advice(value: &Bound<'_, PyAny>) -> &'static str {
    match &*type_name(value) {
        "set" | "frozenset" => "which cannot be sent; send sorted(...) or list(...)",
        "datetime.datetime" | "datetime.date" | "datetime.time" => {
            "which cannot be sent; send its isoformat()"
        }
        "datetime.timedelta" => "which cannot be sent; send its total_seconds()",
        "uuid.UUID"
        | "decimal.Decimal"
        | "pathlib.PosixPath"
        | "pathlib.PurePosixPath"
        | "fractions.Fraction" => "which cannot be sent; send str(...) of it",
        "complex" => "which cannot be sent; send its parts",
        "generator" | "range" | "map" | "zip" | "filter" => {
            "which cannot be sent; send list(...) of it"
        }
        _ => {
            "which cannot be sent; use None, bool, int, float, str, bytes, list, tuple, dict, \
             an enum, a dataclass or an array"
        }
    }
}
