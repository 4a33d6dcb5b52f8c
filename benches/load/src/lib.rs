//! How load is made and measured.
//!
//! A cell of the benchmark is one program that serves and one that calls.
//! Each is started as `PROGRAM ROLE PATH [WINDOW_MS] [WORKLOAD]`; see [`Task`].
//! A server prints `ready` once it can be called; a caller prints its [`Figures`] as one line of JSON.

mod measure;
mod task;

pub use measure::{
    IN_FLIGHT, Measured, alone, drive, latency, latency_of, measure, payload, percentiles,
    throughput, touch,
};
pub use task::{Task, Workload};

/// Named numbers: what one run of a cell measured. The unit is the end of the name, as in `p50_us`.
pub type Figures = std::collections::BTreeMap<String, f64>;

/// Figures as the line that a caller prints.
pub fn line(figures: &Figures) -> String {
    serde_json::to_string(figures).expect("names and numbers are JSON")
}
