//! What a decoder of serde's does not see: keys that stand twice, and floats that not every type can hold.

use std::collections::HashSet;

use procall_proto::wire::Reader;

/// Maps with more entries than this are looked at through a set of their keys.
const FEW: usize = 16;

/// What there is in a body that a scan has passed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// A NaN or an infinity, which types made for JSON turn into null.
    pub(super) not_finite: bool,
}

/// Looks through a body that a scan has passed, so lengths, keys and nesting are known to be sound. The error names a key that stands twice.
pub(super) fn look(bytes: &[u8]) -> Result<Look, String> {
    let mut look = Look::default();
    let mut maps: Vec<Keys<'_>> = Vec::new();
    // Entries still to come in each container around the current one, and whether it is a map.
    let mut stack: Vec<(usize, bool)> = Vec::new();
    let mut at = 0;
    loop {
        if let Some((_, true)) = stack.last() {
            let key = text(bytes, &mut at);
            if let Some(keys) = maps.last_mut() {
                keys.add(key)?;
            }
        }
        if let Some((len @ 1.., map)) = step(bytes, &mut at, &mut look) {
            if map {
                maps.push(Keys::new(len));
            }
            stack.push((len, map));
            continue;
        }
        // What was read completes the containers around it.
        loop {
            let Some((left, map)) = stack.last_mut() else { return Ok(look) };
            *left -= 1;
            if *left > 0 {
                break;
            }
            if *map {
                maps.pop();
            }
            stack.pop();
        }
    }
}

/// Reads one value; of a container only its head, and gives its entries and whether it is a map.
fn step(bytes: &[u8], at: &mut usize, look: &mut Look) -> Option<(usize, bool)> {
    // A scan has seen these bytes; were one missing, the walk ends at the next step and the decoder says so.
    let be = |from: usize, len: usize| -> usize {
        let bytes = bytes.get(from..from + len).unwrap_or_default();
        bytes.iter().fold(0, |value, &byte| value << 8 | usize::from(byte))
    };
    let marker = bytes.get(*at).copied().unwrap_or(0xc0);
    let begin = *at + 1;
    let is_not_finite = |len: usize, exponent: usize| be(begin, len) & exponent == exponent;
    let (head, opened) = match marker {
        0x80..=0x8f => (1, Some((usize::from(marker & 0x0f), true))),
        0x90..=0x9f => (1, Some((usize::from(marker & 0x0f), false))),
        0xdc => (3, Some((be(begin, 2), false))),
        0xdd => (5, Some((be(begin, 4), false))),
        0xde => (3, Some((be(begin, 2), true))),
        0xdf => (5, Some((be(begin, 4), true))),
        0xca => {
            look.not_finite |= is_not_finite(2, 0x7f80);
            (5, None)
        }
        0xcb => {
            look.not_finite |= is_not_finite(2, 0x7ff0);
            (9, None)
        }
        _ => {
            let rest = bytes.get(*at..).unwrap_or_default();
            (Reader::new(rest).skip_any().map_or(1, <[u8]>::len), None)
        }
    };
    *at += head;
    opened
}

fn text<'a>(bytes: &'a [u8], at: &mut usize) -> &'a str {
    let mut reader = Reader::new(bytes.get(*at..).unwrap_or_default());
    let key = reader.text("a key").unwrap_or_default();
    *at = bytes.len() - reader.rest().len();
    key
}

/// The keys of a map, as far as it was read.
enum Keys<'a> {
    Few(Vec<&'a str>),
    Many(HashSet<&'a str>),
}

impl<'a> Keys<'a> {
    fn new(len: usize) -> Self {
        if len <= FEW { Self::Few(Vec::new()) } else { Self::Many(HashSet::new()) }
    }

    fn add(&mut self, key: &'a str) -> Result<(), String> {
        let new = match self {
            Self::Few(keys) => {
                let new = !keys.contains(&key);
                keys.push(key);
                new
            }
            Self::Many(keys) => keys.insert(key),
        };
        if new { Ok(()) } else { Err(format!("the key {key:?} stands twice in a map")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice(bytes: &[u8]) -> bool {
        look(bytes).is_err_and(|error| error.contains("stands twice"))
    }

    #[test]
    fn a_key_that_stands_twice_is_found_wherever_it_is() {
        assert!(twice(b"\x82\xa1a\x01\xa1a\x02"));
        assert!(twice(b"\x82\xa1a\x01\xd9\x01a\x02"), "its length is written in another way");
        assert!(twice(b"\x91\x81\xa1x\x82\xa1a\x80\xa1a\x02"));
        let mut many = vec![0xde, 0, 40];
        for at in 0..40_u8 {
            many.extend_from_slice(&[0xa1, b'A' + at % 39, 0xc0]);
        }
        assert!(twice(&many));
    }

    #[test]
    fn the_same_key_in_two_maps_is_none() {
        for good in [
            &b"\x92\x81\xa1a\x01\x81\xa1a\x01"[..],
            b"\x82\xa1a\x81\xa1a\x01\xa1b\x82\xa1a\x01\xa1b\x02",
            b"\x80",
            b"\x90",
            b"\x93\x80\x90\xc4\x01a",
            b"\xa1a",
        ] {
            assert_eq!(look(good), Ok(Look::default()), "{good:02x?}");
        }
    }

    #[test]
    fn floats_that_are_not_finite_are_seen() {
        for (bytes, found) in [
            (&b"\xcb\x7f\xf8\0\0\0\0\0\0"[..], true),
            (b"\xcb\xff\xf0\0\0\0\0\0\0", true),
            (b"\xca\x7f\x80\0\0", true),
            (b"\x91\x81\xa1a\xca\x7f\xc0\0\0", true),
            (b"\xcb\x7f\xef\xff\xff\xff\xff\xff\xff", false),
            (b"\xca\x7f\x7f\xff\xff", false),
            (b"\xc4\x02\x7f\xf8", false),
        ] {
            assert_eq!(look(bytes), Ok(Look { not_finite: found }), "{bytes:02x?}");
        }
    }
}
