use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use procall::{Client, Context, Error, ErrorCode, Executed, Service};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{House, SAFETY, Worker};

/// A service that tells which process it is, and works until it is let go.
fn who(name: &str, concurrency: u32, go: Option<Arc<Notify>>) -> Service {
    let own = name.to_owned();
    Service::new("who").concurrency(concurrency).async_method("am_i", move || {
        let (own, go) = (own.clone(), go.clone());
        async move {
            if let Some(go) = go {
                go.notified().await;
            }
            Ok::<_, Error>(own)
        }
    })
}

async fn ask(client: &Client) -> String {
    client.call("who.am_i", ()).await.unwrap()
}

#[tokio::test]
async fn a_call_goes_to_the_peer_that_it_names() {
    let house = House::new();
    let _one = house.serve(who("one", 8, None)).await;
    let _two = house.serve(who("two", 8, None)).await;
    let client = house.client().await;
    for (name, expected) in [("who/1", "one"), ("who/2", "two")] {
        for _ in 0..4 {
            let answer: String = client.call("who.am_i", ()).to(name).await.unwrap();
            assert_eq!(answer, expected);
        }
    }
    let id = house.peers().await.iter().find(|peer| peer.name == "who/2").unwrap().id.clone();
    let answer: String = client.call("who.am_i", ()).to(id).await.unwrap();
    assert_eq!(answer, "two", "by its id");
    let error = client.call::<String>("who.am_i", ()).to("who/3").await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NotFound, Executed::No));
    assert!(error.candidates().contains(&"who/1".to_owned()), "{error}");
}

#[tokio::test]
async fn a_key_keeps_to_its_worker_and_its_loss_is_told_once() {
    let house = House::new();
    let mut workers =
        vec![house.serve(who("1", 8, None)).await, house.serve(who("2", 8, None)).await];
    let client = house.client().await;
    let first: String = client.call("who.am_i", ()).key("user-7").await.unwrap();
    for _ in 0..16 {
        let again: String = client.call("who.am_i", ()).key("user-7").await.unwrap();
        assert_eq!(again, first);
    }
    drop(workers.remove(first.parse::<usize>().unwrap() - 1));
    house.until(|peers| peers.iter().filter(|peer| peer.methods > 0).count() == 1).await;
    let error = client.call::<String>("who.am_i", ()).key("user-7").await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::No));
    let next: String = client.call("who.am_i", ()).key("user-7").await.unwrap();
    assert_ne!(next, first);
}

#[tokio::test]
async fn every_call_that_is_over_is_told_with_its_times() {
    let (sender, records) = std::sync::mpsc::sync_channel(1 << 10);
    let house = House::with(|builder| {
        builder.on_call(move |call| {
            // The test has seen enough.
            let _ = sender.send(call.clone());
        })
    });
    let service = Service::new("who")
        .method("am_i", || "me".to_owned())
        .try_method("fail", || Err::<(), _>(Error::handler("Lost", "I do not know")));
    let _worker = house.serve(service).await;
    let client = house.client().await;
    ask(&client).await;
    client.call::<()>("who.fail", ()).await.unwrap_err();
    let told: Vec<_> = records.try_iter().filter(|call| call.method.starts_with("who.")).collect();
    assert_eq!(told.len(), 2);
    assert_eq!((&*told[0].method, told[0].worker.as_deref()), ("who.am_i", Some("who/1")));
    assert_eq!((told[0].failure, told[0].attempts), (None, 1));
    assert_eq!(told[1].failure, Some((ErrorCode::HandlerError, Executed::Yes)));
    let json = told[1].to_json();
    assert_eq!((&json["code"], &json["executed"]), (&json!("HANDLER_ERROR"), &json!("yes")));
    assert!(json["worked_ms"].as_f64().is_some_and(|time| time > 0.0), "{json}");
}

#[tokio::test]
async fn calls_to_all_tell_each_answer_and_each_failure() {
    let house = House::new();
    let _one = house.serve(who("one", 8, None)).await;
    let failing = Service::new("who")
        .try_method("am_i", || Err::<String, _>(Error::handler("Lost", "I do not know")));
    let _two = house.serve(failing).await;
    let client = house.client().await;
    let answers: Value = client.call("who.am_i", ()).meta(&json!({"all": true})).await.unwrap();
    assert_eq!(answers[0], json!({"worker": "who/1", "ok": true, "result": "one"}));
    assert_eq!(answers[1]["worker"], "who/2");
    assert_eq!(answers[1]["error"]["code"], "HANDLER_ERROR");
    assert_eq!(answers[1]["error"]["message"], "I do not know");
}

#[tokio::test]
async fn a_full_line_refuses_and_says_when_to_come_again() {
    let house = House::with(|builder| builder.queue(2));
    let go = Arc::new(Notify::new());
    let _worker = house.serve(who("slow", 1, Some(go.clone()))).await;
    let client = house.client().await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client).await })
        })
        .collect();
    let rows = async {
        loop {
            let rows: Value = client.call("procall.engine.calls", ()).await.unwrap();
            if rows.as_array().is_some_and(|rows| rows.len() == 3) {
                return rows;
            }
        }
    };
    let rows = tokio::time::timeout(SAFETY, rows).await.expect("three calls are on their way");
    assert_eq!(rows.as_array().unwrap().iter().filter(|row| row["worker"] == "who/1").count(), 1);
    let error = client.call::<String>("who.am_i", ()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::No));
    assert!(error.retry_after().is_some());
    for task in waiting {
        go.notify_one();
        assert_eq!(task.await.unwrap(), "slow");
    }
}

#[tokio::test]
async fn a_full_line_has_room_for_who_has_less_of_it() {
    let house = House::with(|builder| builder.queue(4));
    let go = Arc::new(Notify::new());
    let _worker = house.serve(who("slow", 1, Some(go.clone()))).await;
    let (greedy, modest) = (house.client().await, house.client().await);
    let once = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move { client.call::<String>("who.am_i", ()).retries(0).await })
    };
    let until = async |count: usize| {
        let there = async {
            loop {
                let rows: Value = modest.call("procall.engine.calls", ()).await.unwrap();
                if rows.as_array().is_some_and(|rows| rows.len() == count) {
                    return;
                }
            }
        };
        tokio::time::timeout(SAFETY, there).await.expect("so many calls are on their way");
    };
    // One is served, four wait, the sixth finds no room: nobody has more of the line than its own client.
    let mut many = Vec::new();
    for count in 1..=5 {
        many.push(once(&greedy));
        until(count).await;
    }
    let refused = once(&greedy).await.unwrap().unwrap_err();
    assert_eq!((refused.code(), refused.executed()), (ErrorCode::Overloaded, Executed::No));
    // The other client has room twice, which is half of it, and the newest calls of the first one give way.
    let few = [once(&modest), once(&modest)];
    for task in many.drain(3..).rev() {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::No));
        assert!(error.retry_after().is_some());
    }
    until(5).await;
    let refused = once(&modest).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Overloaded);
    // The two take turns.
    let mut served = tokio::task::JoinSet::new();
    many.into_iter().chain(few).for_each(|task| drop(served.spawn(task)));
    while !served.is_empty() {
        go.notify_one();
        let ended = served.join_next().await.unwrap().unwrap();
        assert_eq!(ended.unwrap().unwrap(), "slow");
    }
}

#[tokio::test]
async fn a_client_with_a_long_line_does_not_keep_the_others_out() {
    let house = House::new();
    let go = Arc::new(Notify::new());
    let served = Arc::new(AtomicUsize::new(0));
    let service = Service::new("who").concurrency(1).async_method("am_i", {
        let (go, served) = (go.clone(), served.clone());
        move || {
            let (go, served) = (go.clone(), served.clone());
            async move {
                go.notified().await;
                Ok::<_, Error>(served.fetch_add(1, Ordering::Relaxed))
            }
        }
    });
    let _worker = house.serve(service).await;
    let (greedy, modest) = (house.client().await, house.client().await);
    let many: Vec<_> = (0..100)
        .map(|_| {
            let greedy = greedy.clone();
            tokio::spawn(async move { greedy.call::<usize>("who.am_i", ()).await })
        })
        .collect();
    let all_there = async {
        loop {
            let rows: Value = modest.call("procall.engine.calls", ()).await.unwrap();
            if rows.as_array().is_some_and(|rows| rows.len() == 100) {
                return;
            }
        }
    };
    tokio::time::timeout(SAFETY, all_there).await.expect("a hundred calls are on their way");
    let late = tokio::spawn(async move { modest.call::<usize>("who.am_i", ()).await });
    let come = async {
        loop {
            let rows: Value = greedy.call("procall.engine.calls", ()).await.unwrap();
            if rows.as_array().is_some_and(|rows| rows.len() == 101) {
                return;
            }
        }
    };
    tokio::time::timeout(SAFETY, come).await.expect("the other one has come");
    let served_before = async {
        loop {
            go.notify_one();
            if late.is_finished() {
                return late.await.unwrap().unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let at = tokio::time::timeout(SAFETY, served_before).await.unwrap();
    assert!(at <= 3, "the clients have turns, but {at} of the other's calls went first");
    many.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_worker_that_leaves_in_order_loses_no_call() {
    let house = House::new();
    let client = house.client().await;
    let mut worker = house.serve(who("0", 4, None)).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (client, answered) = (client.clone(), answered.clone());
            tokio::spawn(async move {
                loop {
                    ask(&client).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..20 {
        let next = house.serve(who(&round.to_string(), 4, None)).await;
        let before = answered.load(Ordering::Relaxed);
        std::mem::replace(&mut worker, next).leave().await;
        while answered.load(Ordering::Relaxed) < before + 8 {
            assert!(
                load.iter().all(|task| !task.is_finished()),
                "a call was lost in round {round}"
            );
            tokio::task::yield_now().await;
        }
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn the_handler_sees_who_called_whatever_the_caller_says() {
    let house = House::new();
    let service = Service::new("mirror").method("from", |ctx: Context| {
        ctx.meta::<Value>().and_then(|meta| meta["from"].as_str().map(str::to_owned))
    });
    let _worker = house.serve(service).await;
    let client = house.client().await;
    let own: Value = client.call("procall.engine.self", ()).await.unwrap();
    let seen: Option<String> =
        client.call("mirror.from", ()).meta(&json!({"from": "forged"})).await.unwrap();
    assert_eq!(seen.as_deref(), own["id"].as_str());
}

#[tokio::test]
async fn a_call_may_wait_for_a_service_that_is_away() {
    let house = House::new();
    let worker = house.serve(who("first", 8, None)).await;
    let client = house.client().await;
    assert_eq!(ask(&client).await, "first");
    drop(worker);
    house.until(|peers| peers.iter().all(|peer| peer.methods == 0)).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call::<String>("who.am_i", ()).meta(&json!({"wait": true})).await }
    });
    let error = client.call::<String>("who.am_i", ()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoWorker, "who does not ask for it does not wait");
    let _worker = Worker::start(who("second", 8, None), &house.address);
    assert_eq!(tokio::time::timeout(SAFETY, waiting).await.unwrap().unwrap().unwrap(), "second");
}
