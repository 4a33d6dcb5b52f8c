//! What a `procall run` answers about its workers.

pub(crate) use procall_engine::workers::{LogLine, WorkerRow};

/// Its workers: rows of [`WorkerRow`].
pub(crate) const METHOD: &str = "procall.workers";
/// Starts one worker anew, or all of them, one after the other: `worker`, none for all. Its answer is the names of those.
pub(crate) const RESTART: &str = "procall.restart";
/// Gives the pool no new calls, and answers when those there are have ended.
pub(crate) const DRAIN: &str = "procall.drain";
/// Ends the `procall run`, as SIGTERM does.
pub(crate) const STOP: &str = "procall.stop";
/// The lines that workers printed: `worker`, none for all; how many of the `last`; whether to `follow`. A stream of [`LogLine`].
pub(crate) const LOGS: &str = "procall.logs";
