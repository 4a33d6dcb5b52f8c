//! Pools: sets of worker processes that calls are made on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use napi_derive::napi;
use procall::{Encoded, Encoding, Error, ErrorCode, Heartbeat, Hub};
use procall_pool::{
    Event as PoolEvent, Happening, Outlet, OutputLine, Pool, PoolBuilder, RestartPolicy, Step,
};
use serde::{Deserialize, Serialize};

use crate::calls::Operation;
use crate::channels::Channel;
use crate::errors;
use crate::events::{Event, Events};
use crate::records::NOTICE;
use crate::state::{self, Kind, State, token};

/// Notices that wait for JavaScript; the oldest one makes room for the next.
const MAX_NOTICES: usize = 4096;

/// What happened in a pool, on its way to JavaScript: filled by the pool's thread, emptied in turns.
#[derive(Clone)]
pub(crate) struct Notices {
    queue: Arc<Mutex<VecDeque<Vec<u8>>>>,
    waker: Waker,
}

impl Notices {
    fn push(&self, notice: &impl Serialize) {
        let mut bytes = Vec::new();
        // Texts and numbers always encode into memory.
        let _ = notice.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map());
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= MAX_NOTICES {
            queue.pop_front();
        }
        queue.push_back(bytes);
        drop(queue);
        self.waker.wake_by_ref();
    }

    fn pop(&self) -> Option<Vec<u8>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// A line of output or an event, as JavaScript sees it.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Notice<'a> {
    Output {
        worker: &'a str,
        pid: u32,
        outlet: &'static str,
        text: &'a str,
        unfinished: bool,
    },
    Event {
        worker: &'a str,
        index: usize,
        pid: Option<u32>,
        what: &'static str,
        reason: Option<&'a str>,
        text: String,
    },
}

fn output(line: &OutputLine) -> Notice<'_> {
    let outlet = match line.outlet {
        Outlet::Stdout => "stdout",
        Outlet::Stderr => "stderr",
    };
    Notice::Output {
        worker: &line.worker,
        pid: line.pid,
        outlet,
        text: &line.text,
        unfinished: line.unfinished,
    }
}

fn event(event: &PoolEvent) -> Notice<'_> {
    let (what, reason) = match &event.happening {
        Happening::Started => ("started", None),
        Happening::Ready => ("ready", None),
        Happening::Suspected => ("suspected", None),
        Happening::Recovered => ("recovered", None),
        Happening::Draining => ("draining", None),
        Happening::Exited { reason } => ("exited", Some(&**reason)),
        Happening::Restarting { .. } => ("restarting", None),
        Happening::Failed { reason } => ("failed", Some(&**reason)),
        Happening::Stopped => ("stopped", None),
        _ => ("other", None),
    };
    Notice::Event {
        worker: &event.worker,
        index: event.index,
        pid: event.pid,
        what,
        reason,
        text: event.to_string(),
    }
}

/// A pool on its way.
pub(crate) struct Spawning {
    step: Step<Pool>,
    waker: Waker,
}

impl Spawning {
    pub(crate) fn look(&mut self, hub: &Hub) -> Poll<Result<Channel, Error>> {
        let Poll::Ready(started) = poll(&mut self.step, &self.waker) else { return Poll::Pending };
        Poll::Ready(started.and_then(|pool| {
            pool.attach(hub)?;
            Ok(Channel { calls: Arc::new(pool.clone()), pool: Some(pool) })
        }))
    }
}

/// Something that a pool does.
pub(crate) struct Doing {
    step: Step,
    waker: Waker,
}

impl Doing {
    pub(crate) fn look(&mut self) -> Poll<Result<Encoded, Error>> {
        poll(&mut self.step, &self.waker)
            .map_ok(|()| Encoded { encoding: Encoding::None, bytes: Vec::new() })
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

impl State {
    /// Writes what happened in a pool. False when there was no room for all.
    pub(crate) fn look_at_pool(&mut self, at: usize, events: &mut Events<'_>) -> bool {
        let Some(notices) = self.notices.get(at) else { return true };
        loop {
            if !events.has_room() {
                return false;
            }
            let Some(bytes) = notices.pop() else { return true };
            events.put_own(&Event::new(NOTICE, at), Encoded { encoding: Encoding::Msgpack, bytes });
        }
    }
}

/// How a pool is to be; what is absent has the default of the builder.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[derive(Default)]
struct Options {
    file: Option<String>,
    command: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: Option<String>,
    interpreter: Option<String>,
    name: Option<String>,
    workers: Option<usize>,
    queue: Option<usize>,
    concurrency: Option<u32>,
    ready_timeout_ms: Option<f64>,
    finish_timeout_ms: Option<f64>,
    stop_timeout_ms: Option<f64>,
    heartbeat: Option<bool>,
    restart: Restart,
    /// Lines that workers print are wanted.
    output: bool,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[derive(Default)]
struct Restart {
    backoff_ms: Option<f64>,
    max_backoff_ms: Option<f64>,
    max_restarts: Option<u32>,
    window_ms: Option<f64>,
    max_unready: Option<u32>,
}

impl Options {
    fn builder(self, notices: &Notices) -> Result<PoolBuilder, Error> {
        let mut builder = match self.file {
            Some(file) => Pool::spawn(file),
            None => Pool::command(self.command),
        };
        builder = builder.args(self.args).restart(self.restart.policy()?);
        for (name, value) in self.env {
            builder = builder.env(name, value);
        }
        if let Some(cwd) = self.cwd {
            builder = builder.cwd(cwd);
        }
        if let Some(interpreter) = self.interpreter {
            builder = builder.interpreter(interpreter);
        }
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if let Some(workers) = self.workers {
            builder = builder.workers(workers);
        }
        if let Some(queue) = self.queue {
            builder = builder.queue(queue);
        }
        if let Some(concurrency) = self.concurrency {
            builder = builder.concurrency(concurrency);
        }
        if let Some(timeout) = self.ready_timeout_ms {
            builder = builder.ready_timeout(millis(timeout)?);
        }
        if let Some(timeout) = self.finish_timeout_ms {
            builder = builder.finish_timeout(millis(timeout)?);
        }
        if let Some(timeout) = self.stop_timeout_ms {
            builder = builder.stop_timeout(millis(timeout)?);
        }
        if let Some(heartbeat) = self.heartbeat {
            builder = builder.heartbeat(heartbeat.then(Heartbeat::default));
        }
        if self.output {
            let lines = notices.clone();
            builder = builder.on_output(move |line| lines.push(&output(line)));
        }
        let happenings = notices.clone();
        Ok(builder.on_event(move |happened| happenings.push(&event(happened))))
    }
}

impl Restart {
    fn policy(self) -> Result<RestartPolicy, Error> {
        let usual = RestartPolicy::default();
        let or = |given: Option<f64>, usual: Duration| given.map_or(Ok(usual), millis);
        Ok(RestartPolicy {
            backoff: or(self.backoff_ms, usual.backoff)?,
            max_backoff: or(self.max_backoff_ms, usual.max_backoff)?,
            max_restarts: self.max_restarts.unwrap_or(usual.max_restarts),
            window: or(self.window_ms, usual.window)?,
            max_unready: self.max_unready.unwrap_or(usual.max_unready),
            ..usual
        })
    }
}

fn millis(millis: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(millis / 1000.0).map_err(|_| {
        Error::new(ErrorCode::InvalidArgument, format!("{millis} is no number of milliseconds"))
    })
}

/// Starts a pool; `DONE` brings its channel. What happens in it comes as `NOTICE` of the number that is returned.
#[napi]
pub(crate) fn spawn(id: u32, options: &[u8]) -> napi::Result<u32> {
    let options: Options = rmp_serde::from_slice(options).map_err(|error| {
        errors::thrown(&Error::new(
            ErrorCode::InvalidArgument,
            format!("these are no options of a pool: {error}"),
        ))
    })?;
    state::with(|state| {
        let number = state.notices.vacant_key();
        let waker = state.hub.waker(token(Kind::Pool, number));
        let notices = Notices { queue: Arc::default(), waker };
        let builder = options.builder(&notices).map_err(|error| errors::thrown(&error))?;
        state.notices.insert(notices);
        let id = id as usize;
        let waker = state.hub.waker(token(Kind::Operation, id));
        state.begin(id, Operation::Spawning(Spawning { step: builder.start(), waker }));
        state.woken.push_back(token(Kind::Operation, id));
        Ok(number as u32)
    })
}

/// Has a pool do something: 0 stop, 1 drain, 2 restart one worker, or all when `worker` is absent. The reply tells when it is done.
#[napi]
pub(crate) fn pool_step(id: u32, channel: u32, what: u32, worker: Option<u32>) -> napi::Result<()> {
    state::with(|state| {
        let id = id as usize;
        let pool = state.channels.get(channel as usize).and_then(|channel| channel.pool.as_ref());
        let Some(pool) = pool else {
            state.begin(
                id,
                Operation::Over(Err(Error::new(ErrorCode::Closed, "the pool was closed"))),
            );
            return Ok(());
        };
        let step = match (what, worker) {
            (0, _) => pool.stop(),
            (1, _) => pool.drain(),
            (_, Some(worker)) => pool.restart(worker as usize),
            (_, None) => pool.restart_all(),
        };
        let waker = state.hub.waker(token(Kind::Operation, id));
        state.begin(id, Operation::Doing(Doing { step, waker }));
        state.woken.push_back(token(Kind::Operation, id));
        Ok(())
    })
}

/// What is known of a worker.
#[napi(object)]
pub(crate) struct Worker {
    /// Its place in the pool, from 0.
    pub index: u32,
    /// Its name, such as `calc/2`.
    pub name: String,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: String,
    /// Calls it was given, across its restarts.
    pub calls: f64,
    /// Calls it is busy with.
    pub in_flight: u32,
    /// How often it was started again.
    pub restarts: f64,
    /// How its last process ended.
    pub last_exit: Option<String>,
}

/// What is known of the workers of a pool.
#[napi]
pub(crate) fn workers(channel: u32) -> napi::Result<Vec<Worker>> {
    state::with(|state| {
        let pool = state.channels.get(channel as usize).and_then(|channel| channel.pool.as_ref());
        Ok(pool.map(Pool::workers).unwrap_or_default().into_iter().map(worker).collect())
    })
}

fn worker(info: procall_pool::WorkerInfo) -> Worker {
    Worker {
        index: info.index as u32,
        name: info.name.to_string(),
        pid: info.pid,
        state: info.state.to_string(),
        calls: info.calls as f64,
        in_flight: info.in_flight,
        restarts: info.restarts as f64,
        last_exit: info.last_exit,
    }
}

/// What the workers of a pool serve, as MessagePack; `null` when no worker was ever ready.
#[napi]
pub(crate) fn registration(channel: u32) -> napi::Result<Option<napi::bindgen_prelude::Buffer>> {
    state::with(|state| {
        let registration =
            state.channels.get(channel as usize).and_then(|channel| channel.calls.registration());
        Ok(registration.map(|registration| {
            let mut bytes = Vec::new();
            // It was MessagePack when the worker sent it.
            let _ = registration
                .serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map());
            bytes.into()
        }))
    })
}

/// Forgets a pool that was stopped, or ends it at once.
#[napi]
pub(crate) fn close_pool(channel: u32, number: u32) -> napi::Result<()> {
    state::with(|state| {
        state.notices.try_remove(number as usize);
        if let Some(channel) = state.channels.try_remove(channel as usize) {
            channel.calls.close();
            // The last handle waits for workers that were not stopped; JavaScript should not.
            let waiting = std::thread::Builder::new()
                .name("procall-close".to_owned())
                .spawn(move || drop(channel));
            // Without a thread to spare it waited here.
            drop(waiting);
        }
        Ok(())
    })
}

/// A reader of events begins to wait, or waits no more.
#[napi]
pub(crate) fn wait_for_events(waits: bool) -> napi::Result<()> {
    state::with(|state| {
        state.readers = if waits { state.readers + 1 } else { state.readers.saturating_sub(1) };
        Ok(())
    })
}
