//! The verbs, one file each.

pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod cancel;
pub(crate) mod chaos;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod describe;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod limits;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod ps;
pub(crate) mod restart;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod stop;
pub(crate) mod stream;
