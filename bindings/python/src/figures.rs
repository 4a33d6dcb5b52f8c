//! What is known of pools, their workers and the calls of both pools and clients, as dicts.

use std::time::Duration;

use procall::Metrics;
use procall_pool::{Health, WorkerInfo};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

pub(crate) fn metrics<'py>(py: Python<'py>, metrics: &Metrics) -> PyResult<Bound<'py, PyDict>> {
    let latency = PyDict::new(py);
    latency.set_item("mean", metrics.latency.mean.as_secs_f64())?;
    latency.set_item("p50", metrics.latency.p50.as_secs_f64())?;
    latency.set_item("p95", metrics.latency.p95.as_secs_f64())?;
    latency.set_item("p99", metrics.latency.p99.as_secs_f64())?;
    latency.set_item("min", metrics.latency.min.as_secs_f64())?;
    latency.set_item("max", metrics.latency.max.as_secs_f64())?;
    let facts = PyDict::new(py);
    facts.set_item("total_requests", metrics.total_requests)?;
    facts.set_item("successful_requests", metrics.successful_requests)?;
    facts.set_item("failed_requests", metrics.failed_requests)?;
    facts.set_item("cancelled_requests", metrics.cancelled_requests)?;
    facts.set_item("in_flight", metrics.in_flight)?;
    facts.set_item("success_rate", metrics.success_rate())?;
    facts.set_item("latency", latency)?;
    facts.set_item("average_latency", metrics.average_latency().as_secs_f64())?;
    facts.set_item("queue_depth", metrics.queue_depth)?;
    facts.set_item("restarts", metrics.restarts)?;
    facts.set_item("heartbeat_round_trip", metrics.heartbeat_round_trip.map(seconds))?;
    facts.set_item("missed_heartbeats", metrics.missed_heartbeats)?;
    facts.set_item("retries", metrics.retries)?;
    facts.set_item("arrays_copied", metrics.arrays_copied)?;
    facts.set_item("arrays_as_bytes", metrics.arrays_as_bytes)?;
    facts.set_item("arrays_in_place", metrics.arrays_in_place)?;
    Ok(facts)
}

pub(crate) fn health<'py>(py: Python<'py>, health: &Health) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("open", health.open)?;
    facts.set_item("ready", health.ready)?;
    facts.set_item("workers", health.workers)?;
    facts.set_item("problems", &health.problems)?;
    facts.set_item("is_healthy", health.is_healthy())?;
    facts.set_item("text", health.to_string())?;
    Ok(facts)
}

pub(crate) fn workers<'py>(
    py: Python<'py>,
    workers: Vec<WorkerInfo>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for worker in workers {
        let facts = PyDict::new(py);
        facts.set_item("index", worker.index)?;
        facts.set_item("name", &*worker.name)?;
        facts.set_item("pid", worker.pid)?;
        facts.set_item("state", worker.state.to_string())?;
        facts.set_item("calls", worker.calls)?;
        facts.set_item("in_flight", worker.in_flight)?;
        facts.set_item("restarts", worker.restarts)?;
        facts.set_item("last_exit", worker.last_exit)?;
        facts.set_item("uptime", worker.uptime.map(seconds))?;
        facts.set_item("round_trip", worker.round_trip.map(seconds))?;
        facts.set_item("memory", worker.memory)?;
        list.append(facts)?;
    }
    Ok(list)
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
