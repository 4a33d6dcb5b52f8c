//! Where the elements of an array lie, computed without overflow.

use super::{BufferError, MAX_DIMS};

/// What shape and strides come to, in bytes.
#[derive(Debug)]
pub(super) struct Layout {
    /// Of the elements packed.
    pub(super) nbytes: u64,
    /// From the lowest to the highest byte of any element.
    pub(super) extent: u64,
    /// From the lowest byte to the element with index 0 everywhere.
    pub(super) origin: u64,
}

impl Layout {
    pub(super) fn new(
        size: usize,
        shape: &[u64],
        strides: Option<&[i64]>,
    ) -> Result<Self, BufferError> {
        if shape.len() > MAX_DIMS {
            return Err(BufferError::Dims(shape.len()));
        }
        if let Some(strides) = strides
            && strides.len() != shape.len()
        {
            return Err(BufferError::Strides { dims: shape.len(), strides: strides.len() });
        }
        // As numpy does, dimensions of zero are left out of the product, so that no language trips over the others.
        let size = size as u64;
        let mut nbytes = size;
        for &dim in shape.iter().filter(|&&dim| dim != 0) {
            nbytes = within_i64(nbytes.checked_mul(dim))?;
        }
        if shape.contains(&0) {
            return Ok(Self { nbytes: 0, extent: 0, origin: 0 });
        }
        let Some(strides) = strides else { return Ok(Self { nbytes, extent: nbytes, origin: 0 }) };
        let (mut extent, mut origin) = (size, 0_u64);
        for (&dim, &stride) in shape.iter().zip(strides) {
            let reach = within_i64(stride.unsigned_abs().checked_mul(dim - 1))?;
            extent = within_i64(extent.checked_add(reach))?;
            if stride < 0 {
                // Part of the extent, which did not overflow.
                origin += reach;
            }
        }
        if nbytes > extent {
            return Err(BufferError::Overlap);
        }
        Ok(Self { nbytes, extent, origin })
    }
}

fn within_i64(value: Option<u64>) -> Result<u64, BufferError> {
    value.filter(|&value| value <= i64::MAX as u64).ok_or(BufferError::Overflow)
}

pub(super) fn is_c_contiguous(size: usize, shape: &[u64], strides: Option<&[i64]>) -> bool {
    let Some(strides) = strides else { return true };
    if shape.contains(&0) {
        return true;
    }
    let mut packed = size as u64;
    // The stride of a dimension with one element is never used.
    shape.iter().zip(strides).rev().filter(|&(&dim, _)| dim != 1).all(|(&dim, &stride)| {
        let fits = u64::try_from(stride) == Ok(packed);
        packed = packed.saturating_mul(dim);
        fits
    })
}

/// Copies the elements into C order. The layout was made from the same shape and strides, and `bytes` are its extent.
pub(super) fn gather(
    bytes: &[u8],
    size: usize,
    shape: &[u64],
    strides: &[i64],
    layout: &Layout,
) -> Vec<u8> {
    let mut packed = Vec::with_capacity(layout.nbytes as usize);
    if layout.nbytes == 0 {
        return packed;
    }
    let mut index = [0_u64; MAX_DIMS];
    let mut at = layout.origin as i64;
    loop {
        packed.extend_from_slice(&bytes[at as usize..at as usize + size]);
        // Count up like an odometer, the last dimension first.
        let mut dim = shape.len();
        loop {
            if dim == 0 {
                return packed;
            }
            dim -= 1;
            if index[dim] + 1 < shape[dim] {
                index[dim] += 1;
                at += strides[dim];
                break;
            }
            at -= strides[dim] * index[dim] as i64;
            index[dim] = 0;
        }
    }
}
