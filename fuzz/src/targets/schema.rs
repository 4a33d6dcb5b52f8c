//! Schemas of strangers: admitted or refused, and checking with them ends.

use procall::{Encoding, Validator};
use serde_json::Value;

/// A schema, a zero, and a value in JSON.
pub(super) fn run(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let Ok(schema) = serde_json::from_slice::<Value>(parts.next().unwrap_or_default()) else {
        return;
    };
    let Ok(validator) = Validator::new(&schema) else { return };
    let value = parts.next().unwrap_or_default();
    if let Ok(mistakes) = validator.check(Encoding::Json, value) {
        assert!(mistakes.len() <= 65, "{} mistakes", mistakes.len());
    }
}
