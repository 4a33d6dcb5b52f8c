//! The host: `torch-host WEIGHTS TEXT [torch|numpy]`

mod batcher;

use std::sync::Arc;
use std::time::{Duration, Instant};

use batcher::{Batcher, CONTEXT, Context, Limits};
use procall::{Error, ErrorCode, TypedBuffer};
use procall_pool::Pool;

/// Requests for each figure, and how many of them wait at the same time.
const REQUESTS: usize = 8_192;
const AT_ONCE: usize = 128;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1);
    let (Some(weights), Some(text)) = (given.next(), given.next()) else {
        return Err("say: torch-host WEIGHTS TEXT [torch|numpy]".into());
    };
    let backend = given.next().unwrap_or_else(|| "torch".to_owned());
    let contexts = Arc::new(contexts_of(&std::fs::read_to_string(text)?));
    let limits = Limits { max_batch: 64, max_wait: Duration::from_millis(1) };

    for workers in [1, 2] {
        let pool = Pool::spawn("python/worker.py").arg(&weights).arg(&backend).workers(workers);
        // A worker computes on one core; how many cores are used is said by `workers`.
        let pool = pool.env("OMP_NUM_THREADS", "1").env("OPENBLAS_NUM_THREADS", "1");
        let pool = Arc::new(pool.start().await?);
        if workers == 1 {
            check_rows(&pool, &contexts, limits).await?;
            complete(&pool).await?;
        }
        for (name, max_batch) in [("one by one", 1), ("in batches", limits.max_batch)] {
            let batcher = Batcher::new(Arc::clone(&pool), Limits { max_batch, ..limits }, workers);
            measure(&format!("{workers} workers, {name}"), &contexts, batcher).await?;
        }
        pool.stop().await?;
    }
    println!("{REQUESTS} requests, 4 times: each has its answer");
    Ok(())
}

/// Every window of the text, as the model counts characters.
fn contexts_of(text: &str) -> Vec<Context> {
    let code = |byte: u8| if (32..127).contains(&byte) { byte - 32 } else { 95 };
    let codes: Vec<u8> = text.bytes().filter(u8::is_ascii).map(code).collect();
    codes.windows(CONTEXT).map(|window| window.try_into().unwrap_or_default()).collect()
}

/// A request has the same answer in a batch as alone, up to rounding.
async fn check_rows(pool: &Arc<Pool>, contexts: &[Context], limits: Limits) -> Result<(), Error> {
    let batcher = Batcher::new(Arc::clone(pool), limits, 1);
    let asked = &contexts[..100];
    let together = futures_util::future::try_join_all(asked.iter().map(|one| batcher.scores(*one)));
    let mut same = 0;
    for (context, batched) in asked.iter().zip(together.await?) {
        let alone = TypedBuffer::from_elements(&[1, CONTEXT as u64], context);
        let alone = alone.map_err(|wrong| Error::invalid(wrong.to_string()))?;
        let alone: TypedBuffer = pool.call("scores", (alone,)).await?;
        let alone = alone.elements::<f32>().unwrap_or_default();
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3;
        same += usize::from(alone.len() == batched.len() && alone.iter().zip(&batched).all(near));
    }
    println!("answers in batches as alone: {same} of {}", asked.len());
    Ok(())
}

/// Prints what the model says, as it says it.
async fn complete(pool: &Pool) -> Result<(), Error> {
    let mut characters = pool.stream::<String>("complete", ("Procall is a ", 60));
    let mut pieces = 0;
    eprint!("Procall is a ");
    while let Some(character) = characters.next().await {
        eprint!("{}", character?.replace('\n', " "));
        pieces += 1;
    }
    eprintln!();
    println!("a completion in {pieces} pieces");
    Ok(())
}

async fn measure(name: &str, contexts: &Arc<Vec<Context>>, batcher: Batcher) -> Result<(), Error> {
    let batcher = Arc::new(batcher);
    let begun = Instant::now();
    let callers = (0..AT_ONCE).map(|first| {
        let (batcher, contexts) = (Arc::clone(&batcher), Arc::clone(contexts));
        tokio::spawn(async move {
            for request in (first..REQUESTS).step_by(AT_ONCE) {
                batcher.scores(contexts[request % contexts.len()]).await?;
            }
            Ok::<(), Error>(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.map_err(|lost| Error::new(ErrorCode::Internal, lost.to_string()))??;
    }
    let batches = batcher.batches();
    let per_second = REQUESTS as f64 / begun.elapsed().as_secs_f64();
    let mean = REQUESTS as f64 / batches as f64;
    eprintln!("{name}: {per_second:>8.0} requests/s, {mean:>5.1} in a batch");
    Ok(())
}
