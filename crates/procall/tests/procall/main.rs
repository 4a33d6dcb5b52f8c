//! What callers and services may rely on, over every transport and both drivers.

mod blocking;
mod calls;
mod cancelling;
mod coalesce;
mod connecting;
mod deadlines;
mod ends;
mod errors;
mod hostile;
mod hub;
mod limits;
mod macros;
mod messages;
mod notifications;
mod params;
mod pulling;
mod relay;
mod retrying;
mod sharing;
mod standby;
mod streams;
mod streams_in;
mod support;
mod ui;
mod values;
mod waiting;
