//! The verbs, one file each.

pub(crate) mod call;
pub(crate) mod config;
pub(crate) mod describe;
pub(crate) mod explain;
pub(crate) mod ls;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod stream;
