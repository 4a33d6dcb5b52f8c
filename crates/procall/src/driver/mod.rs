//! The task driver: a tokio task reads a link for everybody.

mod readiness;
mod task;

pub(crate) use readiness::Readiness;
pub(crate) use task::drive;
pub use task::drive_hub;
