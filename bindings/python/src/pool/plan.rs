//! What a pool is to be, as Python says it.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use procall::Heartbeat;
use procall_pool::{
    DispatchPolicy, OutputLine, Pool, PoolBuilder, RecyclePolicy, RestartPolicy, parse_bytes,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::options::{self, Given};

const PROGRAM: &str = "a file, or the parts of a command as a list";
const WORKERS: &str = "a number of processes, or (least, most)";
/// Those of `procall run`, which stay apart for people who do not tell red from green.
const COLOURS: [u8; 6] = [36, 33, 35, 34, 32, 31];
const MEMORY: &str = "a number of bytes, or a text such as \"2GiB\"";

/// The builder that these options describe; what is absent keeps its default.
pub(super) fn builder(
    program: &Bound<'_, PyAny>,
    options: &Bound<'_, PyDict>,
) -> PyResult<PoolBuilder> {
    let mut builder = spawn(program)?;
    let mut given = Given::new(options);
    builder = sizes(builder, &mut given)?;
    builder = set(builder, given.seconds("idle_timeout")?, PoolBuilder::idle_timeout);
    builder = set(builder, dispatch(&mut given)?, PoolBuilder::dispatch);
    builder = builder.recycle(recycling(&mut given)?).restart(restarting(&mut given)?);
    builder = set(builder, given.whole("concurrency")?, PoolBuilder::concurrency);
    builder = set(builder, given.whole("queue")?, PoolBuilder::queue);
    builder = set(builder, given.texts("args")?, PoolBuilder::args);
    for (name, value) in given.variables("env")?.unwrap_or_default() {
        builder = builder.env(name, value);
    }
    builder = set(builder, given.path("cwd")?, PoolBuilder::cwd);
    builder = set(builder, given.path("interpreter")?, PoolBuilder::interpreter);
    builder = set(builder, given.path("default_python")?, PoolBuilder::default_python);
    builder = set(builder, given.text("name")?, PoolBuilder::name);
    builder = set(builder, given.seconds("ready_timeout")?, PoolBuilder::ready_timeout);
    builder = set(builder, given.seconds("finish_timeout")?, PoolBuilder::finish_timeout);
    builder = set(builder, given.seconds("stop_timeout")?, PoolBuilder::stop_timeout);
    if let Some(beats) = given.flag("heartbeat")? {
        builder = builder.heartbeat(beats.then(Heartbeat::default));
    }
    if given.flag("show_output")?.unwrap_or(true) {
        // On a thread of the pool's own, which never enters Python.
        let colour = has_colour();
        builder = builder.on_output(move |line| show(line, colour));
    }
    given.finish("a pool")?;
    Ok(builder)
}

/// Whether standard error is a terminal whose user wants colours.
fn has_colour() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !plain
}

/// A line of a worker's on standard error, each worker in a colour of its own.
fn show(line: &OutputLine, colour: bool) {
    let mut stderr = std::io::stderr().lock();
    // Nobody may read it any more, which must not end the pool's thread.
    let _ = if colour {
        let number = line.worker.rsplit('/').next().and_then(|number| number.parse().ok());
        let code = COLOURS[number.unwrap_or(0_usize) % COLOURS.len()];
        writeln!(stderr, "\x1b[{code}m{} |\x1b[0m {}", line.worker, line.text)
    } else {
        writeln!(stderr, "{line}")
    };
}

fn set<T>(
    builder: PoolBuilder,
    value: Option<T>,
    with: impl FnOnce(PoolBuilder, T) -> PoolBuilder,
) -> PoolBuilder {
    match value {
        Some(value) => with(builder, value),
        None => builder,
    }
}

fn spawn(program: &Bound<'_, PyAny>) -> PyResult<PoolBuilder> {
    if let Ok(file) = program.extract::<PathBuf>() {
        return Ok(Pool::spawn(file));
    }
    match program.extract::<Vec<PathBuf>>() {
        Ok(parts) => Ok(Pool::command(parts)),
        Err(_) => Err(options::wrong("program", program, PROGRAM)),
    }
}

/// How many workers: a number, or the least and the most.
fn sizes(builder: PoolBuilder, given: &mut Given<'_>) -> PyResult<PoolBuilder> {
    let Some(value) = given.take("workers")? else { return Ok(builder) };
    if let Some(workers) = options::whole(&value) {
        return Ok(builder.workers(workers));
    }
    match value.extract::<[Bound<'_, PyAny>; 2]>() {
        Ok([least, most]) => match (options::whole(&least), options::whole(&most)) {
            (Some(least), Some(most)) => Ok(builder.elastic(least..=most)),
            _ => Err(options::wrong("workers", &value, WORKERS)),
        },
        Err(_) => Err(options::wrong("workers", &value, WORKERS)),
    }
}

fn dispatch(given: &mut Given<'_>) -> PyResult<Option<DispatchPolicy>> {
    let Some(value) = given.take("dispatch")? else { return Ok(None) };
    let name = value.str()?.to_string_lossy().into_owned();
    let policy = name.parse().map_err(|error| options::refused(value.py(), "dispatch", &error))?;
    Ok(Some(policy))
}

fn recycling(given: &mut Given<'_>) -> PyResult<RecyclePolicy> {
    let max_calls = given.whole("max_calls")?;
    let max_memory = match given.take("max_memory")? {
        None => None,
        Some(value) => Some(match value.cast::<PyString>() {
            Ok(text) => parse_bytes(&text.to_string_lossy())
                .map_err(|error| options::refused(value.py(), "max_memory", &error))?,
            Err(_) => options::whole(&value)
                .ok_or_else(|| options::wrong("max_memory", &value, MEMORY))?,
        }),
    };
    Ok(RecyclePolicy { max_calls, max_memory })
}

fn restarting(given: &mut Given<'_>) -> PyResult<RestartPolicy> {
    let usual = RestartPolicy::default();
    Ok(RestartPolicy {
        max_restarts: given.whole("max_restarts")?.unwrap_or(usual.max_restarts),
        window: given.seconds("restart_window")?.unwrap_or(usual.window),
        max_unready: given.whole("max_unready")?.unwrap_or(usual.max_unready),
        backoff: given.seconds("backoff")?.unwrap_or(usual.backoff),
        max_backoff: given.seconds("max_backoff")?.unwrap_or(usual.max_backoff),
        ..usual
    })
}
