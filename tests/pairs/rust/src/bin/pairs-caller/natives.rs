//! What becomes of the types that only Rust has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use procall::{Bytes, ErrorCode, Executed, TypedBuffer, Value};
use procall_pool::Pool;
use serde::Serialize;

use crate::{Outcome, expect, same, text};

#[derive(Serialize)]
struct Point {
    x: i64,
    y: Option<f32>,
}

#[derive(Serialize)]
struct Metres(f64);

#[derive(Serialize)]
enum Shape {
    Empty,
    Circle(u8),
    Square { side: u8 },
}

fn map(entries: &[(&str, Value)]) -> Value {
    entries.iter().cloned().collect()
}

pub(crate) async fn round_trips(pool: &Pool) -> Outcome {
    let three = || Value::from(vec![1, 2, 3]);
    echoed(pool, (1, "a", true), Value::Array(vec![1.into(), "a".into(), true.into()])).await?;
    echoed(pool, [1, 2, 3], three()).await?;
    echoed(pool, BTreeSet::from([3, 2, 1]), three()).await?;
    echoed(pool, vec![1_u8, 2, 3], three()).await?;
    echoed(pool, Bytes(vec![1, 2]), Value::Bytes(vec![1, 2])).await?;
    echoed(pool, 'ß', "ß".into()).await?;
    echoed(pool, Path::new("/a/b"), "/a/b".into()).await?;
    echoed(pool, (), Value::Nil).await?;
    echoed(pool, Option::<i32>::None, Value::Nil).await?;
    echoed(pool, Some(0.25_f32), Value::Float(0.25)).await?;
    echoed(pool, u128::from(u64::MAX), Value::Int(u64::MAX.into())).await?;
    echoed(pool, i128::from(i64::MIN), Value::Int(i64::MIN.into())).await?;
    echoed(pool, Point { x: 1, y: None }, map(&[("x", 1.into()), ("y", Value::Nil)])).await?;
    echoed(pool, Metres(1.5), Value::Float(1.5)).await?;
    echoed(pool, Shape::Empty, "Empty".into()).await?;
    echoed(pool, Shape::Circle(2), map(&[("Circle", 2.into())])).await?;
    echoed(pool, Shape::Square { side: 2 }, map(&[("Square", map(&[("side", 2.into())]))])).await?;
    let duration = map(&[("secs", 1.into()), ("nanos", 500_000_000.into())]);
    echoed(pool, Duration::from_millis(1500), duration).await?;
    echoed(pool, BTreeMap::from([("a", 1)]), map(&[("a", 1.into())])).await?;
    let floats =
        TypedBuffer::from_elements(&[2, 1], &[1.5_f32, -2.0]).map_err(|error| error.to_string())?;
    echoed(pool, &floats, Value::Buffer(floats.clone())).await?;

    refused(pool, HashMap::from([(1, 2)]), "not text").await?;
    refused(pool, 1_u128 << 64, "outside -2^63 to 2^64-1").await?;
    refused(pool, i128::MIN, "outside -2^63 to 2^64-1").await?;
    // serde_json has no NaN: it is refused, and never null.
    let nan = pool.call::<serde_json::Value>("echo", (f64::NAN,)).await;
    expect(nan, ErrorCode::InvalidResult, Executed::Yes).map(|_| ())
}

async fn echoed(pool: &Pool, sent: impl Serialize, wanted: Value) -> Outcome {
    same(pool.call::<Value>("echo", (sent,)).await.map_err(text)?, wanted)
}

async fn refused(pool: &Pool, sent: impl Serialize, says: &str) -> Outcome {
    let error = expect(
        pool.call::<Value>("echo", (sent,)).await,
        ErrorCode::InvalidArgument,
        Executed::No,
    )?;
    same(error.message().contains(says), true).map_err(|_| text(error))
}
