//! Python to MessagePack.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple,
};

use super::buffer;
use super::refusal::Refusal;

/// Lists and dicts inside each other.
const MAX_DEPTH: usize = 64;

/// Appends a value. When it is refused, `out` holds a part of it.
pub(crate) fn encode(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    encode_at(value, out, 0)
}

fn encode_at(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize) -> Result<(), Refusal> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return encode_text(text, out);
    }
    if let Ok(number) = value.cast_exact::<PyInt>() {
        return encode_int(number, out);
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        encode_float(number.value(), out);
        return Ok(());
    }
    if value.is_none() {
        out.push(0xc0);
        return Ok(());
    }
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        out.push(if flag.is_true() { 0xc3 } else { 0xc2 });
        return Ok(());
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        return encode_list(list, out, depth);
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        return encode_dict(dict, out, depth);
    }
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        encode_bytes(bytes.as_bytes(), out);
        return Ok(());
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        head(out, tuple.len(), 0x90, 0xdc);
        enter(depth)?;
        for (at, item) in tuple.iter_borrowed().enumerate() {
            encode_at(&item, out, depth + 1).map_err(|refusal| refusal.at(at))?;
        }
        return Ok(());
    }
    encode_other(value, out, depth)
}

/// Subclasses of the simple types, byte-like things, arrays, enums, dataclasses; all else is refused by name.
fn encode_other(
    value: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), Refusal> {
    let py = value.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    if let Ok(text) = value.cast::<PyString>() {
        return encode_text(text, out);
    }
    if let Ok(number) = value.cast::<PyInt>() {
        return encode_int(number, out);
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        encode_float(number.value(), out);
        return Ok(());
    }
    if let Ok(list) = value.cast::<PyList>() {
        return encode_list(list, out, depth);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return encode_dict(dict, out, depth);
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        encode_bytes(bytes.as_bytes(), out);
        return Ok(());
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        encode_bytes(&bytes.to_vec(), out);
        return Ok(());
    }
    if is_enum(value).map_err(raised)? {
        let inner = value.getattr(intern!(py, "value")).map_err(raised)?;
        return encode_at(&inner, out, depth);
    }
    if let Some(fields) = value
        .get_type()
        .getattr_opt(intern!(py, "__dataclass_fields__"))
        .map_err(raised)?
    {
        return encode_fields(value, &fields, out, depth);
    }
    if let Ok(view) = value.cast::<PyMemoryView>() {
        return buffer::encode_view(view, out);
    }
    if let Some(dump) = pydantic_dump(value).map_err(raised)? {
        let dict = dump.call0().map_err(raised)?;
        return encode_at(&dict, out, depth);
    }
    if let Some(scalar) = buffer::numpy_scalar(value).map_err(raised)? {
        return encode_at(&scalar, out, depth);
    }
    if let Ok(view) = PyMemoryView::from(value) {
        return buffer::encode_array(&view, out);
    }
    Err(Refusal::new(format!("is of type {}, {}", type_name(value), advice(value))))
}

fn encode_list(list: &Bound<'_, PyList>, out: &mut Vec<u8>, depth: usize) -> Result<(), Refusal> {
    let len = list.len();
    enter(depth)?;
    head(out, len, 0x90, 0xdc);
    let mut count = 0;
    for (at, item) in list.iter().enumerate() {
        encode_at(&item, out, depth + 1).map_err(|refusal| refusal.at(at))?;
        count += 1;
    }
    // Encoding an item may run Python code, and that may change the list.
    if count == len { Ok(()) } else { Err(Refusal::new("changed while it was being sent")) }
}

fn encode_dict(dict: &Bound<'_, PyDict>, out: &mut Vec<u8>, depth: usize) -> Result<(), Refusal> {
    enter(depth)?;
    head(out, dict.len(), 0x80, 0xde);
    for (key, value) in dict.iter() {
        let Ok(key) = key.cast::<PyString>() else {
            return Err(Refusal::new(format!(
                "has a key of type {}; keys must be str",
                type_name(&key)
            )));
        };
        encode_text(key, out)?;
        encode_at(&value, out, depth + 1)
            .map_err(|refusal| refusal.under(key.to_str().unwrap_or("?")))?;
    }
    Ok(())
}

fn encode_fields(
    value: &Bound<'_, PyAny>,
    fields: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), Refusal> {
    let py = value.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    let fields = fields.cast::<PyDict>().map_err(|error| raised(error.into()))?;
    let mut names = Vec::with_capacity(fields.len());
    for (name, field) in fields.iter() {
        // Class variables and init-only variables are listed too, with another field type.
        let kind = field.getattr(intern!(py, "_field_type")).map_err(raised)?;
        if kind.str().is_ok_and(|kind| kind == "_FIELD") {
            names.push(name.cast_into::<PyString>().map_err(|error| raised(error.into()))?);
        }
    }
    enter(depth)?;
    head(out, names.len(), 0x80, 0xde);
    for name in names {
        let inner = value.getattr(&name).map_err(raised)?;
        encode_text(&name, out)?;
        encode_at(&inner, out, depth + 1)
            .map_err(|refusal| refusal.under(name.to_str().unwrap_or("?")))?;
    }
    Ok(())
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

fn enter(depth: usize) -> Result<(), Refusal> {
    if depth < MAX_DEPTH {
        Ok(())
    } else {
        Err(Refusal::new(format!("is nested more than {MAX_DEPTH} deep, or contains itself")))
    }
}

/// Arguments by name.
pub(crate) struct KeyedArguments<'a, 'py>(pub(crate) &'a Bound<'py, PyDict>);

impl KeyedArguments<'_, '_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        encode_dict(self.0, out, 0)
    }
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
        "uuid.UUID" | "decimal.Decimal" | "pathlib.PosixPath" | "pathlib.PurePosixPath"
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
