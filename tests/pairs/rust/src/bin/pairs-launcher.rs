//! The Rust parent: every way to start a worker that the table named on the command line has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use procall::{Error, ErrorCode};
use procall_pool::{Pool, RestartPolicy};
use serde::Deserialize;

const ARGS: [&str; 4] = ["$(exit 1); `exit 1`", "", "ü \"quoted\" 'twice' *", "--flag=1"];

/// One way to start a worker, and what comes of it.
#[derive(Deserialize)]
struct Row {
    name: String,
    spawn: Option<PathBuf>,
    #[serde(default)]
    command: Vec<String>,
    interpreter: Option<String>,
    cwd: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    callers: Option<Vec<String>>,
    #[serde(default)]
    language: String,
    #[serde(default)]
    program: String,
    fails: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Launched {
    language: String,
    program: String,
    args: Vec<String>,
    cwd: PathBuf,
    env: BTreeMap<String, String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let table = std::env::args().nth(1).unwrap_or_default();
    let rows: Vec<Row> = match std::fs::read(&table).map(|text| serde_json::from_slice(&text)) {
        Ok(Ok(rows)) => rows,
        other => {
            println!("FAIL  the table {table:?} cannot be read: {:?}", other.err());
            return ExitCode::FAILURE;
        }
    };
    let mut failed = false;
    let ours =
        |row: &&Row| row.callers.as_ref().is_none_or(|all| all.iter().any(|one| one == "rust"));
    for row in rows.iter().filter(ours) {
        match check(row).await {
            Ok(()) => println!("ok    {}", row.name),
            Err(reason) => {
                failed = true;
                println!("FAIL  {}: {reason}", row.name);
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

async fn start(row: &Row) -> Result<Pool, Error> {
    let mut builder = match &row.spawn {
        Some(file) => Pool::spawn(file),
        None => Pool::command(&row.command),
    };
    if let Some(interpreter) = &row.interpreter {
        builder = builder.interpreter(interpreter);
    }
    if let Some(cwd) = &row.cwd {
        builder = builder.cwd(cwd);
    }
    for (name, value) in &row.env {
        builder = builder.env(name, value);
    }
    let restart = RestartPolicy { max_unready: 1, ..RestartPolicy::default() };
    builder.env("PAIRS_SAID", "a=b; ü").args(ARGS).workers(1).restart(restart).start().await
}

async fn check(row: &Row) -> Result<(), String> {
    let text = |error: Error| format!("{error:?}");
    let pool = match (start(row).await, &row.fails) {
        (Ok(pool), None) => pool,
        (Ok(_), Some(_)) => return Err("it started".to_owned()),
        (Err(error), Some(says))
            if error.code() == ErrorCode::SpawnFailed && error.message().contains(says) =>
        {
            return Ok(());
        }
        (Err(error), _) => return Err(text(error)),
    };
    let sum: i64 = pool.call("add", (1, 2)).await.map_err(text)?;
    let launched: Launched = pool.call("launched", ()).await.map_err(text)?;
    pool.stop().await.map_err(text)?;
    let cwd = row.cwd.as_deref().unwrap_or(Path::new("."));
    let cwd = std::fs::canonicalize(cwd).map_err(|error| error.to_string())?;
    let said = BTreeMap::from([("PAIRS_SAID".to_owned(), "a=b; ü".to_owned())]);
    let right = sum == 3
        && launched.language == row.language
        && launched.args == ARGS
        && launched.cwd == cwd
        && launched.env == said
        && launched.program.starts_with(&row.program);
    if right { Ok(()) } else { Err(format!("{launched:?}")) }
}
