//! Spans of calls. A process has one tracer, so these tests have a process of their own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use procall::{Client, Context, Error, ErrorCode, Service, Span, Stream, Tracer, set_tracer};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Longer than anything here takes.
const SAFETY: Duration = Duration::from_secs(60);

/// A span that is over.
#[derive(Debug, Clone, PartialEq)]
struct Over {
    kind: &'static str,
    method: String,
    id: u64,
    parent: Option<u64>,
    failure: Option<ErrorCode>,
}

#[derive(Default)]
struct Book {
    over: Mutex<Vec<Over>>,
    next: AtomicU64,
    news: Notify,
}

struct Noting(Arc<Book>);

struct Noted(Arc<Book>, Option<Over>);

impl Noting {
    fn begin(&self, kind: &'static str, method: &str, parent: Option<&str>) -> Box<dyn Span> {
        let id = 1 + self.0.next.fetch_add(1, Ordering::Relaxed);
        let parent = parent.map(|parent| u64::from_str_radix(&parent[36..52], 16).unwrap());
        let span = Over { kind, method: method.to_owned(), id, parent, failure: None };
        Box::new(Noted(self.0.clone(), Some(span)))
    }
}

impl Tracer for Noting {
    fn call(&self, method: &str, parent: Option<&str>) -> Box<dyn Span> {
        self.begin("call", method, parent)
    }

    fn serve(&self, method: &str, parent: Option<&str>) -> Box<dyn Span> {
        self.begin("serve", method, parent)
    }
}

impl Span for Noted {
    fn traceparent(&self) -> Option<String> {
        let id = self.1.as_ref()?.id;
        Some(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{id:016x}-01"))
    }

    fn end(&mut self, failure: Option<&Error>) {
        let span = self.1.take().expect("it ends once");
        let failure = failure.map(Error::code);
        self.0.over.lock().unwrap().push(Over { failure, ..span });
        self.0.news.notify_waiters();
    }
}

fn book() -> Arc<Book> {
    static BOOK: OnceLock<Arc<Book>> = OnceLock::new();
    let book = BOOK.get_or_init(|| {
        let book = Arc::new(Book::default());
        set_tracer(Arc::new(Noting(book.clone()))).unwrap();
        book
    });
    book.clone()
}

impl Book {
    /// The span of a method, which is called by one test only.
    async fn span(&self, kind: &str, method: &str) -> Over {
        let look = async {
            loop {
                let mut news = std::pin::pin!(self.news.notified());
                news.as_mut().enable();
                let known = self.over.lock().unwrap().clone();
                if let Some(found) =
                    known.into_iter().find(|span| span.kind == kind && span.method == method)
                {
                    return found;
                }
                news.await;
            }
        };
        tokio::time::timeout(SAFETY, look).await.unwrap()
    }

    /// Both spans of a call, of which the handler's is the child.
    async fn both(&self, called: &str, served: &str) -> (Over, Over) {
        let (call, serve) = (self.span("call", called).await, self.span("serve", served).await);
        assert_eq!(serve.parent, Some(call.id));
        (call, serve)
    }
}

/// A client of a service in this process.
async fn client(service: Service) -> Client {
    let (near, far) =
        procall::transport::mem::pair(&procall::transport::LinkOptions::default()).unwrap();
    service.serve_link(Box::new(near)).unwrap();
    Client::over(Box::new(far)).await.unwrap()
}

#[tokio::test]
async fn a_call_and_its_handler_have_spans_and_so_have_the_calls_of_the_handler() {
    let book = book();
    let inner = client(Service::new("inner").method("one", || 1_i64)).await;
    let outer = Service::new("outer")
        .async_method("later", move |ctx: Context| {
            let inner = inner.clone();
            async move {
                tokio::task::yield_now().await;
                let meta: Value = ctx.meta().unwrap();
                let one: i64 = inner.call("one", ()).await?;
                Ok::<_, Error>((one, meta))
            }
        })
        .method("plain", || 7_i64);
    let outer = client(outer).await;
    let call = outer.call::<(i64, Value)>("later", ()).meta(&json!({"tenant": "t"}));
    let (one, meta) = call.await.unwrap();
    assert_eq!((one, &meta["tenant"]), (1, &json!("t")));
    let (call, serve) = book.both("later", "outer.later").await;
    assert_eq!((call.parent, call.failure, serve.failure), (None, None, None));
    let (call, _) = book.both("one", "inner.one").await;
    assert_eq!(call.parent, Some(serve.id), "it is part of the handler, also after a wait");

    let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = outer.call::<i64>("plain", ()).meta(&json!({"traceparent": theirs}));
    assert_eq!(call.await.unwrap(), 7);
    let (call, _) = book.both("plain", "outer.plain").await;
    assert_eq!(call.parent, Some(0x00f0_67aa_0ba9_02b7), "the program's own counts");
}

#[tokio::test]
async fn failures_and_calls_that_are_given_up_end_their_spans() {
    let book = book();
    let service = Service::new("bad")
        .try_method("fail", || Err::<(), _>(Error::new(ErrorCode::NotFound, "no")))
        .async_method("endless", || async {
            std::future::pending::<()>().await;
            Ok::<_, Error>(())
        });
    let bad = client(service).await;
    bad.call::<()>("fail", ()).await.unwrap_err();
    let (call, serve) = book.both("fail", "bad.fail").await;
    assert_eq!(
        (call.failure, serve.failure),
        (Some(ErrorCode::NotFound), Some(ErrorCode::NotFound))
    );
    let given_up = bad.call::<()>("endless", ()).deadline(Duration::from_millis(20)).await;
    assert_eq!(given_up.unwrap_err().code(), ErrorCode::DeadlineExceeded);
    let (call, serve) = book.both("endless", "bad.endless").await;
    assert_eq!(
        (call.failure, serve.failure),
        (Some(ErrorCode::DeadlineExceeded), Some(ErrorCode::Cancelled))
    );
}

#[tokio::test]
async fn a_stream_has_its_span_until_its_end_and_a_notification_none() {
    let book = book();
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let service = Service::new("flow")
        .stream_method("count", |n: u64| Stream::new(futures_util::stream::iter((0..n).map(Ok))))
        .method("hear", move || {
            // The test waits for it.
            let _ = told.try_send(());
        });
    let flow = client(service).await;
    let mut numbers = flow.stream::<u64>("count", (2,));
    assert_eq!(numbers.next().await.unwrap().unwrap(), 0);
    assert!(!book.over.lock().unwrap().iter().any(|span| span.method == "count"));
    assert_eq!(numbers.next().await.unwrap().unwrap(), 1);
    assert!(numbers.next().await.is_none());
    let (call, serve) = book.both("count", "flow.count").await;
    assert_eq!((call.failure, serve.failure), (None, None));
    flow.notify("hear", ()).unwrap();
    tokio::time::timeout(SAFETY, heard.recv()).await.unwrap().unwrap();
    assert!(!book.over.lock().unwrap().iter().any(|span| span.method.ends_with("hear")));
}

#[test]
fn a_process_has_one_tracer() {
    let book = book();
    assert!(set_tracer(Arc::new(Noting(book))).is_err());
}
