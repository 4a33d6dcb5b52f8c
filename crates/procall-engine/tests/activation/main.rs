//! Services whose workers the engine starts.

mod failing;
mod first_call;
mod stopping;
mod support;
mod workers;
