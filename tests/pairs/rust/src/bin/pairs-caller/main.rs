//! The Rust caller: every case against the worker named on the command line, or started by the command given.

mod corpus;
mod natives;

use std::time::{Duration, Instant};

use procall::{Error, ErrorCode, Executed, Stream, StreamCall, Value};
use procall_pool::Pool;
use serde_json::json;

type Outcome = Result<(), String>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let argv: Vec<String> = std::env::args().skip(1).collect();
    let builder = match &argv[..] {
        [worker] => Pool::spawn(worker),
        _ => Pool::command(argv),
    };
    let pool = match builder.workers(1).start().await {
        Ok(pool) => pool,
        Err(error) => {
            println!("FAIL  start: {error:?}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let mut failed = 0;
    let mut report = |case: &str, outcome: Outcome| match outcome {
        Ok(()) => println!("ok    {case}"),
        Err(reason) => {
            failed += 1;
            println!("FAIL  {case}: {reason}");
        }
    };
    report("unary", unary(&pool).await);
    report("no arguments, no result", nothing(&pool).await);
    report("by position and by name", binding(&pool).await);
    report("values", corpus::round_trips(&pool).await);
    report("values, refused", corpus::refusals(&pool).await);
    report("values of this language", natives::round_trips(&pool).await);
    report("error", error(&pool).await);
    report("refusals", refusals(&pool).await);
    report("stream", stream(&pool).await);
    report("stream in", stream_in(&pool).await);
    report("streams both ways", both_ways(&pool).await);
    report("stream left early", left_early(&pool).await);
    report("cancel", cancel(&pool).await);
    report("deadline", deadline(&pool).await);
    report("worker death", death(&pool).await);
    if let Err(error) = pool.stop().await {
        report("stop", Err(error.to_string()));
    }
    std::process::ExitCode::from(u8::from(failed > 0))
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
}

fn text(error: Error) -> String {
    error.to_string()
}

async fn unary(pool: &Pool) -> Outcome {
    same(pool.call::<i64>("add", (1, 2)).await.map_err(text)?, 3)?;
    same(pool.call::<i64>("pairs.add", json!({"b": 40, "a": 2})).await.map_err(text)?, 42)
}

/// A result that is nil is a result, and no arguments are as good by position as by name.
async fn nothing(pool: &Pool) -> Outcome {
    let nil = || Value::Nil;
    same(pool.call("nothing", ()).await.map_err(text)?, nil())?;
    same(pool.call("nothing", json!({})).await.map_err(text)?, nil())?;
    same(pool.call("nothing", json!([])).await.map_err(text)?, nil())?;
    same(pool.call("echo", (nil(),)).await.map_err(text)?, nil())?;
    same(pool.call::<Option<i64>>("nothing", ()).await.map_err(text)?, None)?;
    cancels(pool).await.map(|_| ())
}

async fn binding(pool: &Pool) -> Outcome {
    for (params, greeting) in [
        (json!(["Ada"]), "hello Ada"),
        (json!(["Ada", "good day"]), "good day Ada"),
        (json!({"name": "Ada"}), "hello Ada"),
        (json!({"greeting": "good day", "name": "Ada"}), "good day Ada"),
    ] {
        same(pool.call::<String>("greet", params).await.map_err(text)?, greeting.to_owned())?;
    }
    let error = expect(
        pool.call::<Value>("greet", json!({"greeting": "hey"})).await,
        ErrorCode::InvalidArgument,
        Executed::No,
    )?;
    same(error.fields().first().map(|field| field.path.clone()), Some("/name".to_owned()))?;
    let unknown = json!({"name": "Ada", "greting": "hey"});
    let error = expect(
        pool.call::<Value>("greet", unknown).await,
        ErrorCode::InvalidArgument,
        Executed::No,
    )?;
    same(error.fields().first().map(|field| field.path.clone()), Some("/greting".to_owned()))
}

fn expect<T: std::fmt::Debug>(
    result: Result<T, Error>,
    code: ErrorCode,
    executed: Executed,
) -> Result<Error, String> {
    let error = result.err().ok_or("it succeeded")?;
    same((error.code(), error.executed()), (code, executed))
        .map_err(|reason| format!("{reason}: {error:?}"))?;
    Ok(error)
}

async fn error(pool: &Pool) -> Outcome {
    let error = expect(
        pool.call::<Value>("fail", ("on purpose",)).await,
        ErrorCode::HandlerError,
        Executed::Yes,
    )?;
    same(error.message().contains("on purpose"), true)?;
    same(error.remote_type().is_some_and(|name| name.ends_with("Failure")), true)
        .map_err(|_| format!("the type {:?}", error.remote_type()))?;
    let launched: Value = pool.call("launched", ()).await.map_err(text)?;
    // Rust has no stack of an error; the others tell where it came from.
    let rust = launched.get("language").and_then(Value::as_str) == Some("rust");
    same(error.trace().is_some_and(|trace| trace.contains("fail")), !rust)
        .map_err(|_| format!("the trace {:?}", error.trace()))
}

async fn refusals(pool: &Pool) -> Outcome {
    let error = expect(pool.call::<Value>("ad", (1, 2)).await, ErrorCode::NotFound, Executed::No)?;
    same(error.candidates().to_vec(), vec!["pairs.add".to_owned()])?;
    expect(pool.call::<Value>("add", (1, 2, 3)).await, ErrorCode::InvalidArgument, Executed::No)?;
    expect(pool.call::<Value>("add", (7, "seven")).await, ErrorCode::InvalidArgument, Executed::No)
        .map(|_| ())
}

async fn stream(pool: &Pool) -> Outcome {
    let items = pool.stream::<u64>("count", (1000,)).collect().await.map_err(text)?;
    same(items, (0..1000).collect())?;
    same(pool.stream::<u64>("count", (0,)).collect().await.map_err(text)?, vec![])
}

async fn stream_in(pool: &Pool) -> Outcome {
    let items = procall::Stream::from_iter(1..=500_i64);
    same(pool.call::<i64>("total", ()).items(items).await.map_err(text)?, 125_250)
}

async fn both_ways(pool: &Pool) -> Outcome {
    let values = corpus::short_values()?;
    let sent: Vec<Value> = values.iter().map(|(value, _)| value.clone()).collect();
    let call = StreamCall::<Value>::new(pool, "mirror", ()).items(Stream::from_iter(sent));
    let back = call.start().collect().await.map_err(text)?;
    same(back.len(), values.len())?;
    let language = corpus::language(pool).await?;
    for (found, (_, entry)) in back.iter().zip(values) {
        entry.compare(&found.to_msgpack().map_err(text)?, &language)?;
    }
    let none = StreamCall::<Value>::new(pool, "mirror", ()).items(Stream::<Value>::empty());
    same(none.start().collect().await.map_err(text)?, vec![])
}

async fn cancels(pool: &Pool) -> Result<u64, String> {
    pool.call("cancels", ()).await.map_err(text)
}

/// The worker sees a cancel soon, not at once.
async fn one_more_cancel(pool: &Pool, before: u64) -> Outcome {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let now = cancels(pool).await?;
        if now == before + 1 {
            return Ok(());
        }
        if now > before + 1 || Instant::now() > patience {
            return Err(format!("{now} cancels seen after {before} and one more"));
        }
    }
}

async fn left_early(pool: &Pool) -> Outcome {
    let before = cancels(pool).await?;
    let mut items = pool.stream::<u64>("endless", ());
    for wanted in 0..3 {
        same(items.next().await.transpose().map_err(text)?, Some(wanted))?;
    }
    drop(items);
    one_more_cancel(pool, before).await
}

async fn cancel(pool: &Pool) -> Outcome {
    let before = cancels(pool).await?;
    let call = pool.call::<u64>("sleep", (60_000,)).into_future();
    // Dropped by the time-out: that is what cancels it.
    if tokio::time::timeout(Duration::from_millis(100), call).await.is_ok() {
        return Err("a minute passed in 100 ms".to_owned());
    }
    one_more_cancel(pool, before).await
}

async fn deadline(pool: &Pool) -> Outcome {
    let start = Instant::now();
    let call = pool.call::<u64>("sleep", (60_000,)).deadline(Duration::from_millis(100));
    let error = call.await.err().ok_or("it succeeded")?;
    same(error.code(), ErrorCode::DeadlineExceeded)?;
    same(error.executed() == Executed::No, false)?;
    let took = start.elapsed();
    if took < Duration::from_millis(100) || took > Duration::from_secs(20) {
        return Err(format!("it came after {took:?}"));
    }
    same(pool.call::<i64>("add", (1, 2)).await.map_err(text)?, 3)
}

async fn death(pool: &Pool) -> Outcome {
    let error =
        expect(pool.call::<Value>("die", (3,)).await, ErrorCode::WorkerLost, Executed::Maybe)?;
    same(error.message().contains("exited with code 3"), true).map_err(|_| text(error))?;
    same(pool.call::<i64>("add", (1, 2)).await.map_err(text)?, 3)
}
