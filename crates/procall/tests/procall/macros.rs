//! `#[procall::service]`: what it makes, and that it works.

use std::sync::Mutex;
use std::time::Duration;

use procall::schemars::JsonSchema;
use procall::{Context, Error, ErrorCode, Service, Shape, Stream};
use serde::{Deserialize, Serialize};

use crate::support::{Transport, blocking, client, client_over, within};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DivideByZero {
    dividend: i64,
}

impl std::fmt::Display for DivideByZero {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot divide {} by 0", self.dividend)
    }
}

impl std::error::Error for DivideByZero {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "procall::schemars")]
pub(crate) struct Point {
    x: i64,
    y: i64,
}

/// Adds numbers.
///
/// And more.
#[procall::service(version = "1.2")]
pub(crate) trait Calc {
    /// Adds two numbers.
    #[method(idempotent)]
    async fn add(&self, a: i64, b: i64) -> i64;
    #[method(errors("DivideByZero"))]
    async fn div(&self, a: i64, b: i64) -> Result<i64, DivideByZero>;
    #[method(blocking)]
    fn digest(&self, path: String) -> String;
    fn inline(&self, point: Point) -> Point;
    async fn count(&self, n: u64) -> Stream<u64>;
    fn count_now(&self, n: u64) -> procall::Stream<u64>;
    async fn count_or_fail(&self, n: u64) -> Result<Stream<u64>, DivideByZero>;
    async fn sum(&self, start: i64, values: Stream<i64>) -> Result<i64, Error>;
    #[method(blocking)]
    fn sum_blocking(&self, values: Stream<i64>) -> Result<i64, Error>;
    async fn echo(&self, values: procall::Stream<String>) -> procall::Stream<String>;
    async fn slow(&self, ctx: procall::Context, n: u64) -> u64;
    #[method(name = "other.name")]
    async fn renamed(&self);
    /// Parameters may be called like the code around them.
    async fn hygiene(&self, call: i64, params: i64, shared: i64, service: i64, this: i64) -> i64;
    async fn by_default(&self, n: i64) -> i64 {
        self.add(n, 1).await
    }
    async fn r#type(&self, r#fn: Option<i64>) -> Option<i64>;
    #[cfg(any())]
    async fn never(&self, not: NoSuchType);
}

#[derive(Default)]
struct MyCalc {
    seen: Mutex<Vec<u64>>,
}

impl Calc for MyCalc {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn div(&self, a: i64, b: i64) -> Result<i64, DivideByZero> {
        a.checked_div(b).ok_or(DivideByZero { dividend: a })
    }

    fn digest(&self, path: String) -> String {
        format!("{path} on {:?}", std::thread::current().name())
    }

    fn inline(&self, point: Point) -> Point {
        Point { x: point.y, y: point.x }
    }

    async fn count(&self, n: u64) -> Stream<u64> {
        Stream::from_iter(0..n)
    }

    fn count_now(&self, n: u64) -> Stream<u64> {
        Stream::from_iter(0..n)
    }

    async fn count_or_fail(&self, n: u64) -> Result<Stream<u64>, DivideByZero> {
        if n == 0 { Err(DivideByZero { dividend: 0 }) } else { Ok(self.count_now(n)) }
    }

    async fn sum(&self, start: i64, mut values: Stream<i64>) -> Result<i64, Error> {
        let mut sum = start;
        while let Some(value) = values.next().await {
            sum += value?;
        }
        Ok(sum)
    }

    fn sum_blocking(&self, mut values: Stream<i64>) -> Result<i64, Error> {
        let mut sum = 0;
        while let Some(value) = values.wait_next() {
            sum += value?;
        }
        Ok(sum)
    }

    async fn echo(&self, values: Stream<String>) -> Stream<String> {
        values
    }

    async fn slow(&self, ctx: Context, n: u64) -> u64 {
        self.seen.lock().unwrap().push(n);
        ctx.progress(n, Some(n), ctx.method());
        n + ctx.meta::<Meta>().map_or(0, |meta| meta.bonus)
    }

    async fn renamed(&self) {}

    async fn hygiene(&self, call: i64, params: i64, shared: i64, service: i64, this: i64) -> i64 {
        call + params + shared + service + this
    }

    async fn r#type(&self, r#fn: Option<i64>) -> Option<i64> {
        r#fn
    }
}

#[derive(Serialize, Deserialize)]
struct Meta {
    bonus: u64,
}

fn service() -> Service {
    MyCalc::default().into_service()
}

async fn calc() -> CalcClient {
    CalcClient::new(&client(service()).await)
}

#[test]
fn the_registration_says_what_the_trait_says() {
    let service = service();
    let registration = service.registration();
    assert_eq!((&*registration.name, &*registration.version), ("calc", "1.2"));
    assert_eq!(registration.description, "Adds numbers.\n\nAnd more.");

    let method = |name: &str| {
        registration.methods.iter().find(|method| method.name == name).expect("it is registered")
    };
    let add = method("calc.add");
    assert_eq!(add.description, "Adds two numbers.");
    assert_eq!(add.params, ["a", "b"]);
    assert!(add.idempotent);
    assert_eq!(add.shape, Shape::Unary);
    let schema = add.params_schema.as_ref().unwrap();
    assert_eq!(schema["required"], serde_json::json!(["a", "b"]));
    assert_eq!(schema["properties"]["a"]["type"], "integer");
    assert_eq!(add.result_schema.as_ref().unwrap()["type"], "integer");

    assert_eq!(method("calc.count").shape, Shape::ItemsOut);
    assert_eq!(method("calc.count").result_schema.as_ref().unwrap()["type"], "integer");
    assert_eq!(method("calc.sum").shape, Shape::ItemsIn);
    assert_eq!(method("calc.sum").params, ["start"]);
    assert_eq!(method("calc.echo").shape, Shape::Duplex);
    assert_eq!(method("calc.slow").params, ["n"]);
    assert!(!method("calc.slow").idempotent);
    assert_eq!(method("calc.div").errors, [procall::DeclaredError::new("DivideByZero")]);
    assert!(add.errors.is_empty());
    assert_eq!(method("calc.type").params, ["fn"]);
    assert!(
        method("calc.type").params_schema.as_ref().unwrap()["required"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    method("other.name");
    assert!(!registration.methods.iter().any(|method| method.name == "calc.never"));
}

#[tokio::test]
async fn values_go_there_and_back() {
    let calc = calc().await;
    assert_eq!(within(calc.add(1, 2).into_future()).await.unwrap(), 3);
    assert_eq!(calc.inline(Point { x: 1, y: 2 }).await.unwrap(), Point { x: 2, y: 1 });
    assert_eq!(calc.hygiene(1, 2, 3, 4, 5).await.unwrap(), 15);
    assert_eq!(calc.by_default(1).await.unwrap(), 2);
    assert_eq!(calc.r#type(Some(7)).await.unwrap(), Some(7));
    calc.renamed().await.unwrap();
    let digest = calc.digest("x".into()).await.unwrap();
    assert!(digest.contains("tokio"), "{digest}");
}

#[tokio::test]
async fn an_error_of_the_services_own_arrives_with_its_value() {
    let calc = calc().await;
    assert_eq!(calc.div(6, 3).await.unwrap(), 2);
    let error = calc.div(6, 0).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::HandlerError);
    assert_eq!(error.remote_type(), Some("DivideByZero"));
    assert_eq!(error.message(), "cannot divide 6 by 0");
    assert_eq!(error.details::<DivideByZero>(), Some(DivideByZero { dividend: 6 }));
}

#[tokio::test]
async fn streams_in_all_directions() {
    let calc = calc().await;
    assert_eq!(calc.count(3).start().collect().await.unwrap(), [0, 1, 2]);
    assert_eq!(calc.count_now(2).start().collect().await.unwrap(), [0, 1]);
    assert_eq!(calc.count_or_fail(1).start().collect().await.unwrap(), [0]);
    let error = calc.count_or_fail(0).start().collect().await.unwrap_err();
    assert_eq!(error.details::<DivideByZero>(), Some(DivideByZero { dividend: 0 }));

    assert_eq!(within(calc.sum(1000, 1..=1000).into_future()).await.unwrap(), 501_500);
    assert_eq!(within(calc.sum_blocking(vec![1, 2, 3]).into_future()).await.unwrap(), 6);
    assert_eq!(calc.sum(5, []).await.unwrap(), 5);
    let words: Vec<String> = (0..500).map(|n| format!("word {n}")).collect();
    assert_eq!(within(calc.echo(words.clone()).start().collect()).await.unwrap(), words);
    // The answer to one call is the stream of the next.
    let numbers = calc.count(100).start();
    let numbers = Stream::new(futures_util::TryStreamExt::map_ok(numbers, |n| n as i64));
    assert_eq!(within(calc.sum(0, numbers).into_future()).await.unwrap(), 4950);
}

#[tokio::test]
async fn options_are_set_before_the_call_starts() {
    let calc = calc().await;
    let seen = std::sync::Arc::new(Mutex::new(None));
    let noted = seen.clone();
    let n = calc
        .slow(5)
        .deadline(Duration::from_secs(20))
        .meta(&Meta { bonus: 100 })
        .on_progress(move |progress| *noted.lock().unwrap() = Some(progress.to_string()))
        .await
        .unwrap();
    assert_eq!(n, 105);
    assert_eq!(seen.lock().unwrap().as_deref(), Some("5/5 calc.slow"));
}

#[test]
fn the_same_client_works_without_a_runtime() {
    let (client, _host) = blocking(Transport::Unix, service());
    let calc = CalcClient::new(&client);
    assert_eq!(calc.add(1, 2).wait().unwrap(), 3);
    assert_eq!(calc.sum(0, 1..=1000).wait().unwrap(), 500_500);
    let mut stream = calc.echo(["a".to_owned(), "b".to_owned()]).start();
    assert_eq!(stream.wait_next().unwrap().unwrap(), "a");
    assert_eq!(stream.wait_next().unwrap().unwrap(), "b");
    assert!(stream.wait_next().is_none());

    let mut echo = calc.clone().echo([]).open::<String>();
    for n in 0..200 {
        assert!(echo.send(&n.to_string()).unwrap());
        assert_eq!(echo.next().unwrap().unwrap(), n.to_string());
    }
    echo.finish();
    assert!(echo.next().is_none());
}

#[tokio::test]
async fn params_may_be_sent_by_name_too() {
    let (client, _serving) = client_over(Transport::Mem, service()).await;
    let sum: i64 = client.call("add", serde_json::json!({"b": 2, "a": 1})).await.unwrap();
    assert_eq!(sum, 3);
    let point: Point = client.call("inline", Point { x: 1, y: 2 }).await.unwrap();
    assert_eq!(point, Point { x: 2, y: 1 });
    let error = client.call::<i64>("add", serde_json::json!({"a": 1})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains('b'), "{error}");
}
