//! How a pool is to be, as JavaScript says it. A mistake is told with the option's name, what it was, and what it can be.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use procall::{Error, ErrorCode, Heartbeat, similar};
use procall_pool::{
    DispatchPolicy, OnCancel, PoolBuilder, RecyclePolicy, RestartPolicy, parse_bytes,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Options that JavaScript keeps for itself; named here so that they can be what somebody meant.
const KEPT: [&str; 3] = ["onOutput", "onEvent", "signal"];
/// Longer times are as good as this one, and sums of two of them still are times.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

const TEXT: &str = "a text";
const TEXTS: &str = "an array of texts";
const FLAG: &str = "true or false";
const NUMBER: &str = "a whole number from 0";
const WORKERS: &str = "a number of processes, or { min, max }";
const MILLIS: &str = "a number of milliseconds";
const MEMORY: &str = "a number of bytes, or a text such as \"2GiB\"";
const OBJECT: &str = "an object";
const TRANSPORT: &str = "\"auto\", \"unix\" or \"shm\"";

/// Any value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
    Null(()),
    Other(IgnoredAny),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(values) => {
                let shown: Vec<String> = values.iter().map(Self::to_string).collect();
                write!(f, "[{}]", shown.join(", "))
            }
            Self::Map(_) => f.write_str("an object"),
            Self::Null(()) => f.write_str("null"),
            Self::Other(_) => f.write_str("something else"),
        }
    }
}

impl Value {
    fn bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn texts(&self) -> Option<Vec<String>> {
        let Self::List(values) = self else { return None };
        values.iter().map(|value| value.text().map(str::to_owned)).collect()
    }

    /// A whole number that fits the type.
    fn whole<T: TryFrom<u64>>(&self) -> Option<T> {
        /// The largest number up to which JavaScript has all of them.
        const MAX_SAFE: f64 = 9_007_199_254_740_991.0;
        match self {
            Self::Number(value) if (0.0..=MAX_SAFE).contains(value) && value.fract() == 0.0 => {
                T::try_from(*value as u64).ok()
            }
            _ => None,
        }
    }

    /// Milliseconds; infinity is for ever.
    fn millis(&self) -> Option<Duration> {
        match self {
            Self::Number(millis) if *millis >= 0.0 => {
                Some(Duration::try_from_secs_f64(millis / 1e3).unwrap_or(FOR_EVER).min(FOR_EVER))
            }
            _ => None,
        }
    }

    fn map(self) -> Option<BTreeMap<String, Self>> {
        if let Self::Map(values) = self { Some(values) } else { None }
    }
}

/// Options that are taken one by one; what is left in the end, there is not.
struct Given {
    /// What stands before the names, such as `restart.`.
    path: &'static str,
    values: BTreeMap<String, Value>,
    known: Vec<&'static str>,
}

impl Given {
    fn new(path: &'static str, values: BTreeMap<String, Value>) -> Self {
        Self { path, values, known: Vec::new() }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.values.remove(name)
    }

    /// An option that `read` makes something of, if it is given.
    fn read<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match read(&value) {
            Some(found) => Ok(Some(found)),
            None => Err(self.wrong(name, &value, wanted)),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        self.read(name, TEXT, |value| value.text().map(str::to_owned))
    }

    fn whole<T: TryFrom<u64>>(&mut self, name: &'static str) -> Result<Option<T>, Error> {
        self.read(name, NUMBER, Value::whole)
    }

    fn millis(&mut self, name: &'static str) -> Result<Option<Duration>, Error> {
        self.read(name, MILLIS, Value::millis)
    }

    fn object(&mut self, name: &'static str, path: &'static str) -> Result<Self, Error> {
        let Some(value) = self.take(name) else { return Ok(Self::new(path, BTreeMap::new())) };
        let shown = value.to_string();
        match value.map() {
            Some(values) => Ok(Self::new(path, values)),
            None => Err(self.wrong(name, &shown, OBJECT)),
        }
    }

    fn wrong(&self, name: &str, value: &dyn fmt::Display, wanted: &str) -> Error {
        invalid(format!("{}{name} is {value}: give {wanted}", self.path))
    }

    /// Refuses what nobody asked for.
    fn finish(mut self) -> Result<(), Error> {
        let Some(unknown) = self.values.keys().next() else { return Ok(()) };
        let candidates = similar(unknown, self.known.iter().copied());
        let hint = match candidates.first() {
            Some(candidate) => format!("did you mean {}{candidate}?", self.path),
            None => {
                self.known.sort_unstable();
                format!("there are {}", self.known.join(", "))
            }
        };
        let message = format!("a pool has no option {}{unknown}; {hint}", self.path);
        Err(invalid(message).with_candidates(candidates))
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message.into())
}

/// Sets what the options in `bytes`, a map, say; what is absent keeps the default of the builder.
pub(crate) fn apply(mut builder: PoolBuilder, bytes: &[u8]) -> Result<PoolBuilder, Error> {
    let values = rmp_serde::from_slice(bytes)
        .map_err(|error| invalid(format!("these are no options of a pool: {error}")))?;
    let mut given = Given::new("", values);
    given.known.extend(KEPT);
    if let Some(args) = given.read("args", TEXTS, Value::texts)? {
        builder = builder.args(args);
    }
    builder = environment(builder, given.object("env", "env.")?)?;
    if let Some(cwd) = given.text("cwd")? {
        builder = builder.cwd(cwd);
    }
    if let Some(interpreter) = given.text("interpreter")? {
        builder = builder.interpreter(interpreter);
    }
    if let Some(name) = given.text("name")? {
        builder = builder.name(name);
    }
    if let Some(choice) = given.read("transport", TRANSPORT, |value| value.text()?.parse().ok())? {
        builder = builder.talk_by(choice);
    }
    if let Some(compression) = given.read("compression", FLAG, Value::bool)? {
        builder = builder.compression(compression);
    }
    if let Some(show) = given.read("showOutput", FLAG, Value::bool)? {
        builder = builder.show_output(show);
    }
    builder = sizes(builder, &mut given)?;
    if let Some(timeout) = given.millis("idleTimeoutMs")? {
        builder = builder.idle_timeout(timeout);
    }
    let policy = given.take("dispatch");
    if let Some(policy) = policy {
        let name = policy.text().map_or_else(|| policy.to_string(), str::to_owned);
        builder = builder
            .dispatch(name.parse::<DispatchPolicy>().map_err(|error| of("dispatch", &error))?);
    }
    builder = builder.recycle(recycling(&mut given)?);
    if let Some(then) = given.take("onCancel") {
        let name = then.text().map_or_else(|| then.to_string(), str::to_owned);
        builder =
            builder.on_cancel(name.parse::<OnCancel>().map_err(|error| of("onCancel", &error))?);
    }
    if let Some(grace) = given.millis("cancelGraceMs")? {
        builder = builder.cancel_grace(grace);
    }
    if let Some(timeout) = given.millis("hangTimeoutMs")? {
        builder = builder.hang_timeout(Some(timeout));
    }
    if let Some(queue) = given.whole("queue")? {
        builder = builder.queue(queue);
    }
    if let Some(concurrency) = given.whole("concurrency")? {
        builder = builder.concurrency(concurrency);
    }
    if let Some(timeout) = given.millis("readyTimeoutMs")? {
        builder = builder.ready_timeout(timeout);
    }
    if let Some(timeout) = given.millis("finishTimeoutMs")? {
        builder = builder.finish_timeout(timeout);
    }
    if let Some(timeout) = given.millis("stopTimeoutMs")? {
        builder = builder.stop_timeout(timeout);
    }
    if let Some(heartbeat) = given.read("heartbeat", FLAG, Value::bool)? {
        builder = builder.heartbeat(heartbeat.then(Heartbeat::default));
    }
    builder = builder.restart(restarting(given.object("restart", "restart.")?)?);
    given.finish()?;
    Ok(builder)
}

/// The error of an option whose value the pool reads.
fn of(name: &str, error: &Error) -> Error {
    invalid(format!("{name}: {}", error.message())).with_candidates(error.candidates().to_vec())
}

fn environment(mut builder: PoolBuilder, variables: Given) -> Result<PoolBuilder, Error> {
    for (name, value) in &variables.values {
        match value {
            Value::Text(text) => builder = builder.env(name, text),
            other => return Err(variables.wrong(name, other, TEXT)),
        }
    }
    Ok(builder)
}

/// How many workers: a number, or the least and the most.
fn sizes(builder: PoolBuilder, given: &mut Given) -> Result<PoolBuilder, Error> {
    let value = match given.take("workers") {
        None => return Ok(builder),
        Some(Value::Map(values)) => {
            let mut given = Given::new("workers.", values);
            let (min, max) = (given.whole("min")?, given.whole("max")?);
            given.finish()?;
            return match (min, max) {
                (Some(min), Some(max)) => Ok(builder.elastic(min..=max)),
                _ => Err(invalid(
                    "workers has no min or no max: give both, or one number of processes",
                )),
            };
        }
        Some(value) => value,
    };
    match value.whole() {
        Some(workers) => Ok(builder.workers(workers)),
        None => Err(given.wrong("workers", &value, WORKERS)),
    }
}

fn recycling(given: &mut Given) -> Result<RecyclePolicy, Error> {
    let max_calls = given.read("maxCalls", "a whole number from 1", Value::whole::<NonZeroU64>)?;
    let max_memory = match given.take("maxMemory") {
        None => None,
        Some(Value::Text(text)) => {
            Some(parse_bytes(&text).map_err(|error| of("maxMemory", &error))?)
        }
        Some(value) => Some(value.whole().ok_or_else(|| given.wrong("maxMemory", &value, MEMORY))?),
    };
    Ok(RecyclePolicy { max_calls: max_calls.map(NonZeroU64::get), max_memory })
}

fn restarting(mut given: Given) -> Result<RestartPolicy, Error> {
    let usual = RestartPolicy::default();
    let policy = RestartPolicy {
        backoff: given.millis("backoffMs")?.unwrap_or(usual.backoff),
        max_backoff: given.millis("maxBackoffMs")?.unwrap_or(usual.max_backoff),
        max_restarts: given.whole("maxRestarts")?.unwrap_or(usual.max_restarts),
        window: given.millis("windowMs")?.unwrap_or(usual.window),
        max_unready: given.whole("maxUnready")?.unwrap_or(usual.max_unready),
        ..usual
    };
    given.finish()?;
    Ok(policy)
}
