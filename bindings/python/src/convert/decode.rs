//! MessagePack to Python.

use procall::Lent;
use procall::buffer::EXT_TYPE;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

use super::buffer;
use super::refusal::Refusal;

/// Decodes exactly one value that a scan has passed: depth, lengths, text and key types are known to be sound.
///
/// It follows nesting on a stack of its own: threads of a program may have small ones.
pub(crate) fn decode_checked<'py>(
    py: Python<'py>,
    bytes: &[u8],
    lent: &Lent,
) -> Result<Bound<'py, PyAny>, Refusal> {
    let mut stack = Vec::new();
    follow(py, &mut Decoder { bytes, lent }, &mut stack).map_err(|refusal| {
        stack.iter().rev().fold(refusal, |refusal, frame: &Frame<'_>| frame.place(refusal))
    })
}

/// What was read.
enum Begun<'py> {
    Value(Bound<'py, PyAny>),
    List(usize),
    Dict(usize),
}

/// A list or dict whose elements are being read.
enum Frame<'py> {
    List { items: Vec<Bound<'py, PyAny>>, len: usize },
    Dict { dict: Bound<'py, PyDict>, key: Bound<'py, PyString>, done: usize, len: usize },
}

impl Frame<'_> {
    /// Names the element that is being read.
    fn place(&self, refusal: Refusal) -> Refusal {
        match self {
            Self::List { items, .. } => refusal.at(items.len()),
            Self::Dict { key, .. } => refusal.under(&key.to_string_lossy()),
        }
    }
}

fn follow<'py>(
    py: Python<'py>,
    decoder: &mut Decoder<'_>,
    stack: &mut Vec<Frame<'py>>,
) -> Result<Bound<'py, PyAny>, Refusal> {
    loop {
        let mut value = match decoder.next(py)? {
            Begun::Value(value) => value,
            Begun::List(0) => PyList::empty(py).into_any(),
            Begun::Dict(0) => PyDict::new(py).into_any(),
            Begun::List(len) => {
                // The scan has counted them, so the length is no lie.
                stack.push(Frame::List { items: Vec::with_capacity(len), len });
                continue;
            }
            Begun::Dict(len) => {
                let key = decoder.key(py)?;
                stack.push(Frame::Dict { dict: PyDict::new(py), key, done: 0, len });
                continue;
            }
        };
        // What was read completes the containers around it, from the inside out.
        loop {
            let Some(frame) = stack.last_mut() else { return Ok(value) };
            match frame {
                Frame::List { items, len } => {
                    items.push(value);
                    if items.len() < *len {
                        break;
                    }
                    let items = std::mem::take(items);
                    value = PyList::new(py, items)
                        .map_err(|error| Refusal::raised(py, &error))?
                        .into_any();
                }
                Frame::Dict { dict, key, done, len } => {
                    dict.set_item(&*key, value).map_err(|error| Refusal::raised(py, &error))?;
                    *done += 1;
                    if dict.len() != *done {
                        let key = key.to_string_lossy().into_owned();
                        stack.pop();
                        return Err(Refusal::new(format!("has the key {key:?} twice")));
                    }
                    if *done < *len {
                        *key = decoder.key(py)?;
                        break;
                    }
                    value = dict.clone().into_any();
                }
            }
            stack.pop();
        }
    }
}

struct Decoder<'a> {
    bytes: &'a [u8],
    /// Where arrays lie that are not among the bytes.
    lent: &'a Lent,
}

/// Scanned bytes never get here; were it otherwise, the value is refused and nothing worse.
fn unscanned() -> Refusal {
    Refusal::new("is not valid MessagePack")
}

impl<'a> Decoder<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Refusal> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or_else(unscanned)?;
        self.bytes = tail;
        Ok(head)
    }

    fn be<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or_else(unscanned)?;
        self.bytes = tail;
        Ok(*head)
    }

    fn len8(&mut self) -> Result<usize, Refusal> {
        Ok(u8::from_be_bytes(self.be()?).into())
    }

    fn len16(&mut self) -> Result<usize, Refusal> {
        Ok(u16::from_be_bytes(self.be()?).into())
    }

    fn len32(&mut self) -> Result<usize, Refusal> {
        Ok(u32::from_be_bytes(self.be()?) as usize)
    }

    fn next<'py>(&mut self, py: Python<'py>) -> Result<Begun<'py>, Refusal> {
        let [marker] = self.be()?;
        let value = match marker {
            0x00..=0x7f => int(py, marker.into()),
            0xe0..=0xff => int(py, (marker as i8).into()),
            0xa0..=0xbf => self.text(py, usize::from(marker & 0x1f))?,
            0x90..=0x9f => return Ok(Begun::List(usize::from(marker & 0x0f))),
            0x80..=0x8f => return Ok(Begun::Dict(usize::from(marker & 0x0f))),
            0xc0 => py.None().into_bound(py),
            0xc2 => PyBool::new(py, false).to_owned().into_any(),
            0xc3 => PyBool::new(py, true).to_owned().into_any(),
            0xca => PyFloat::new(py, f32::from_be_bytes(self.be()?).into()).into_any(),
            0xcb => PyFloat::new(py, f64::from_be_bytes(self.be()?)).into_any(),
            0xcc => int(py, u8::from_be_bytes(self.be()?).into()),
            0xcd => int(py, u16::from_be_bytes(self.be()?).into()),
            0xce => int(py, u32::from_be_bytes(self.be()?).into()),
            0xcf => PyInt::new(py, u64::from_be_bytes(self.be()?)).into_any(),
            0xd0 => int(py, i8::from_be_bytes(self.be()?).into()),
            0xd1 => int(py, i16::from_be_bytes(self.be()?).into()),
            0xd2 => int(py, i32::from_be_bytes(self.be()?).into()),
            0xd3 => int(py, i64::from_be_bytes(self.be()?)),
            0xd9 => self.len8().and_then(|len| self.text(py, len))?,
            0xda => self.len16().and_then(|len| self.text(py, len))?,
            0xdb => self.len32().and_then(|len| self.text(py, len))?,
            0xc4 => self.len8().and_then(|len| self.bin(py, len))?,
            0xc5 => self.len16().and_then(|len| self.bin(py, len))?,
            0xc6 => self.len32().and_then(|len| self.bin(py, len))?,
            0xdc => return self.len16().map(Begun::List),
            0xdd => return self.len32().map(Begun::List),
            0xde => return self.len16().map(Begun::Dict),
            0xdf => return self.len32().map(Begun::Dict),
            0xd4..=0xd8 => self.ext(py, 1 << (marker - 0xd4))?,
            0xc7 => self.len8().and_then(|len| self.ext(py, len))?,
            0xc8 => self.len16().and_then(|len| self.ext(py, len))?,
            0xc9 => self.len32().and_then(|len| self.ext(py, len))?,
            0xc1 => return Err(unscanned()),
        };
        Ok(Begun::Value(value))
    }

    fn text<'py>(&mut self, py: Python<'py>, len: usize) -> Result<Bound<'py, PyAny>, Refusal> {
        self.string(py, len).map(Bound::into_any)
    }

    fn string<'py>(
        &mut self,
        py: Python<'py>,
        len: usize,
    ) -> Result<Bound<'py, PyString>, Refusal> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| unscanned())?;
        Ok(PyString::new(py, text))
    }

    fn bin<'py>(&mut self, py: Python<'py>, len: usize) -> Result<Bound<'py, PyAny>, Refusal> {
        Ok(PyBytes::new(py, self.take(len)?).into_any())
    }

    fn key<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>, Refusal> {
        let [marker] = self.be()?;
        let len = match marker {
            0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => self.len8()?,
            0xda => self.len16()?,
            0xdb => self.len32()?,
            _ => return Err(unscanned()),
        };
        self.string(py, len)
    }

    fn ext<'py>(&mut self, py: Python<'py>, len: usize) -> Result<Bound<'py, PyAny>, Refusal> {
        let [kind] = self.be()?;
        let payload = self.take(len)?;
        if kind != EXT_TYPE {
            return Err(Refusal::new(format!("is an extension of type {kind}, which is unknown")));
        }
        buffer::decode(py, payload, self.lent)
    }
}

fn int(py: Python<'_>, number: i64) -> Bound<'_, PyAny> {
    PyInt::new(py, number).into_any()
}
