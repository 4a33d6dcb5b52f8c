//! Memory of large arrays as Python sees it: an object that exports it as a buffer (PEP 3118), and copies from such buffers.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::Arc;

use procall::Buffer;
use procall::transport::shm::Loan;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Memory that lives for as long as something in Python looks at it.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Memory {
    source: Source,
}

enum Source {
    /// Of this process: Python may write to it.
    Ours(Arc<Buffer>),
    /// Of a peer's: so many bytes from a place of it on.
    Theirs { loan: Arc<Loan>, at: usize, len: usize },
}

impl Memory {
    /// Memory that crosses without a copy.
    pub(crate) fn ours(buffer: Arc<Buffer>) -> Self {
        Self { source: Source::Ours(buffer) }
    }

    /// What a peer sent; `None` when its memory has not so many bytes.
    pub(crate) fn theirs(loan: &Arc<Loan>, at: usize, len: usize) -> Option<Self> {
        loan.address(at, len)?;
        Some(Self { source: Source::Theirs { loan: loan.clone(), at, len } })
    }
}

#[pymethods]
impl Memory {
    fn __len__(&self) -> usize {
        match &self.source {
            Source::Ours(buffer) => buffer.len(),
            Source::Theirs { len, .. } => *len,
        }
    }

    /// # Safety
    ///
    /// Called by the interpreter alone, with a `Py_buffer` to be filled.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (at, len, readonly) = match &slf.get().source {
            Source::Ours(buffer) => (buffer.as_ptr(), buffer.len(), 0),
            Source::Theirs { loan, at, len } => match loan.address(*at, *len) {
                Some(address) => (address.cast_mut(), *len, 1),
                None => return Err(PyBufferError::new_err("the memory is not there")),
            },
        };
        let len = ffi::Py_ssize_t::try_from(len)
            .map_err(|_| PyBufferError::new_err("the memory is larger than a buffer can be"))?;
        // SAFETY: `view` is to be filled, as the interpreter says. The memory stays mapped while `slf` lives, to which the view will refer; it is
        // mapped read-only where the view is read-only, and else this process's own, to which no Rust code refers by a slice any more.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), at.cast::<c_void>(), len, readonly, flags)
        };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// A buffer of any format that Python exports, held.
pub(crate) struct Held<'py> {
    view: Box<ffi::Py_buffer>,
    py: Python<'py>,
}

impl<'py> Held<'py> {
    pub(crate) fn of(exporter: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(MaybeUninit::<ffi::Py_buffer>::uninit());
        // SAFETY: the object lives, and there is room for its view.
        let got = unsafe {
            ffi::PyObject_GetBuffer(exporter.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_FULL_RO)
        };
        if got != 0 {
            return Err(PyErr::fetch(exporter.py()));
        }
        // SAFETY: it was just filled, and stays where it is, as it may point into itself.
        let view = unsafe { view.assume_init() };
        Ok(Self { view, py: exporter.py() })
    }

    /// Where its first byte is, when its elements lie in a row in the order of C.
    pub(crate) fn contiguous(&self) -> Option<*const u8> {
        // SAFETY: the view is held.
        let is = unsafe { ffi::PyBuffer_IsContiguous(&raw const *self.view, b'C' as c_char) };
        (is == 1).then(|| self.view.buf.cast_const().cast())
    }

    /// Copies its elements in the order of C; `room` is exactly as long as they are.
    pub(crate) fn copy_to(&self, room: &mut [u8]) -> PyResult<()> {
        let len = room.len() as ffi::Py_ssize_t;
        if len != self.view.len {
            return Err(PyBufferError::new_err("the array has changed its size meanwhile"));
        }
        let (room, view) = (room.as_mut_ptr().cast::<c_void>(), &raw const *self.view);
        // SAFETY: the view is held, and `room` has as many bytes as it has.
        let copied =
            unsafe { ffi::PyBuffer_ToContiguous(room, view.cast_mut(), len, b'C' as c_char) };
        if copied == 0 { Ok(()) } else { Err(PyErr::fetch(self.py)) }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: it was got, and is released once; whoever has `py` is attached to the interpreter.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
    }
}
