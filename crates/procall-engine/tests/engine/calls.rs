use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use procall::{ErrorCode, Executed, Service, Stream};

use crate::support::{House, math};

#[tokio::test]
async fn a_call_goes_to_who_serves_it_and_its_result_comes_back() {
    let house = House::new();
    let _worker = house.serve(math()).await;
    let client = house.client().await;
    assert_eq!(client.call::<f64>("math.add", (10, 20)).await.unwrap(), 30.0);
    assert_eq!(client.call::<f64>("add", (1, 2)).await.unwrap(), 3.0, "by its bare name");
}

#[tokio::test]
async fn params_are_checked_before_a_worker_sees_them() {
    let house = House::new();
    let _worker = house.serve(math()).await;
    let client = house.client().await;
    let error = client.call::<f64>("math.add", (1, "x")).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert_eq!(error.fields()[0].path, "/1");
}

#[tokio::test]
async fn params_of_any_number_are_checked_too() {
    let house = House::new();
    let schema = serde_json::json!({"type": ["object", "array"], "items": {"type": "number"}, "minItems": 1});
    let info = procall::MethodInfo {
        name: "sum".into(),
        params_schema: Some(schema.clone()),
        ..procall::MethodInfo::default()
    };
    struct Sum;
    impl procall::Handler for Sum {
        fn call(&self, call: &procall::Arrival<'_>) -> procall::Answer {
            let value = procall::Encoded::new(call.encoding(), call.body().to_vec());
            let numbers =
                value.decode::<Option<Vec<f64>>>().expect("it was checked").unwrap_or_default();
            procall::Answer::Ready(procall::Encoded::of(&numbers.iter().sum::<f64>()))
        }
    }
    let service = Service::new("many").method_info(info.clone(), Sum);
    let none = serde_json::json!({"type": ["object", "array"], "items": {"type": "number"}});
    let any = procall::MethodInfo { name: "any".into(), params_schema: Some(none), ..info.clone() };
    let service = service.method_info(any, Sum);
    let free = procall::MethodInfo { name: "free".into(), unchecked: true, ..info };
    let service = service.handler("unused", Sum).method_info(free, Sum);
    let _worker = house.serve(service).await;
    let client = house.client().await;
    assert_eq!(client.call::<f64>("many.sum", (1, 2, 3, 4.5)).await.unwrap(), 10.5);
    let error = client.call::<f64>("many.sum", (1, "x")).await.unwrap_err();
    assert_eq!((error.code(), &*error.fields()[0].path), (ErrorCode::InvalidArgument, "/1"));
    let error = client.call::<f64>("many.sum", ()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument, "one at least");
    assert_eq!(client.call::<f64>("many.any", ()).await.unwrap(), 0.0);
    let unchecked = client.call::<f64>("many.free", (1, "x")).await.unwrap_err();
    assert_eq!(unchecked.code(), ErrorCode::HandlerError, "the engine passed it on");
}

#[tokio::test]
async fn unknown_methods_and_absent_workers_differ() {
    let house = House::new();
    let client = house.client().await;
    let error = client.call::<f64>("math.add", (1, 2)).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NotFound, Executed::No));
    let worker = house.serve(math()).await;
    let error = client.call::<f64>("math.ad", (1, 2)).await.unwrap_err();
    assert_eq!(error.candidates(), ["math.add"]);
    drop(worker);
    house.until(|peers| peers.iter().all(|peer| peer.methods == 0)).await;
    let error = client.call::<f64>("math.add", (1, 2)).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No));
}

#[procall::service(name = "flow")]
trait Flow {
    async fn count(&self, n: u64) -> Stream<u64>;
    async fn sum(&self, values: Stream<i64>) -> Result<i64, procall::Error>;
    async fn echo(&self, values: Stream<String>) -> Stream<String>;
}

#[derive(Clone)]
struct MyFlow;

impl Flow for MyFlow {
    async fn count(&self, n: u64) -> Stream<u64> {
        Stream::from_iter(0..n)
    }

    async fn sum(&self, mut values: Stream<i64>) -> Result<i64, procall::Error> {
        let mut sum = 0;
        while let Some(value) = values.next().await {
            sum += value?;
        }
        Ok(sum)
    }

    async fn echo(&self, values: Stream<String>) -> Stream<String> {
        values
    }
}

#[tokio::test]
async fn streams_pass_both_ways() {
    let house = House::new();
    let _worker = house.serve(MyFlow.into_service()).await;
    let flow = FlowClient::new(&house.client().await);
    let mut counted = flow.count(500).start();
    for expected in 0..500 {
        assert_eq!(counted.next().await.unwrap().unwrap(), expected);
    }
    assert!(counted.next().await.is_none());
    assert_eq!(flow.sum(Stream::from_iter(1..=100)).await.unwrap(), 5_050);
    let texts = ["one".to_owned(), "two".to_owned()];
    let mut echoed = flow.echo(Stream::from_iter(texts.clone())).start();
    for text in texts {
        assert_eq!(echoed.next().await.unwrap().unwrap(), text);
    }
    assert!(echoed.next().await.is_none());
}

#[tokio::test]
async fn a_worker_that_dies_ends_its_calls_at_once() {
    let house = House::new();
    let service = Service::new("slow")
        .async_method("wait", std::future::pending::<Result<(), procall::Error>>);
    let worker = house.serve(service).await;
    let client = house.client().await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call::<()>("slow.wait", ()).await }
    });
    house.until(|peers| peers.iter().any(|peer| peer.in_flight == 1)).await;
    drop(worker);
    let error = call.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    assert_eq!(error.worker(), Some("slow/1"));
}

#[tokio::test]
async fn a_stream_whose_worker_dies_says_that_the_worker_is_lost() {
    let house = House::new();
    let worker = house.serve(MyFlow.into_service()).await;
    let flow = FlowClient::new(&house.client().await);
    let mut counted = flow.count(u64::MAX).start();
    for expected in 0..3 {
        assert_eq!(counted.next().await.unwrap().unwrap(), expected);
    }
    drop(worker);
    let error = loop {
        // Items that were on their way come first.
        if let Err(error) =
            counted.next().await.expect("a stream that is cut short ends with an error")
        {
            break error;
        }
    };
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    assert_eq!(error.worker(), Some("flow/1"));
}

#[tokio::test]
async fn calls_wait_for_a_free_worker_and_their_deadline_counts() {
    let house = House::new();
    let begun = Arc::new(AtomicUsize::new(0));
    let service = Service::new("slow").concurrency(1).async_method("wait", {
        let begun = begun.clone();
        move || {
            begun.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<Result<(), procall::Error>>()
        }
    });
    let _worker = house.serve(service).await;
    let client = house.client().await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.call::<()>("slow.wait", ()).await }
    });
    house.until(|peers| peers.iter().any(|peer| peer.in_flight == 1)).await;
    let second = client.call::<()>("slow.wait", ()).deadline(Duration::from_millis(20));
    assert_eq!(second.await.unwrap_err().code(), ErrorCode::DeadlineExceeded);
    first.abort();
    house.until(|peers| peers.iter().all(|peer| peer.in_flight == 0)).await;
    assert_eq!(begun.load(Ordering::Relaxed), 1, "what is late is never started");
}
