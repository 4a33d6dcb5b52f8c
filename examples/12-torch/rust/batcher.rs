//! Dynamic batching: single requests in, one call of the pool for many of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::{Error, ErrorCode, TypedBuffer};
use procall_pool::Pool;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Numbers of one request.
pub(crate) const CONTEXT: usize = 16;

pub(crate) type Context = [u8; CONTEXT];

/// One request and where its answer goes.
struct Request {
    context: Context,
    answer: oneshot::Sender<Result<Vec<f32>, Error>>,
}

/// When a batch leaves: when it is full, or when its first request has waited so long.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_batch: usize,
    pub(crate) max_wait: Duration,
}

/// Collects requests and answers each with its row of the batch's result.
pub(crate) struct Batcher {
    requests: mpsc::Sender<Request>,
    batches: Arc<AtomicU64>,
}

impl Batcher {
    /// `at_once` batches are under way at a time, as many as there are workers; meanwhile the next one fills.
    pub(crate) fn new(pool: Arc<Pool>, limits: Limits, at_once: usize) -> Self {
        let (requests, waiting) = mpsc::channel(4 * limits.max_batch);
        let batches = Arc::new(AtomicU64::new(0));
        tokio::spawn(collect(pool, limits, at_once, waiting, Arc::clone(&batches)));
        Self { requests, batches }
    }

    /// The scores for one context.
    pub(crate) async fn scores(&self, context: Context) -> Result<Vec<f32>, Error> {
        let (answer, answered) = oneshot::channel();
        let closed = || Error::new(ErrorCode::Unavailable, "the batcher has ended");
        self.requests.send(Request { context, answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Batches that were sent so far.
    pub(crate) fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }
}

async fn collect(
    pool: Arc<Pool>,
    limits: Limits,
    at_once: usize,
    mut waiting: mpsc::Receiver<Request>,
    batches: Arc<AtomicU64>,
) {
    let room = Arc::new(Semaphore::new(at_once));
    while let Some(first) = waiting.recv().await {
        let mut batch = vec![first];
        let until = Instant::now() + limits.max_wait;
        while batch.len() < limits.max_batch {
            let Ok(Some(next)) = timeout_at(until, waiting.recv()).await else { break };
            batch.push(next);
        }
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        batches.fetch_add(1, Ordering::Relaxed);
        let pool = Arc::clone(&pool);
        tokio::spawn(async move {
            answer(&pool, batch).await;
            drop(permit);
        });
    }
}

/// One call for the whole batch. A failure is everybody's.
async fn answer(pool: &Pool, batch: Vec<Request>) {
    let contexts: Vec<u8> = batch.iter().flat_map(|request| request.context).collect();
    let shape = [batch.len() as u64, CONTEXT as u64];
    let result = match TypedBuffer::from_elements(&shape, &contexts) {
        Ok(contexts) => pool.call::<TypedBuffer>("scores", (contexts,)).await,
        Err(wrong) => Err(Error::invalid(wrong.to_string())),
    };
    let rows = result.and_then(|scores| {
        let per_row = scores.shape().get(1).copied().unwrap_or(0);
        let elements = scores.elements::<f32>().filter(|_| scores.shape()[0] == shape[0]);
        let elements = elements.filter(|_| per_row > 0);
        elements.map(|elements| (elements, per_row as usize)).ok_or_else(|| {
            Error::invalid(format!("{scores:?} is no row of scores for each request"))
        })
    });
    for (index, request) in batch.into_iter().enumerate() {
        let row = rows.as_ref().map_err(Clone::clone);
        let row = row.map(|(all, size)| all[index * size..][..*size].to_vec());
        // Who asked may have left.
        let _ = request.answer.send(row);
    }
}
