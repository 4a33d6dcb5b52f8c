//! Calling: one channel, seen from blocking code or from asyncio.

mod answers;
mod caller;
pub(crate) mod dial;
mod method;
mod params;
mod report;
mod stream;
mod submitted;

pub(crate) use answers::Answers;
pub(crate) use caller::Caller;
pub(crate) use dial::{compressed, config};
pub(crate) use method::Method;
pub(crate) use report::Report;
pub(crate) use stream::{AsyncStream, Stream};
pub(crate) use submitted::Submitted;
