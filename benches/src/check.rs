//! What it costs to check the params of a call against the schema of its method.

use std::hint::black_box;
use std::time::Instant;

use procall::{Encoding, MethodInfo, Validator};
use serde_json::json;

use crate::load::percentiles;

/// Checks timed together, since one takes less than a look at the clock.
const TOGETHER: u32 = 100;
const ROUNDS: usize = 2_000;

type Failure = Box<dyn std::error::Error>;

/// Measures and prints a few lines.
pub(crate) fn print() -> Result<(), Failure> {
    println!();
    let number = json!({"type": "number"});
    let plain = json!({
        "type": "object",
        "properties": {"a": number, "b": number},
        "required": ["a", "b"],
        "additionalProperties": false,
    });
    // What only the whole checker knows.
    let mut rich = plain.clone();
    rich["properties"]["a"] = json!({"type": "number", "multipleOf": 1});
    for (name, schema) in [("math.add", plain), ("a rarer keyword", rich)] {
        let validator = Validator::new(&schema)?;
        let method = MethodInfo {
            params: vec!["a".into(), "b".into()],
            params_schema: Some(schema),
            ..MethodInfo::default()
        };
        for (form, encoding, params) in [
            ("MessagePack by position", Encoding::Msgpack, &b"\x92\x0a\x14"[..]),
            ("MessagePack by name", Encoding::Msgpack, b"\x82\xa1a\x0a\xa1b\x14"),
            ("JSON by name", Encoding::Json, br#"{"a": 10, "b": 20}"#),
        ] {
            let mut nanos = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                let start = Instant::now();
                for _ in 0..TOGETHER {
                    let found = validator.check_params(&method, encoding, black_box(params))?;
                    assert!(found.is_empty(), "{found:?}");
                }
                nanos.push(u64::try_from((start.elapsed() / TOGETHER).as_nanos())?);
            }
            let (median, worst) = percentiles(&mut nanos);
            println!("check of params, {name}, {form}: {median:.2} us, p99 {worst:.2} us");
        }
    }
    Ok(())
}
