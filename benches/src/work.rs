//! What callers of ours do beside small calls: payloads, streams, and company that does nothing.

use std::time::Instant;

use procall::{Array, BlockingClient, Bytes, Client};
use procall_bench_load::{Figures, Task, Workload, alone, latency, latency_of, payload};

type Failure = Box<dyn std::error::Error>;

/// So many items are asked for at once, so that a stream's beginning does not count.
pub(crate) const ITEMS: u64 = 20_000;

/// Does the task inline, if it is not small calls.
pub(crate) fn inline(client: &BlockingClient, task: &Task) -> Result<Option<Figures>, Failure> {
    Ok(match task.workload {
        Workload::Bytes(bytes) => {
            let content = Bytes(vec![1; bytes]);
            Some(payload(
                bytes,
                latency(task.window, || {
                    let sum: u64 = client.call("touch", (&content,)).wait().expect("touch answers");
                    assert_eq!(sum, bytes.div_ceil(4096) as u64);
                }),
            ))
        }
        Workload::Stream => {
            let mut rate = Rate::new();
            while !rate.is_over(task) {
                let mut numbers = client.stream::<u64>("count", (ITEMS,));
                while let Some(number) = numbers.wait_next() {
                    rate.add(number?);
                }
            }
            Some(rate.figures())
        }
        _ => None,
    })
}

/// The same on a task.
pub(crate) async fn awaited(client: &Client, task: &Task) -> Result<Option<Figures>, Failure> {
    Ok(match task.workload {
        Workload::Bytes(bytes) => {
            let content = Bytes(vec![1; bytes]);
            let touch = |_| async {
                let sum: u64 = client.call("touch", (&content,)).await.expect("touch answers");
                assert_eq!(sum, bytes.div_ceil(4096) as u64);
            };
            Some(payload(bytes, latency_of(task.window, touch).await))
        }
        Workload::Stream => {
            let mut rate = Rate::new();
            while !rate.is_over(task) {
                let mut numbers = client.stream::<u64>("count", (ITEMS,));
                while let Some(number) = numbers.next().await {
                    rate.add(number?);
                }
            }
            Some(rate.figures())
        }
        _ => None,
    })
}

/// Payloads that are written in place: an array that the service looks at where it lies.
pub(crate) fn array(task: &Task) -> Result<Figures, Failure> {
    let Workload::Bytes(bytes) = task.workload else { return Err("arrays are payloads".into()) };
    let client = BlockingClient::connect(&task.address())?;
    let mut array = Array::<f32>::empty(&client, &[bytes as u64 / 4])?;
    array.elements_mut().ok_or("somebody looks at the array already")?.fill(1.0);
    let times = latency(task.window, || {
        let sum: f64 = client.call("look", (&array,)).wait().expect("look answers");
        assert_eq!(sum, (bytes / 4096) as f64);
    });
    Ok(payload(bytes, times))
}

struct Rate {
    start: Instant,
    items: u64,
}

impl Rate {
    fn new() -> Self {
        Self { start: Instant::now(), items: 0 }
    }

    fn add(&mut self, item: u64) {
        assert_eq!(item, self.items % ITEMS);
        self.items += 1;
    }

    fn is_over(&self, task: &Task) -> bool {
        self.items > 0 && self.start.elapsed() >= task.window
    }

    fn figures(&self) -> Figures {
        let rate = self.items as f64 / self.start.elapsed().as_secs_f64();
        Figures::from([("items_per_second".to_owned(), rate)])
    }
}

/// Connections to the same service that do nothing, and stay as long as this value.
pub(crate) fn company(task: &Task) -> Result<Vec<BlockingClient>, Failure> {
    let Workload::Connections(count) = task.workload else { return Ok(Vec::new()) };
    let target = task.address();
    (1..count).map(|_| Ok(BlockingClient::connect(&target)?)).collect()
}

/// What a Python worker spends on a call, by its own clock, when calls come 64 at a time.
pub(crate) fn dispatch(task: &Task, params: &serde_json::Value) -> Result<Figures, Failure> {
    let client = BlockingClient::connect(&task.address())?;
    let spent = || client.call::<f64>("cpu", ()).wait();
    let batch = || -> Result<u64, Failure> {
        let calls: Result<Vec<_>, _> =
            (0..64).map(|_| client.submit_held::<i64>("add", params)).collect();
        for call in calls? {
            assert_eq!(call.wait()?, 3);
        }
        Ok(64)
    };
    batch()?;
    let (before, start) = (spent()?, Instant::now());
    let mut calls = 0;
    while start.elapsed() < task.window {
        calls += batch()?;
    }
    let micros = (spent()? - before) * 1e6 / calls as f64;
    let mut figures = alone(0.0, 0.0);
    figures.insert("worker_us".to_owned(), micros);
    figures.insert("per_second".to_owned(), calls as f64 / start.elapsed().as_secs_f64());
    Ok(figures)
}
