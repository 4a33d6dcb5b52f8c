//! Buffers in a body whose bytes lie elsewhere: to find them, to call their places something else, to put their bytes in.

use std::ops::Range;

use super::{BufferError, EXT_TYPE, Place, TypedBuffer};
use crate::scan::Head;

/// A typed buffer in a body whose bytes are in shared memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where in the body the whole ext value is.
    pub at: Range<usize>,
    /// The region's number.
    pub region: u32,
    /// The use of the region that is meant.
    pub generation: u32,
    /// Where in the region the bytes begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// Bytes of the place at the end of the ext value.
const PLACE: usize = 24;

/// The buffers of a MessagePack body whose bytes are in shared memory, in their order. What is no MessagePack ends the search.
///
/// ```
/// use procall_proto::buffer::{Dtype, Place, TypedBuffer, elsewhere};
///
/// let place = Place::Region { region: 3, generation: 1, offset: 0, length: 8 };
/// let mut body = vec![0x91];
/// TypedBuffer { dtype: Dtype::F64, big_endian: false, shape: vec![], strides: None, place }.write(&mut body)?;
/// assert_eq!(elsewhere(&body)[0].region, 3);
/// # Ok::<(), procall_proto::buffer::BufferError>(())
/// ```
pub fn elsewhere(body: &[u8]) -> Vec<Elsewhere> {
    let mut found = Vec::new();
    let mut at = 0;
    // Nesting does not matter: of a container only the head is passed over.
    while let Some(head) = body.get(at..).and_then(Head::read) {
        let Some(value) = usize::try_from(head.len).ok().and_then(|len| body[at..].get(..len))
        else {
            break;
        };
        if let Some(payload) = payload(value)
            && payload.first() == Some(&1)
            && let Ok(TypedBuffer { place, .. }) = TypedBuffer::parse(payload)
            && let Place::Region { region, generation, offset, length } = place
        {
            let at = at..at + value.len();
            found.push(Elsewhere { at, region, generation, offset, length });
        }
        at += value.len();
    }
    found
}

/// The payload of an ext value that is a typed buffer.
fn payload(value: &[u8]) -> Option<&[u8]> {
    let skip = match value.first()? {
        0xd4..=0xd8 => 1,
        0xc7 => 2,
        0xc8 => 3,
        0xc9 => 5,
        _ => return None,
    };
    (value.get(skip) == Some(&EXT_TYPE)).then(|| &value[skip + 1..])
}

/// Calls the places of those buffers something else: `label` gives region and generation.
pub fn relabel(body: &mut [u8], mut label: impl FnMut(&Elsewhere) -> (u32, u32)) {
    for found in elsewhere(body) {
        let (region, generation) = label(&found);
        let place = &mut body[found.at.end - PLACE..found.at.end];
        place[..4].copy_from_slice(&region.to_le_bytes());
        place[4..8].copy_from_slice(&generation.to_le_bytes());
    }
}

/// The same body with all bytes in it. `append` appends those of one buffer.
///
/// # Errors
///
/// Those of `append`, and [`BufferError::TooLarge`] for a buffer of 4 GiB.
pub fn fill_in<E: From<BufferError>>(
    body: &[u8],
    mut append: impl FnMut(&Elsewhere, &mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let found = elsewhere(body);
    let all: u64 = found.iter().map(|found| found.length).fold(0, u64::saturating_add);
    // What is claimed is compared with what there is before anything is appended, so only a hint goes by it.
    let mut out = Vec::with_capacity(body.len().saturating_add(all.min(1 << 30) as usize));
    let mut done = 0;
    for found in &found {
        out.extend_from_slice(&body[done..found.at.start]);
        done = found.at.end;
        let value = &body[found.at.clone()];
        let Some(payload) = payload(value) else { continue };
        let head = payload.len() - PLACE;
        let len = found.length.saturating_add(head as u64);
        let len = u32::try_from(len).map_err(|_| E::from(BufferError::TooLarge))?;
        // The long form of a head is valid for any length.
        out.push(0xc9);
        out.extend_from_slice(&len.to_be_bytes());
        out.push(EXT_TYPE);
        let start = out.len();
        out.extend_from_slice(&payload[..head]);
        out[start] = 0;
        append(found, &mut out)?;
        if out.len() - start != len as usize {
            let given = (out.len() - start - head) as u64;
            return Err(E::from(BufferError::Length { needed: found.length, given }));
        }
    }
    out.extend_from_slice(&body[done..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Dtype;

    fn buffer(place: Place<'_>, shape: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        let shape = shape.to_vec();
        let buffer =
            TypedBuffer { dtype: Dtype::U16, big_endian: false, shape, strides: None, place };
        buffer.write(&mut out).unwrap();
        out
    }

    fn lent(region: u32, length: u64) -> Vec<u8> {
        buffer(Place::Region { region, generation: 9, offset: 5, length }, &[length / 2])
    }

    /// `{"a": [lent 0, 1.5, inline], "b": lent 1}`.
    fn body() -> Vec<u8> {
        let inline = buffer(Place::Inline(&[1, 2, 3, 4]), &[2]);
        let mut body = vec![0x82, 0xa1, b'a', 0x93];
        body.extend(lent(0, 2_000));
        body.extend([0xca, 0x3f, 0xc0, 0, 0]);
        body.extend(inline);
        body.extend([0xa1, b'b']);
        body.extend(lent(1, 4));
        body
    }

    #[test]
    fn they_are_found_wherever_they_are() {
        let body = body();
        let found = elsewhere(&body);
        let facts: Vec<_> = found.iter().map(|found| (found.region, found.length)).collect();
        assert_eq!(facts, [(0, 2_000), (1, 4)]);
        assert_eq!(body[found[0].at.clone()], lent(0, 2_000));
        assert!(elsewhere(b"").is_empty());
        for end in 0..body.len() {
            assert!(elsewhere(&body[..end]).len() < 2);
        }
    }

    #[test]
    fn text_that_looks_like_one_is_none() {
        let text = lent(0, 4);
        let mut body = vec![0xc4, text.len() as u8];
        body.extend(text);
        assert!(elsewhere(&body).is_empty());
    }

    #[test]
    fn they_get_other_labels_and_stay_what_they_are() {
        let mut body = body();
        relabel(&mut body, |found| (found.region + 10, 77));
        let found = elsewhere(&body);
        assert_eq!((found[0].region, found[0].generation, found[0].offset), (10, 77, 5));
        assert_eq!((found[1].region, found[1].length), (11, 4));
    }

    #[test]
    fn filled_in_it_is_the_value_that_was_meant() {
        let fill = |found: &Elsewhere, out: &mut Vec<u8>| {
            out.extend((0..found.length).map(|byte| byte as u8 ^ found.region as u8));
            Ok::<_, BufferError>(())
        };
        let filled = fill_in(&body(), fill).unwrap();
        crate::scan::msgpack(&filled, &crate::scan::Bounds::default()).unwrap();
        assert!(elsewhere(&filled).is_empty());
        assert!(filled.ends_with(&[1, 0, 3, 2]), "{filled:?}");
        let at = filled.windows(4).position(|bytes| bytes == [0, 1, 2, 3]).unwrap();
        assert_eq!(filled[at + 1999], 1999_u64 as u8);
        let short = |_: &Elsewhere, _: &mut Vec<u8>| Ok(());
        assert!(matches!(fill_in(&body(), short), Err(BufferError::Length { .. })));
    }
}
