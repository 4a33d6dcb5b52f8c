//! Arrays: PEP 3118 buffers of typed items, and `procall.TypedBuffer`, to typed buffers and back.

use procall::buffer::{BufferError, Dtype, EXT_TYPE, MAX_DIMS, Place, TypedBuffer};
use procall::{LENDING_PAYS, Lent, Piece};
use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView, PyTuple};

use super::encode::bytes_head;
use super::refusal::Refusal;
use crate::memory::{Held, Memory};

/// A `memoryview`: plain bytes when its items are bytes in a row, an array otherwise.
pub(super) fn encode_view(
    view: &Bound<'_, PyMemoryView>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let py = view.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    let format: String = attribute(view, intern!(py, "format")).map_err(raised)?;
    let ndim: usize = attribute(view, intern!(py, "ndim")).map_err(raised)?;
    if ndim != 1 || !matches!(&*format, "B" | "c") {
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
    if lend(view, (dtype, big_endian), &shape, len, out)? {
        return Ok(());
    }
    head(dtype, big_endian, &shape, len, out)?;
    append(view, len, out).map_err(raised)
}

/// Writes an array of `len` bytes as memory that is lent, where that is possible: it stays where it is, or is copied there once.
fn lend(
    view: &Bound<'_, PyMemoryView>,
    (dtype, big_endian): (Dtype, bool),
    shape: &[u64],
    len: usize,
    out: &mut Vec<u8>,
) -> Result<bool, Refusal> {
    if len < LENDING_PAYS || shape.len() > MAX_DIMS {
        return Ok(false);
    }
    let py = view.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    let held = Held::of(view.as_any()).map_err(raised)?;
    let in_place = held.contiguous().and_then(|at| procall::lend_in_place(at, len));
    let (region, offset) = match in_place {
        Some(place) => place,
        None if procall::forbids_copies() => {
            return Err(Refusal::new(
                "is an array that would have to be copied, which copy=\"never\" forbids; make it with \
                 `empty` of this very client or pool, with transport=\"shm\"",
            ));
        }
        None => match procall::lend_copy(len, |room| held.copy_to(room)) {
            Some(copied) => (copied.map_err(raised)?, 0),
            None => return Ok(false),
        },
    };
    let place = Place::Region { region, generation: 0, offset, length: len as u64 };
    TypedBuffer { dtype, big_endian, shape: shape.to_vec(), strides: None, place }
        .write(out)
        .map_err(|error| Refusal::new(format!("cannot be sent: {error}")))?;
    Ok(true)
}

/// The head is written by hand so that the items are copied only once, straight from their owner.
fn head(
    dtype: Dtype,
    big_endian: bool,
    shape: &[u64],
    len: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    if shape.len() > MAX_DIMS {
        return Err(Refusal::new(format!("is an array of more than {MAX_DIMS} dimensions")));
    }
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
    Ok(())
}

/// A `procall.TypedBuffer`, or an array of a type that PEP 3118 has no name for; `false` for anything else, which is left alone.
pub(super) fn encode_typed(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Result<bool, Refusal> {
    let py = value.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    if let Some(home) = loaded(py, "procall._typed").map_err(raised)? {
        let class = home.getattr(intern!(py, "TypedBuffer")).map_err(raised)?;
        if value.is_instance(&class).map_err(raised)? {
            let (name, shape, data) = typed_parts(value).map_err(raised)?;
            let dtype = Dtype::from_name(&name).ok_or_else(|| {
                Refusal::new(format!("is an array of {name:?}, which is unknown"))
            })?;
            head(dtype, false, &shape, data.as_bytes().len(), out)?;
            out.extend_from_slice(data.as_bytes());
            return Ok(true);
        }
    }
    let Some(bits) = bfloat16_bits(value).map_err(raised)? else { return Ok(false) };
    let view = PyMemoryView::from(&bits).map_err(raised)?;
    let shape: Vec<u64> = attribute(&view, intern!(py, "shape")).map_err(raised)?;
    let len: usize = attribute(&view, intern!(py, "nbytes")).map_err(raised)?;
    let kind = (Dtype::BF16, cfg!(target_endian = "big"));
    if lend(&view, kind, &shape, len, out)? {
        return Ok(true);
    }
    head(kind.0, kind.1, &shape, len, out)?;
    append(&view, len, out).map_err(raised)?;
    Ok(true)
}

fn typed_parts<'py>(
    value: &Bound<'py, PyAny>,
) -> PyResult<(String, Vec<u64>, Bound<'py, PyBytes>)> {
    let py = value.py();
    Ok((
        value.getattr(intern!(py, "dtype"))?.extract()?,
        value.getattr(intern!(py, "shape"))?.extract()?,
        value.getattr(intern!(py, "data"))?.cast_into()?,
    ))
}

/// An array of `ml_dtypes.bfloat16` as an array of the same bits.
fn bfloat16_bits<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    let Some(types) = loaded(py, "ml_dtypes")? else { return Ok(None) };
    let Some(dtype) = value.getattr_opt(intern!(py, "dtype"))? else { return Ok(None) };
    let Some(kind) = dtype.getattr_opt(intern!(py, "type"))? else { return Ok(None) };
    if !kind.is(&types.getattr(intern!(py, "bfloat16"))?)
        || !value.hasattr(intern!(py, "strides"))?
    {
        return Ok(None);
    }
    value.call_method1(intern!(py, "view"), (intern!(py, "uint16"),)).map(Some)
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

/// A numpy array when numpy is there already, else a `memoryview` where it can tell all, else a `procall.TypedBuffer`. Each of them travels on as
/// the same array.
pub(super) fn decode<'py>(
    py: Python<'py>,
    payload: &[u8],
    lent: &Lent,
) -> Result<Bound<'py, PyAny>, Refusal> {
    let refused = |error: BufferError| Refusal::new(format!("is refused: {error}"));
    let raised = |error: PyErr| Refusal::raised(py, &error);
    let mut buffer = TypedBuffer::parse(payload).map_err(refused)?;
    let mut copied = Vec::new();
    if let Place::Region { region, offset, length, .. } = buffer.place {
        let piece = lent.piece(region).ok_or(BufferError::Region).map_err(refused)?;
        let place = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
        let (at, len) = place.ok_or(BufferError::Overflow).map_err(refused)?;
        let is_plain = buffer.is_c_contiguous() && !buffer.big_endian;
        if is_plain
            && len > 0
            && let Piece::Theirs(loan) = piece
            && let Some(memory) = Memory::theirs(loan, at, len)
        {
            let memory = memory.into_pyobject(py).map_err(raised)?.into_any();
            return made(py, buffer.dtype, &buffer.shape, memory).map_err(raised);
        }
        let has_it = match piece {
            Piece::Ours { buffer, .. } => buffer.copy(at, len, &mut copied),
            Piece::Theirs(loan) => loan.copy(at, len, &mut copied),
        };
        if !has_it {
            return Err(refused(BufferError::Region));
        }
        buffer.place = Place::Inline(&copied);
    }
    let packed = buffer.to_c_order().map_err(refused)?;
    let bytes = PyBytes::new(py, &packed).into_any();
    made(py, buffer.dtype, &buffer.shape, bytes).map_err(raised)
}

fn made<'py>(
    py: Python<'py>,
    dtype: Dtype,
    shape: &[u64],
    bytes: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let is_empty = bytes.len()? == 0;
    let shape = PyTuple::new(py, shape)?;
    let numpy = match loaded(py, "numpy")? {
        Some(numpy) => numpy_dtype(py, dtype)?.map(|name| (numpy, name)),
        None => None,
    };
    if let Some((numpy, name)) = numpy {
        let flat = numpy.call_method1(intern!(py, "frombuffer"), (bytes, name))?;
        return flat.call_method1(intern!(py, "reshape"), (shape,));
    }
    // A view of unsigned bytes in a row is plain bytes, and a zero beside other dimensions is more than a view can have.
    let is_bytes = dtype == Dtype::U8 && shape.len() == 1;
    match format_of(dtype) {
        Some(format) if !is_bytes && (shape.len() < 2 || !is_empty) => view(bytes, format, shape),
        _ => {
            let home = py.import(intern!(py, "procall._typed"))?;
            home.getattr(intern!(py, "TypedBuffer"))?.call1((dtype.name(), shape, bytes))
        }
    }
}

/// What numpy calls the element type; `None` when it does not know it.
fn numpy_dtype(py: Python<'_>, dtype: Dtype) -> PyResult<Option<Bound<'_, PyAny>>> {
    match (dtype, loaded(py, "ml_dtypes")?) {
        (Dtype::BF16, Some(types)) => types.getattr(intern!(py, "bfloat16")).map(Some),
        (Dtype::BF16, None) => Ok(None),
        (dtype, _) => Ok(Some(dtype.name().into_pyobject(py)?.into_any())),
    }
}

fn view<'py>(
    bytes: Bound<'py, PyAny>,
    format: &str,
    shape: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = bytes.py();
    let view = PyMemoryView::from(&bytes)?;
    let cast = intern!(py, "cast");
    match shape.len() {
        1 => view.call_method1(cast, (format,)),
        _ => view.call_method1(cast, (format, shape)),
    }
}

/// An array of a library that exports no buffer, such as a tensor of torch, as an array of numpy over the same memory: by DLPack, if it is in the
/// memory of this machine's processors, or by numpy's own protocol.
pub(super) fn foreign<'py>(
    value: &Bound<'py, PyAny>,
) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
    const CPU: i32 = 1;
    let py = value.py();
    let raised = |error: PyErr| Refusal::raised(py, &error);
    let has = |name| value.hasattr(name).map_err(raised);
    let by_dlpack = has(intern!(py, "__dlpack__"))? && has(intern!(py, "__dlpack_device__"))?;
    if !by_dlpack && !has(intern!(py, "__array_interface__"))? {
        return Ok(None);
    }
    let numpy = py.import(intern!(py, "numpy")).map_err(|_| {
        Refusal::new(
            "is an array of another library, which takes numpy to be sent: pip install numpy",
        )
    })?;
    if !by_dlpack {
        return numpy.call_method1(intern!(py, "asarray"), (value,)).map(Some).map_err(raised);
    }
    let device = value.call_method0(intern!(py, "__dlpack_device__")).map_err(raised)?;
    let (kind, _): (i32, i32) = device.extract().map_err(raised)?;
    if kind != CPU {
        return Err(Refusal::new(
            "is an array in the memory of a device, which cannot be sent; copy it to the CPU first",
        ));
    }
    numpy.call_method1(intern!(py, "from_dlpack"), (value,)).map(Some).map_err(raised)
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
