//! What a JavaScript thread has: its hub, and everything that waits on it.

use std::cell::RefCell;
use std::collections::VecDeque;

use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use procall::{Config, Hub};
use slab::Slab;

use crate::calls::Operation;
use crate::channels::Channel;
use crate::errors;
use crate::pools::Notices;
use crate::served::Served;
use crate::services::{Inbound, Service};
use crate::uv::Watch;

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// What a waker means: a kind in the upper half of its number, and a place in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Operation = 1,
    Served = 2,
    Inbound = 3,
    Pool = 4,
    Engine = 5,
}

pub(crate) fn token(kind: Kind, at: usize) -> u64 {
    (kind as u64) << 32 | at as u64
}

pub(crate) fn parts(token: u64) -> Option<(Kind, usize)> {
    let kind = match token >> 32 {
        1 => Kind::Operation,
        2 => Kind::Served,
        3 => Kind::Inbound,
        4 => Kind::Pool,
        5 => Kind::Engine,
        _ => return None,
    };
    Some((kind, (token & 0xffff_ffff) as usize))
}

pub(crate) struct State {
    pub(crate) hub: Hub,
    watch: Watch,
    /// What calls are made on.
    pub(crate) channels: Slab<Channel>,
    /// Calls and other operations of ours, under numbers that JavaScript gives.
    pub(crate) operations: Vec<Operation>,
    /// How many of them are under way.
    pub(crate) busy: usize,
    /// What happens in pools.
    pub(crate) notices: Slab<Notices>,
    /// Readers of JavaScript that wait for something to happen in a pool.
    pub(crate) readers: usize,
    pub(crate) services: Slab<Service>,
    /// Connections that services serve.
    pub(crate) inbound: Slab<Inbound>,
    /// Calls of peers that were not answered yet.
    pub(crate) served: Slab<Served>,
    /// Wakers that were woken and not looked at.
    pub(crate) woken: VecDeque<u64>,
    /// Bodies too long for the shared buffer, until JavaScript takes them.
    pub(crate) bodies: Slab<Vec<u8>>,
}

impl State {
    /// Lets the process live as long as a call is under way, a service serves, or somebody waits for what happens in a pool.
    pub(crate) fn settle(&self) {
        self.watch.keep_alive(self.busy > 0 || self.readers > 0 || !self.services.is_empty());
    }
}

/// Runs `f` with the state of this thread.
pub(crate) fn with<R>(f: impl FnOnce(&mut State) -> napi::Result<R>) -> napi::Result<R> {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut().ok_or_else(|| {
            napi::Error::from_reason("this thread has no loop: call `open` first")
        })?;
        let result = f(state);
        state.settle();
        result
    })
}

/// What a peer is told of this process.
pub(crate) fn config(name: &str) -> Config {
    Config {
        name: name.to_owned(),
        pid: std::process::id(),
        runtime: concat!("node/", env!("CARGO_PKG_VERSION")).to_owned(),
        compression: procall::surroundings::compression(),
        ..Config::default()
    }
}

/// The same with what a user has said of compression; else the environment has.
pub(crate) fn config_with(name: &str, compression: Option<bool>) -> Config {
    let config = config(name);
    Config { compression: compression.unwrap_or(config.compression), ..config }
}

/// Makes the loop of this thread; `on_ready` is called whenever [`turn`](crate::turn::turn) has something to do.
#[napi]
pub(crate) fn open(env: Env, on_ready: Function<'_, (), ()>) -> napi::Result<()> {
    STATE.with_borrow_mut(|state| {
        if state.is_some() {
            return Err(napi::Error::from_reason("this thread has a loop already"));
        }
        let hub = Hub::new().map_err(|error| errors::thrown(&error))?;
        // The sockets close with the environment, not with the thread.
        // Those of a process that exits may be gone with the thread before.
        let ended = || drop(STATE.try_with(RefCell::take));
        let watch = Watch::start(&env, hub.descriptor(), &on_ready, ended)?;
        *state = Some(State {
            hub,
            watch,
            channels: Slab::new(),
            operations: Vec::new(),
            busy: 0,
            notices: Slab::new(),
            readers: 0,
            services: Slab::new(),
            inbound: Slab::new(),
            served: Slab::new(),
            woken: VecDeque::new(),
            bodies: Slab::new(),
        });
        Ok(())
    })
}
