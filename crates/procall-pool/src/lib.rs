//! Supervised worker processes: started, watched, restarted, and never left behind.
//!
//! A [`Pool`] runs a program several times and spreads calls over the processes. Any program will do that serves with Procall:
//! a Python file, a JavaScript file, a binary.
//!
//! ```no_run
//! use procall::{Encoding, Request};
//! use procall_pool::Pool;
//!
//! let pool = Pool::spawn("calc.py").workers(4).start().wait()?;
//! let reply = pool.start_call(Request::new("add", Encoding::Msgpack, &[0x92, 1, 2]))?.wait()?;
//! pool.stop().wait()?;
//! # Ok::<(), procall::Error>(())
//! ```
//!
//! # What holds
//!
//! - A worker is ready once it has registered and answered; before that it gets no calls.
//! - A call goes to an idle worker at once, else it waits in a bounded queue; its deadline counts meanwhile.
//! - A worker that dies is seen at once. Its calls end with WORKER_LOST, which says how it died and what it wrote last, and it is started again.
//! - A call that is cancelled or runs out of time costs no worker, and a worker gets no new call before it is done with the old one.
//! - However this process ends, its workers end with it.
//!
//! # The mistake to avoid
//!
//! Workers are processes of their own: what the caller keeps in memory they do not see, and what one of them keeps the others do not see.
//! A handler that counts calls in a global variable counts those of one worker, and begins anew after each restart.

#![deny(unsafe_code)]

mod builder;
mod calls;
mod core;
mod dispatch;
#[cfg(feature = "tokio")]
mod driver;
mod info;
mod output;
mod policy;
mod pool;
mod size;
mod spawn;
mod step;
mod supervisor;
mod transport;
mod worker_set;

pub use builder::PoolBuilder;
pub use calls::{Answer, Broadcast, BroadcastFuture};
pub use info::{Health, Stats, WorkerInfo, WorkerState};
pub use output::{Event, Events, Happening, Outlet, OutputLine};
pub use policy::{DispatchPolicy, RecyclePolicy, RestartPolicy};
pub use pool::Pool;
pub use size::parse_bytes;
pub use spawn::Exit;
pub use step::Step;
pub use transport::{Door, Opening, Transport};
pub use worker_set::WorkerSet;

/// The Rust snippets of the README and of the book, compiled.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/src/tutorial.md")]
    struct Tutorial;
    #[doc = include_str!("../../../docs/src/pools.md")]
    struct Pools;
    #[doc = include_str!("../../../docs/src/arrays.md")]
    struct Arrays;
    #[doc = include_str!("../../../docs/src/rust.md")]
    struct Rust;
    #[doc = include_str!("../../../docs/src/retries.md")]
    struct Retries;
    #[doc = include_str!("../../../docs/src/connect.md")]
    struct Connect;
    #[doc = include_str!("../../../docs/src/engine.md")]
    struct Engine;
    #[doc = include_str!("../../../docs/src/values.md")]
    struct Values;
}
