//! The values of `spec/values`: each comes back as it went, or is refused.

use std::path::Path;

use procall::{Encoding, Error, ErrorCode, Executed, Request, Value};
use procall_pool::Pool;
use serde_json::Value as Json;

use crate::{Outcome, same, text};

/// Values longer than this do not go through the stream of all.
const SHORT: usize = 4096;

/// One line of the corpus.
pub(crate) struct Entry(Json);

impl Entry {
    fn name(&self) -> &str {
        self.0["name"].as_str().unwrap_or_default()
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        self.0.get("hex").map(unhex)
    }

    fn is_refused(&self) -> bool {
        self.0.get("refused").is_some()
    }

    /// Compares what came back with what the corpus wants of a way through a worker of this language.
    pub(crate) fn compare(&self, found: &[u8], language: &str) -> Outcome {
        let wanted = match self.0["through"].get(language).or_else(|| self.0.get("back")) {
            Some(other) => unhex(other),
            None => self.bytes().unwrap_or_default(),
        };
        // The bits of a NaN need not survive, but it is one.
        let nan = |bytes: &[u8]| {
            Value::from_msgpack(bytes).is_ok_and(|value| value.as_f64().is_some_and(f64::is_nan))
        };
        if found == wanted || nan(found) && nan(&wanted) {
            return Ok(());
        }
        let start = |bytes: &[u8]| bytes[..bytes.len().min(40)].to_vec();
        Err(format!("{}: {:02x?} instead of {:02x?}", self.name(), start(found), start(&wanted)))
    }
}

/// Digits, or parts of them that stand many times.
fn unhex(long: &Json) -> Vec<u8> {
    let digits = |text: &Json| -> Vec<u8> {
        let text = text.as_str().unwrap_or_default();
        (0..text.len())
            .step_by(2)
            .filter_map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
            .collect()
    };
    match long {
        Json::Array(parts) => parts
            .iter()
            .flat_map(|part| match part {
                Json::Array(many) => {
                    digits(&many[0]).repeat(many[1].as_u64().unwrap_or_default() as usize)
                }
                one => digits(one),
            })
            .collect(),
        one => digits(one),
    }
}

fn corpus() -> Result<Vec<Entry>, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../spec/values/corpus.json");
    let told =
        std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines: Vec<Json> = serde_json::from_str(&told).map_err(|error| error.to_string())?;
    Ok(lines.into_iter().map(Entry).collect())
}

/// Good values that are short enough to go through one stream.
pub(crate) fn short_values() -> Result<Vec<(Value, Entry)>, String> {
    let good = corpus()?.into_iter().filter(|entry| !entry.is_refused());
    good.filter_map(|entry| {
        let bytes = entry.bytes().filter(|bytes| bytes.len() <= SHORT)?;
        Some(Value::from_msgpack(&bytes).map(|value| (value, entry)).map_err(text))
    })
    .collect()
}

/// The language of the worker.
pub(crate) async fn language(pool: &Pool) -> Result<String, String> {
    let launched: Value = pool.call("launched", ()).await.map_err(text)?;
    Ok(launched.get("language").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// A value as the only argument of `echo`, as bytes: what no type of this language could be made of is sent all the same.
async fn echo_raw(pool: &Pool, value: &[u8]) -> Result<Vec<u8>, Error> {
    let params = [&[0x91], value].concat();
    Ok(pool.start_call(Request::new("echo", Encoding::Msgpack, &params))?.await?.bytes)
}

pub(crate) async fn round_trips(pool: &Pool) -> Outcome {
    let language = language(pool).await?;
    let mut wrong = Vec::new();
    for entry in corpus()?.iter().filter(|entry| !entry.is_refused()) {
        if let Err(reason) = round_trip(pool, entry, &language).await {
            wrong.push(reason);
        }
    }
    same(wrong, vec![])
}

async fn round_trip(pool: &Pool, entry: &Entry, language: &str) -> Outcome {
    let told = |error: Error| format!("{}: {error}", entry.name());
    let bytes = entry.bytes().ok_or("no bytes")?;
    entry.compare(&echo_raw(pool, &bytes).await.map_err(told)?, language)?;
    let value = Value::from_msgpack(&bytes).map_err(told)?;
    let back: Value = pool.call("echo", (&value,)).await.map_err(told)?;
    entry.compare(&back.to_msgpack().map_err(told)?, language)
}

pub(crate) async fn refusals(pool: &Pool) -> Outcome {
    let mut wrong = Vec::new();
    for entry in corpus()?.iter().filter(|entry| entry.is_refused()) {
        if let Some(bytes) = entry.bytes() {
            wrong.extend(refused(entry, "as bytes", echo_raw(pool, &bytes).await));
        }
        if let Some(made) = entry.0.get("value").and_then(native) {
            wrong.extend(refused(entry, "as a value", pool.call::<Value>("echo", (made,)).await));
        }
    }
    let too_large = pool.call::<Value>("too_large", ()).await.err().ok_or("2^64 came back")?;
    same((too_large.code(), too_large.executed()), (ErrorCode::InvalidResult, Executed::Yes))
        .map_err(|_| text(too_large))?;
    same(wrong, vec![])?;
    // Nobody has been harmed.
    same(pool.call::<i64>("add", (1, 2)).await.map_err(text)?, 3)
}

fn refused<T>(entry: &Entry, how: &str, outcome: Result<T, Error>) -> Option<String> {
    match outcome {
        Ok(_) => Some(format!("{} {how}: it came back", entry.name())),
        Err(error)
            if (error.code(), error.executed()) == (ErrorCode::InvalidArgument, Executed::No) =>
        {
            None
        }
        Err(error) => Some(format!("{} {how}: {error:?}", entry.name())),
    }
}

/// A value that must be refused, where this language can make it; it has no lone surrogates and no keys that are not text.
fn native(told: &Json) -> Option<Value> {
    let (kind, content) = told.as_object()?.iter().next()?;
    match &**kind {
        "int" => content.as_str()?.parse().ok().map(Value::Int),
        "array" => content.as_array()?.iter().map(native).collect::<Option<_>>().map(Value::Array),
        "map" => {
            let entry = |pair: &Json| Some((key(&pair[0])?, native(&pair[1])?));
            content.as_array()?.iter().map(entry).collect::<Option<_>>().map(Value::Map)
        }
        "nested" => {
            let deeper = |value, _| Value::Array(vec![value]);
            Some((1..content.as_u64()?).fold(Value::Array(Vec::new()), deeper))
        }
        "elements" => Some(Value::Array(vec![Value::Int(0); content.as_u64()? as usize])),
        _ => None,
    }
}

fn key(told: &Json) -> Option<String> {
    match told.get("repeat") {
        Some(repeat) => Some(repeat[0].as_str()?.repeat(repeat[1].as_u64()? as usize)),
        None => told.as_str().map(str::to_owned),
    }
}
