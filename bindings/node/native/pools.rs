//! Pools: sets of worker processes that calls are made on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use napi_derive::napi;
use procall::{Encoded, Encoding, Error, ErrorCode, Hub};
use procall_pool::{Event as PoolEvent, Happening, Outlet, OutputLine, Pool, PoolBuilder, Step};
use serde::{Deserialize, Serialize};

use crate::calls::Operation;
use crate::channels::Channel;
use crate::errors;
use crate::events::{Event, Events};
use crate::figures::Stats;
use crate::options;
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
        #[serde(skip_serializing_if = "Option::is_none")]
        call: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        method: Option<&'a str>,
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
        call: line.call,
        method: line.method.as_deref(),
    }
}

fn event(event: &PoolEvent) -> Notice<'_> {
    let (what, reason) = match &event.happening {
        Happening::Started => ("started", None),
        Happening::Ready => ("ready", None),
        Happening::Suspected => ("suspected", None),
        Happening::Recovered => ("recovered", None),
        Happening::Draining => ("draining", None),
        Happening::Replacing { reason } => ("replacing", Some(&**reason)),
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
        poll(&mut self.step, &self.waker).map_ok(|()| Encoded::new(Encoding::None, Vec::new()))
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
            events.put_own(&Event::new(NOTICE, at), Encoded::new(Encoding::Msgpack, bytes));
        }
    }
}

/// What a pool runs, and what its user wants to hear.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Program {
    file: Option<String>,
    command: Vec<String>,
    /// Lines that workers print are wanted.
    output: bool,
}

impl Program {
    fn builder(self, notices: &Notices) -> PoolBuilder {
        let mut builder = match self.file {
            Some(file) => Pool::spawn(file),
            None => Pool::command(self.command),
        };
        if self.output {
            let lines = notices.clone();
            builder = builder.on_output(move |line| lines.push(&output(line)));
        }
        let happenings = notices.clone();
        builder.on_event(move |happened| happenings.push(&event(happened)))
    }
}

/// Starts a pool; `DONE` brings its channel. What happens in it comes as `NOTICE` of the number that is returned.
#[napi]
pub(crate) fn spawn(id: u32, program: &[u8], options: &[u8]) -> napi::Result<u32> {
    let program: Program = rmp_serde::from_slice(program).map_err(|error| {
        errors::thrown(&Error::new(
            ErrorCode::InvalidArgument,
            format!("this is no program that a pool could run: {error}"),
        ))
    })?;
    state::with(|state| {
        let number = state.notices.vacant_key();
        let waker = state.hub.waker(token(Kind::Pool, number));
        let notices = Notices { queue: Arc::default(), waker };
        let builder = options::apply(program.builder(&notices), options)
            .map_err(|error| errors::thrown(&error))?;
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
            state.begin(id, Operation::Over(Err(errors::closed("pool"))));
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

/// Forgets a pool that was stopped, or ends it at once; what was known of it last, unless that was told before.
#[napi]
pub(crate) fn close_pool(channel: u32, number: u32) -> napi::Result<Option<Stats>> {
    state::with(|state| {
        state.notices.try_remove(number as usize);
        let mut last = None;
        if let Some(channel) = state.channels.try_remove(channel as usize) {
            channel.calls.close();
            last = channel.pool.as_ref().map(|pool| pool.stats().into());
            // The last handle waits for workers that were not stopped; JavaScript should not.
            let waiting = std::thread::Builder::new()
                .name("procall-close".to_owned())
                .spawn(move || drop(channel));
            // Without a thread to spare it waited here.
            drop(waiting);
        }
        Ok(last)
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
