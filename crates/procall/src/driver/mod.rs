//! The task driver: a tokio task reads a link for everybody.

mod raw;
mod readiness;
mod task;
#[cfg(test)]
mod turns;

pub use raw::{RawService, serve_raw};
pub use readiness::Readiness;
pub use task::drive_hub;
pub(crate) use task::{Server, drive};
