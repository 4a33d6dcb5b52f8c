//! Calls with one value each way, over the task driver.

use procall::{
    Connection, Context, Encoding, Error, ErrorCode, Executed, Request, Service, Side, Stream,
};
use serde::{Deserialize, Serialize};

use crate::support::{TRANSPORTS, Transport, client, client_over, pair, within};

fn calc() -> Service {
    Service::new("calc")
        .description("Adds numbers.")
        .method("add", |a: i64, b: i64| a + b)
        .params("add", &["a", "b"])
        .idempotent("add")
        .async_method("later", async |n: i64| {
            tokio::task::yield_now().await;
            Ok::<_, Error>(n)
        })
        .method("progress", |ctx: Context, n: u64| {
            ctx.progress(n, Some(n), "done");
            n
        })
        .method("meta", |ctx: Context| ctx.meta::<Meta>().map(|meta| meta.user))
        .method("size", |text: String| text.len() as u64)
        .blocking_method("thread", |ctx: Context, prefix: String| {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            Ok::<_, Error>(format!("{prefix} {} {name}", ctx.method()))
        })
}

#[derive(Serialize, Deserialize)]
struct Meta {
    user: String,
}

#[tokio::test]
async fn a_call_returns_its_value_on_every_transport() {
    for transport in TRANSPORTS {
        let (client, _serving) = client_over(transport, calc()).await;
        assert_eq!(within(client.call::<i64>("add", (1, 2)).into_future()).await.unwrap(), 3);
        assert_eq!(within(client.call::<i64>("calc.later", (7,)).into_future()).await.unwrap(), 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_each_get_their_own_answer() {
    for transport in TRANSPORTS {
        let (client, _serving) = client_over(transport, calc()).await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let client = client.clone();
            tasks.spawn(async move {
                for m in 0..100 {
                    let method = if m % 2 == 0 { "add" } else { "later" };
                    let result = if m % 2 == 0 {
                        client.call::<i64>(method, (n * 1000, m)).await
                    } else {
                        client.call::<i64>(method, (n * 1000 + m,)).await
                    };
                    assert_eq!(result.unwrap(), n * 1000 + m);
                }
            });
        }
        within(tasks.join_all()).await;
    }
}

#[tokio::test]
async fn long_values_go_through_in_chunks() {
    for transport in TRANSPORTS {
        let (client, _serving) = client_over(transport, calc()).await;
        let text = "x".repeat(5 << 20);
        assert_eq!(
            within(client.call::<u64>("size", (text,)).into_future()).await.unwrap(),
            5 << 20
        );
    }
}

#[tokio::test]
async fn a_method_that_may_block_runs_elsewhere() {
    let client = client(calc()).await;
    let said: String = client.call("thread", ("x",)).await.unwrap();
    assert!(said.starts_with("x calc.thread tokio"), "{said}");
}

#[tokio::test]
async fn methods_tells_what_is_served() {
    let client = client(calc()).await;
    let registration = client.methods().await.unwrap();
    assert_eq!(registration, *calc().registration());
    assert_eq!(registration.methods[0].params, ["a", "b"]);
    client.call::<()>("procall.ping", ()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_method_names_those_that_were_perhaps_meant() {
    let client = client(calc()).await;
    let error = client.call::<i64>("ad", (1, 2)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(error.executed(), Executed::No);
    assert_eq!(error.candidates(), ["calc.add"]);
}

#[tokio::test]
async fn progress_arrives_before_the_answer() {
    let client = client(calc()).await;
    let (reports, mut seen) = tokio::sync::mpsc::channel(4);
    let n: u64 = client
        .call("progress", (3,))
        .on_progress(move |progress| reports.try_send(progress.to_string()).unwrap())
        .await
        .unwrap();
    assert_eq!(n, 3);
    assert_eq!(seen.recv().await.unwrap(), "3/3 done");
    assert_eq!(seen.recv().await, None);
}

#[tokio::test]
async fn metadata_reaches_the_handler() {
    let client = client(calc()).await;
    let meta = Meta { user: "ada".into() };
    let user: Option<String> = client.call("meta", ()).meta(&meta).await.unwrap();
    assert_eq!(user.as_deref(), Some("ada"));
    assert_eq!(client.call::<Option<String>>("meta", ()).await.unwrap(), None);
    let error = client.call::<Option<String>>("meta", ()).meta(&"no map").await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
}

#[tokio::test]
async fn params_in_json_are_answered() {
    let client = client(calc()).await;
    for params in ["[1, 2]", r#"{"b": 2, "a": 1}"#] {
        let request = Request::new("add", Encoding::Json, params.as_bytes());
        let reply = client.connection().start(request).unwrap().await.unwrap();
        assert_eq!((reply.encoding, &*reply.bytes), (Encoding::Msgpack, &[3][..]));
    }
    for params in ["", "[1, 2", "[1, 2] ", "nul", "{\"a\": 1, \"a\": 2, \"b\": 3}"] {
        let request = Request::new("add", Encoding::Json, params.as_bytes());
        let outcome = client.connection().start(request).unwrap().await;
        let valid = params == "[1, 2] ";
        match outcome {
            Ok(_) => assert!(valid, "{params:?}"),
            Err(error) => {
                assert!(!valid, "{params:?}: {error}");
                assert_eq!(error.code(), ErrorCode::InvalidArgument, "{params:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_raw_body_is_one_argument_of_bytes() {
    #[derive(Deserialize)]
    struct Bytes(#[serde(deserialize_with = "length")] usize);
    fn length<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = usize;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<usize, E> {
                Ok(bytes.len())
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
    impl procall::schemars::JsonSchema for Bytes {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Bytes".into()
        }
        fn json_schema(_: &mut procall::schemars::SchemaGenerator) -> procall::schemars::Schema {
            procall::schemars::Schema::default()
        }
    }
    let service = Service::new("raw").method("length", |bytes: Bytes| bytes.0 as u64);
    let client = client(service).await;
    let request = Request::new("length", Encoding::Raw, b"hello");
    let reply = client.connection().start(request).unwrap().await.unwrap();
    assert_eq!(reply.bytes, [5]);
}

#[tokio::test]
async fn the_side_that_serves_can_call_too() {
    let (ours, theirs) = pair(Transport::Mem);
    let asks_back = Service::new("asker").async_method("ask", async |ctx: Context, n: i64| {
        let doubled = procall::Call::<i64>::new(ctx.caller(), "double", (n,)).into_future().await?;
        Ok::<_, Error>(doubled + 1)
    });
    asks_back.serve_link(theirs).unwrap();
    let caller = Connection::serving(ours, Side::Initiator, Default::default());
    let answering = caller.clone();
    std::thread::spawn(move || {
        let mut batch = procall::Batch::new();
        answering.wait_calls(&mut batch, None, &mut || false).unwrap();
        for call in batch.iter() {
            assert_eq!(batch.method(call), "double");
            let value = procall::Encoded::new(Encoding::Msgpack, vec![42]);
            answering.reply(call.id.unwrap(), value);
        }
    });
    let pending = caller.start(Request::new("ask", Encoding::Msgpack, &[0x91, 21])).unwrap();
    assert_eq!(within(pending).await.unwrap().bytes, [43]);
}

#[tokio::test]
async fn a_caller_learns_what_is_served_without_asking() {
    let service = Service::new("calc").stream_method("count", |n: u64| Stream::from_iter(0..n));
    let client = client(service).await;
    let connection = client.connection();
    let registration =
        within(std::future::poll_fn(|cx| connection.poll_peer_registration(cx.waker()))).await;
    let registration = registration.unwrap();
    assert_eq!(registration.name, "calc");
    assert!(registration.methods[0].shape.items_out());
}

#[tokio::test]
async fn a_client_counts_its_calls() {
    let service = Service::new("calc")
        .method("add", |a: i64, b: i64| a + b)
        .try_method("fail", || Err::<(), _>(Error::handler("Oops", "as asked")))
        .async_method("never", std::future::pending::<Result<(), Error>>);
    let client = client(service).await;
    for n in 0..5 {
        client.call::<i64>("add", (n, n)).await.unwrap();
    }
    client.call::<()>("fail", ()).await.unwrap_err();
    let dropped = client.call::<()>("never", ()).into_future();
    assert_eq!(client.metrics().in_flight, 1);
    drop(dropped);
    let metrics = client.metrics();
    assert_eq!(
        (metrics.total_requests, metrics.successful_requests, metrics.failed_requests),
        (7, 5, 1)
    );
    assert_eq!((metrics.cancelled_requests, metrics.in_flight), (1, 0));
    assert!(metrics.latency.max >= metrics.latency.mean);
    // Refused on this side, and counted all the same.
    client.close();
    client.call::<i64>("add", (1, 2)).await.unwrap_err();
    assert_eq!(client.metrics().failed_requests, 2);
}
