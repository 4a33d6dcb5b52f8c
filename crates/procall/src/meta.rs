//! Metadata: a map of texts to anything, of which we read and write a few entries and leave the others as they are.

use procall_proto::wire::{Reader, WireError};

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

/// The text of an entry. Users may have entries by our names, of other types: those are not ours.
pub(crate) fn text<'a>(entries: &[(&str, &'a [u8])], wanted: &str) -> Option<&'a str> {
    let (_, value) = entries.iter().find(|(name, _)| *name == wanted)?;
    Reader::new(value).text("a text").ok()
}
