//! What is known of pools, their workers, and the calls of both pools and clients.

use std::time::Duration;

use napi_derive::napi;
use procall_pool::Pool;

use crate::errors;
use crate::state::{self, State};

/// What is known of a worker.
#[napi(object)]
pub(crate) struct Worker {
    /// Its place in the pool, from 0.
    pub index: u32,
    /// Its name, such as `calc/2`.
    pub name: String,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: String,
    /// Calls it was given, across its restarts.
    pub calls: f64,
    /// Calls it is busy with.
    pub in_flight: u32,
    /// How often it was started again.
    pub restarts: f64,
    /// How its last process ended.
    pub last_exit: Option<String>,
    /// How long its present process has been ready.
    pub uptime_ms: Option<f64>,
    /// The last measured time from ping to pong.
    pub round_trip_ms: Option<f64>,
    /// Its resident memory in bytes.
    pub memory: Option<f64>,
}

/// What was counted of calls.
#[napi(object, use_nullable = true)]
pub(crate) struct Metrics {
    pub total_requests: f64,
    pub successful_requests: f64,
    pub failed_requests: f64,
    pub cancelled_requests: f64,
    pub in_flight: f64,
    pub success_rate: f64,
    pub latency: Latency,
    pub average_latency_ms: f64,
    pub queue_depth: f64,
    pub restarts: f64,
    pub heartbeat_round_trip_ms: Option<f64>,
    pub missed_heartbeats: f64,
    pub retries: f64,
}

/// Latencies of calls.
#[napi(object)]
pub(crate) struct Latency {
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
}

/// Whether a pool is well.
#[napi(object)]
pub(crate) struct Health {
    pub healthy: bool,
    pub open: bool,
    pub ready: u32,
    pub workers: u32,
    pub problems: Vec<String>,
    pub text: String,
}

/// All of it.
#[napi(object)]
pub(crate) struct Stats {
    pub metrics: Metrics,
    pub health: Health,
    pub workers: Vec<Worker>,
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl From<procall_pool::WorkerInfo> for Worker {
    fn from(info: procall_pool::WorkerInfo) -> Self {
        Self {
            index: info.index as u32,
            name: info.name.to_string(),
            pid: info.pid,
            state: info.state.to_string(),
            calls: info.calls as f64,
            in_flight: info.in_flight,
            restarts: info.restarts as f64,
            last_exit: info.last_exit,
            uptime_ms: info.uptime.map(millis),
            round_trip_ms: info.round_trip.map(millis),
            memory: info.memory.map(|bytes| bytes as f64),
        }
    }
}

impl From<procall::Metrics> for Metrics {
    fn from(metrics: procall::Metrics) -> Self {
        let latency = &metrics.latency;
        Self {
            total_requests: metrics.total_requests as f64,
            successful_requests: metrics.successful_requests as f64,
            failed_requests: metrics.failed_requests as f64,
            cancelled_requests: metrics.cancelled_requests as f64,
            in_flight: metrics.in_flight as f64,
            success_rate: metrics.success_rate(),
            latency: Latency {
                mean_ms: millis(latency.mean),
                p50_ms: millis(latency.p50),
                p95_ms: millis(latency.p95),
                p99_ms: millis(latency.p99),
                min_ms: millis(latency.min),
                max_ms: millis(latency.max),
            },
            average_latency_ms: millis(metrics.average_latency()),
            queue_depth: metrics.queue_depth as f64,
            restarts: metrics.restarts as f64,
            heartbeat_round_trip_ms: metrics.heartbeat_round_trip.map(millis),
            missed_heartbeats: metrics.missed_heartbeats as f64,
            retries: metrics.retries as f64,
        }
    }
}

impl From<procall_pool::Health> for Health {
    fn from(health: procall_pool::Health) -> Self {
        Self {
            healthy: health.is_healthy(),
            open: health.open,
            // A pool has at most 1,024 of them.
            ready: health.ready as u32,
            workers: health.workers as u32,
            text: health.to_string(),
            problems: health.problems,
        }
    }
}

impl From<procall_pool::Stats> for Stats {
    fn from(stats: procall_pool::Stats) -> Self {
        Self {
            metrics: stats.metrics.into(),
            health: stats.health.into(),
            workers: stats.workers.into_iter().map(Worker::from).collect(),
        }
    }
}

impl State {
    /// Does something with a pool that was not closed.
    fn pool<R>(&self, channel: u32, f: impl FnOnce(&Pool) -> R) -> napi::Result<R> {
        let channel = self.channels.get(channel as usize);
        match channel.and_then(|channel| channel.pool.as_ref()) {
            Some(pool) => Ok(f(pool)),
            None => Err(errors::thrown(&errors::closed("pool"))),
        }
    }
}

/// What is known of the workers of a pool.
#[napi]
pub(crate) fn workers(channel: u32) -> napi::Result<Vec<Worker>> {
    state::with(|state| {
        state.pool(channel, |pool| pool.workers().into_iter().map(Worker::from).collect())
    })
}

/// What was counted of the calls of a pool or client.
#[napi]
pub(crate) fn metrics(channel: u32) -> napi::Result<Metrics> {
    state::with(|state| match state.channels.get(channel as usize) {
        Some(channel) => Ok(channel.calls.metrics().into()),
        None => Err(errors::thrown(&errors::closed("client"))),
    })
}

/// Whether a pool is well.
#[napi]
pub(crate) fn health(channel: u32) -> napi::Result<Health> {
    state::with(|state| state.pool(channel, |pool| pool.health().into()))
}

/// All that is known of a pool.
#[napi]
pub(crate) fn stats(channel: u32) -> napi::Result<Stats> {
    state::with(|state| state.pool(channel, |pool| pool.stats().into()))
}
