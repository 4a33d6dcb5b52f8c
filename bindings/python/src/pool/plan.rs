//! What a pool is to be, as Python says it.

use std::path::PathBuf;

use procall::Heartbeat;
use procall_pool::{
    DispatchPolicy, OnCancel, Pool, PoolBuilder, RecyclePolicy, RestartPolicy, parse_bytes,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::options::{self, Given};

const PROGRAM: &str = "a file, or the parts of a command as a list";
const WORKERS: &str = "a number of processes, or (least, most)";
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
    builder = set(builder, on_cancel(&mut given)?, PoolBuilder::on_cancel);
    builder = set(builder, given.seconds("cancel_grace")?, PoolBuilder::cancel_grace);
    builder = set(builder, given.seconds("hang_timeout")?.map(Some), PoolBuilder::hang_timeout);
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
    let transports = "\"auto\", \"unix\" or \"shm\"";
    let transport = given
        .read("transport", transports, |value| value.extract::<String>().ok()?.parse().ok())?;
    builder = set(builder, transport, PoolBuilder::talk_by);
    builder = set(builder, given.flag("compression")?, PoolBuilder::compression);
    builder = set(builder, given.seconds("ready_timeout")?, PoolBuilder::ready_timeout);
    builder = set(builder, given.seconds("finish_timeout")?, PoolBuilder::finish_timeout);
    builder = set(builder, given.seconds("stop_timeout")?, PoolBuilder::stop_timeout);
    if let Some(beats) = given.flag("heartbeat")? {
        builder = builder.heartbeat(beats.then(Heartbeat::default));
    }
    builder = set(builder, given.flag("show_output")?, PoolBuilder::show_output);
    given.finish("a pool")?;
    Ok(builder)
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

fn on_cancel(given: &mut Given<'_>) -> PyResult<Option<OnCancel>> {
    let Some(value) = given.take("on_cancel")? else { return Ok(None) };
    let name = value.str()?.to_string_lossy().into_owned();
    let then = name.parse().map_err(|error| options::refused(value.py(), "on_cancel", &error))?;
    Ok(Some(then))
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
