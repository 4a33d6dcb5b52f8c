//! Calls that wait for their own chain of callers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use procall::{Client, Error, ErrorCode, Executed, Service};
use procall_engine::MethodRow;
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{House, SAFETY, Worker};

/// A service that calls on: `go` calls the first of the methods it is given with the rest, and says how many calls that made in all. `hold`
/// keeps its slot until it is let go.
fn hopper(name: &str, concurrency: u32, engine: &Client, gate: &Arc<Gate>) -> Service {
    let (engine, calls, gate) = (engine.clone(), gate.clone(), gate.clone());
    Service::new(name)
        .concurrency(concurrency)
        .async_method("go", move |mut path: Vec<String>| {
            let (engine, calls) = (engine.clone(), calls.clone());
            async move {
                if path.is_empty() {
                    return Ok::<u64, Error>(1);
                }
                let next = path.remove(0);
                let called = engine.call::<u64>(&next, (path,)).await;
                let noted = called.inspect_err(|error| calls.note(error));
                Ok(1 + noted?)
            }
        })
        .async_method("hold", move || {
            let gate = gate.clone();
            async move {
                gate.held.fetch_add(1, Ordering::SeqCst);
                gate.open.notified().await;
                Ok::<u64, Error>(0)
            }
        })
}

#[derive(Default)]
struct Gate {
    held: AtomicUsize,
    open: Notify,
    /// What the innermost call that failed was told of whether it ran.
    innermost: Mutex<Option<Executed>>,
}

impl Gate {
    fn note(&self, error: &Error) {
        self.innermost.lock().unwrap().get_or_insert(error.executed());
    }

    async fn until_held(&self, count: usize) {
        let look = async {
            while self.held.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SAFETY, look).await.expect("the slots were never held");
    }
}

struct World {
    house: House,
    client: Client,
    gate: Arc<Gate>,
}

impl World {
    async fn new() -> Self {
        let house = House::new();
        let client = house.client().await;
        Self { house, client, gate: Arc::default() }
    }

    async fn hopper(&self, name: &str, concurrency: u32) -> Worker {
        let own = self.house.client().await;
        self.house.serve(hopper(name, concurrency, &own, &self.gate)).await
    }

    async fn go(&self, path: &[&str]) -> Result<u64, Error> {
        self.gate.innermost.lock().unwrap().take();
        let call = self.client.call::<u64>(path[0], (&path[1..],)).no_deadline();
        tokio::time::timeout(SAFETY, call.into_future()).await.expect("it waits for ever")
    }

    /// Waits until a call stands in line for a method.
    async fn until_waiting(&self, method: &str) {
        let client = self.house.engine.client().await.unwrap();
        let look = async {
            loop {
                let rows: Vec<MethodRow> = client.call("procall.engine.list", ()).await.unwrap();
                if rows.iter().any(|row| row.name == method && row.waiting > 0) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SAFETY, look).await.expect("nobody ever waited");
    }
}

/// The innermost call was not executed; those around it were.
fn assert_cycle(world: &World, error: &Error, names: &[&str]) {
    assert_eq!((error.code(), error.executed()), (ErrorCode::Deadlock, Executed::Yes), "{error}");
    assert_eq!(*world.gate.innermost.lock().unwrap(), Some(Executed::No), "{error}");
    assert_eq!(error.chain(), names, "{error}");
    assert!(error.message().contains(&names.join(" → ")), "{error}");
}

#[tokio::test]
async fn a_call_that_waits_for_its_own_chain_fails_at_once_and_names_the_cycle() {
    let world = World::new().await;
    let _a = world.hopper("a", 1).await;
    let _b = world.hopper("b", 1).await;
    let error = world.go(&["a.go", "b.go", "a.go"]).await.unwrap_err();
    assert_cycle(&world, &error, &["a.go", "b.go", "a.go"]);
    let error = world.go(&["b.go", "b.go"]).await.unwrap_err();
    assert_cycle(&world, &error, &["b.go", "b.go"]);
    // What comes before the cycle is not part of it.
    let _c = world.hopper("c", 1).await;
    let error = world.go(&["c.go", "a.go", "b.go", "a.go"]).await.unwrap_err();
    assert_cycle(&world, &error, &["a.go", "b.go", "a.go"]);
    // Nothing is left of it: the slots are free again.
    assert_eq!(world.go(&["c.go", "b.go", "a.go"]).await.unwrap(), 3);
}

#[tokio::test]
async fn with_a_slot_more_the_same_calls_work() {
    let world = World::new().await;
    let _a = world.hopper("a", 2).await;
    let _b = world.hopper("b", 1).await;
    assert_eq!(world.go(&["a.go", "b.go", "a.go"]).await.unwrap(), 3);
    let error = world.go(&["a.go", "a.go", "a.go"]).await.unwrap_err();
    assert_cycle(&world, &error, &["a.go", "a.go", "a.go"]);
    // A second worker is as good as a second slot.
    let _more = world.hopper("b", 1).await;
    assert_eq!(world.go(&["b.go", "b.go"]).await.unwrap(), 2);
}

#[tokio::test]
async fn a_call_waits_for_a_slot_that_somebody_else_holds() {
    let world = World::new().await;
    let _a = world.hopper("a", 2).await;
    let _b = world.hopper("b", 1).await;
    let other = world.client.call::<u64>("a.hold", ()).into_future();
    world.gate.until_held(1).await;
    let calls = world.go(&["a.go", "b.go", "a.go"]);
    let let_go = async {
        world.until_waiting("a.go").await;
        world.gate.open.notify_one();
    };
    let (calls, ()) = tokio::join!(calls, let_go);
    assert_eq!(calls.unwrap(), 3);
    assert_eq!(other.await.unwrap(), 0);
}

#[tokio::test]
async fn a_call_in_line_fails_once_the_last_slot_of_others_is_gone() {
    let world = World::new().await;
    let first = world.hopper("a", 1).await;
    let _b = world.hopper("b", 1).await;
    // One of the two workers is somebody else's, the other one the chain's.
    let other = world.client.call::<u64>("a.hold", ()).to("a/1").into_future();
    world.gate.until_held(1).await;
    let _second = world.hopper("a", 1).await;
    let calls = world.go(&["a.go", "b.go", "a.go"]);
    let lose = async {
        world.until_waiting("a.go").await;
        drop(first);
    };
    let (calls, ()) = tokio::join!(calls, lose);
    assert_cycle(&world, &calls.unwrap_err(), &["a.go", "b.go", "a.go"]);
    assert_eq!(other.await.unwrap_err().code(), ErrorCode::WorkerLost);
}

#[tokio::test]
async fn calls_are_nested_33_deep_and_no_deeper() {
    let world = World::new().await;
    let _a = world.hopper("a", 64).await;
    assert_eq!(world.go(&["a.go"; 33]).await.unwrap(), 33);
    let error = world.go(&["a.go"; 34]).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Deadlock, Executed::Yes), "{error}");
    assert_eq!(*world.gate.innermost.lock().unwrap(), Some(Executed::No), "{error}");
    assert!(error.message().contains("32 deep"), "{error}");
    assert_eq!(error.chain().len(), 34);
}

#[tokio::test]
async fn a_forged_chain_hurts_nobody_but_its_forger() {
    let world = World::new().await;
    let _a = world.hopper("a", 1).await;
    for chain in [json!(["x/1", "/", ""]), json!("text"), json!([1]), json!(null), json!({})] {
        let call = world.client.call::<u64>("a.go", (Vec::<String>::new(),));
        assert_eq!(call.meta(&json!({"chain": chain})).await.unwrap(), 1);
    }
    let long = json!({"chain": vec!["x/1"; 1000]});
    let call = world.client.call::<u64>("a.go", (Vec::<String>::new(),)).meta(&long);
    assert_eq!(call.await.unwrap_err().code(), ErrorCode::Deadlock);
    assert_eq!(world.go(&["a.go"]).await.unwrap(), 1);
}
