//! Arrays: PEP 3118 buffers of typed items to typed buffers and back.

use procall::buffer::{Dtype, EXT_TYPE, MAX_DIMS, TypedBuffer};
use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView, PyTuple};

use super::encode::bytes_head;
use super::refusal::Refusal;

/// A `memoryview`: plain bytes when its items are bytes in a row, an array otherwise.
pub(super) fn encode_view(
    view: &Bound<'_, PyMemoryView>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let py = view.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    let format: String = attribute(view, intern!(py, "format")).map_err(raised)?;
    let ndim: usize = attribute(view, intern!(py, "ndim")).map_err(raised)?;
    if ndim != 1 || !matches!(&*format, "B" | "b" | "c") {
        return encode_array(view, out);
    }
    let len: usize = attribute(view, intern!(py, "nbytes")).map_err(raised)?;
    bytes_head(len, out);
    append(view, len, out).map_err(raised)
}

/// Anything that exports a buffer, packed in C order.
pub(super) fn encode_array(
    view: &Bound<'_, PyMemoryView>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let py = view.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    let format: String = attribute(view, intern!(py, "format")).map_err(raised)?;
    let shape: Vec<u64> = attribute(view, intern!(py, "shape")).map_err(raised)?;
    let len: usize = attribute(view, intern!(py, "nbytes")).map_err(raised)?;
    let itemsize: usize = attribute(view, intern!(py, "itemsize")).map_err(raised)?;
    let (dtype, big_endian) = dtype_of(&format, itemsize).ok_or_else(|| {
        Refusal::new(format!(
            "is an array whose items have the format {format:?}, which cannot be sent"
        ))
    })?;
    if shape.len() > MAX_DIMS {
        return Err(Refusal::new(format!("is an array of more than {MAX_DIMS} dimensions")));
    }
    // The head is written by hand so that the items are copied only once, straight from their owner.
    let total = 4 + 8 * shape.len() + len;
    match u32::try_from(total) {
        Ok(total @ (4 | 8 | 16)) => out.push(0xd4 + total.ilog2() as u8),
        Ok(total @ 0..=0xff) => out.extend_from_slice(&[0xc7, total as u8]),
        Ok(total @ 0..=0xffff) => {
            out.push(0xc8);
            out.extend_from_slice(&(total as u16).to_be_bytes());
        }
        Ok(total) => {
            out.push(0xc9);
            out.extend_from_slice(&total.to_be_bytes());
        }
        Err(_) => return Err(Refusal::new("is an array larger than 4 GiB")),
    }
    let flags = if big_endian { 2 } else { 0 };
    out.extend_from_slice(&[EXT_TYPE, 0, dtype.number(), shape.len() as u8, flags]);
    out.extend(shape.iter().flat_map(|dim| dim.to_le_bytes()));
    append(view, len, out).map_err(raised)
}

/// The items of a view in C order.
fn append(view: &Bound<'_, PyMemoryView>, len: usize, out: &mut Vec<u8>) -> PyResult<()> {
    let py = view.py();
    let start = out.len();
    if len == 0 {
        return Ok(());
    }
    if attribute::<bool>(view, intern!(py, "c_contiguous"))? {
        let flat = view.call_method1(intern!(py, "cast"), (intern!(py, "B"),))?;
        let bytes = PyBuffer::<u8>::get(&flat)?;
        out.resize(start + len, 0);
        return bytes.copy_to_slice(py, &mut out[start..]);
    }
    let bytes = view.call_method0(intern!(py, "tobytes"))?.cast_into::<PyBytes>()?;
    out.extend_from_slice(bytes.as_bytes());
    Ok(())
}

fn attribute<'py, T: for<'a> FromPyObject<'a, 'py, Error = PyErr>>(
    view: &Bound<'py, PyMemoryView>,
    name: &Bound<'py, pyo3::types::PyString>,
) -> PyResult<T> {
    view.getattr(name)?.extract()
}

/// The element type of a PEP 3118 format, and whether it is big-endian.
fn dtype_of(format: &str, itemsize: usize) -> Option<(Dtype, bool)> {
    let (code, big) = match format.strip_prefix(['<', '=', '@']) {
        Some(code) => (code, cfg!(target_endian = "big") && !format.starts_with('<')),
        None => match format.strip_prefix(['>', '!']) {
            Some(code) => (code, true),
            None => (format, cfg!(target_endian = "big")),
        },
    };
    let dtype = match (code, itemsize) {
        ("?", 1) => Dtype::Bool,
        ("b", 1) => Dtype::I8,
        ("B" | "c", 1) => Dtype::U8,
        ("h", 2) => Dtype::I16,
        ("H", 2) => Dtype::U16,
        ("i" | "l", 4) => Dtype::I32,
        ("I" | "L", 4) => Dtype::U32,
        ("l" | "q" | "n", 8) => Dtype::I64,
        ("L" | "Q" | "N", 8) => Dtype::U64,
        ("e", 2) => Dtype::F16,
        ("f", 4) => Dtype::F32,
        ("d", 8) => Dtype::F64,
        ("Zf", 8) => Dtype::C64,
        ("Zd", 16) => Dtype::C128,
        _ => return None,
    };
    Some((dtype, big && dtype.size() > 1))
}

/// The format that `memoryview.cast` knows; it has none for half precision and pairs.
fn format_of(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::Bool => "?",
        Dtype::I8 => "b",
        Dtype::U8 => "B",
        Dtype::I16 => "h",
        Dtype::U16 => "H",
        Dtype::I32 => "i",
        Dtype::U32 => "I",
        Dtype::I64 => "q",
        Dtype::U64 => "Q",
        Dtype::F32 => "f",
        Dtype::F64 => "d",
        _ => return None,
    })
}

/// A numpy array when numpy is there already, a `memoryview` otherwise.
pub(super) fn decode<'py>(py: Python<'py>, payload: &[u8]) -> Result<Bound<'py, PyAny>, Refusal> {
    let raised = |error: PyErr| Refusal::raised(py, &error);
    let buffer = TypedBuffer::parse(payload)
        .map_err(|error| Refusal::new(format!("is refused: {error}")))?;
    let packed =
        buffer.to_c_order().map_err(|error| Refusal::new(format!("is refused: {error}")))?;
    let bytes = PyBytes::new(py, &packed);
    let shape = PyTuple::new(py, &buffer.shape).map_err(raised)?;
    let numpy = match (loaded(py, "numpy").map_err(raised)?, format_of(buffer.dtype)) {
        (Some(numpy), _) => numpy,
        (None, Some(format)) if shape.len() < 2 || !bytes.as_bytes().is_empty() => {
            return view(bytes, format, shape).map_err(raised);
        }
        // Half precision, pairs, and dimensions of zero beside others: only numpy can show these.
        (None, _) => py.import(intern!(py, "numpy")).map(Bound::into_any).map_err(|_| {
            Refusal::new(format!(
                "is an array of {}; install numpy to receive it",
                buffer.dtype.name()
            ))
        })?,
    };
    let name = match (buffer.dtype, loaded(py, "ml_dtypes").map_err(raised)?) {
        (Dtype::BF16, Some(types)) => types.getattr(intern!(py, "bfloat16")).map_err(raised)?,
        (Dtype::BF16, None) => {
            return Err(Refusal::new("is an array of bfloat16; import ml_dtypes to receive it"));
        }
        (dtype, _) => {
            dtype.name().into_pyobject(py).map_err(|error| raised(error.into()))?.into_any()
        }
    };
    numpy
        .call_method1(intern!(py, "frombuffer"), (bytes, name))
        .and_then(|flat| flat.call_method1(intern!(py, "reshape"), (shape,)))
        .map_err(raised)
}

fn view<'py>(
    bytes: Bound<'py, PyBytes>,
    format: &str,
    shape: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = bytes.py();
    let view = PyMemoryView::from(&bytes.into_any())?;
    let cast = intern!(py, "cast");
    match shape.len() {
        1 => view.call_method1(cast, (format,)),
        _ => view.call_method1(cast, (format, shape)),
    }
}

/// A module if somebody imported it already.
fn loaded<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    modules.cast_into::<PyDict>()?.get_item(name)
}

/// A numpy scalar as the Python number that it is: `np.int64(5)` travels as 5, not as an array without dimensions.
pub(super) fn numpy_scalar<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    let Some(numpy) = loaded(py, "numpy")? else { return Ok(None) };
    let Some(generic) = numpy.getattr_opt(intern!(py, "generic"))? else { return Ok(None) };
    if !value.is_instance(&generic)? {
        return Ok(None);
    }
    let scalar = value.call_method0(intern!(py, "item"))?;
    // A long double has no Python number and stays what it is.
    Ok((!scalar.get_type().is(value.get_type())).then_some(scalar))
}
