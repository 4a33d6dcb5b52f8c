//! Metadata: a map of texts to anything, of which we read and write a few entries and leave the others as they are.

use procall_proto::wire::{Reader, WireError, Writer};

/// The entries of a metadata map but for those of these names.
pub(crate) fn others(
    meta: &[u8],
    without: impl Fn(&str) -> bool,
) -> Result<Vec<(&str, &[u8])>, WireError> {
    let mut kept = Vec::new();
    if meta.is_empty() {
        return Ok(kept);
    }
    let mut reader = Reader::new(meta);
    for _ in 0..reader.map()? {
        let name = reader.text("a name")?;
        let value = reader.skip_any()?;
        if !without(name) {
            kept.push((name, value));
        }
    }
    Ok(kept)
}

/// The value of an entry of a metadata map.
pub(crate) fn entry<'a>(meta: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    if meta.is_empty() {
        return None;
    }
    let mut reader = Reader::new(meta);
    for _ in 0..reader.map().ok()? {
        let name = reader.text("a name").ok()?;
        let value = reader.skip_any().ok()?;
        if name == wanted {
            return Some(value);
        }
    }
    None
}

/// The text of an entry. Users may have entries by our names, of other types: those are not ours.
pub(crate) fn text<'a>(meta: &'a [u8], wanted: &str) -> Option<&'a str> {
    Reader::new(entry(meta, wanted)?).text("a text").ok()
}

/// The map with this text in place of an entry of that name.
pub(crate) fn with_text(meta: &[u8], name: &str, text: &str) -> Result<Vec<u8>, WireError> {
    let kept = others(meta, |other| other == name)?;
    let mut bytes = Vec::with_capacity(meta.len() + name.len() + text.len() + 8);
    let mut writer = Writer::new(&mut bytes);
    writer.map(kept.len() + 1).text(name).text(text);
    for (name, value) in kept {
        writer.text(name).raw(value);
    }
    Ok(bytes)
}
