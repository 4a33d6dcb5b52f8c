//! An engine that knows a few methods itself, and lets the tests call its peers.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use procall::transport::{LinkOptions, PeerCredentials, mem};
use procall::{
    Batch, CallId, CallOptions, Config, Connection, Encoded, Encoding, Error, ErrorCode,
    FieldError, Pending, RawService, Registration, Request, Side, json,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::Counters;
use crate::facts::Facts;
use crate::gateway::Host;
use crate::tokens::Pass;

/// A peer that a gateway has attached.
pub(super) struct Attached {
    pub(super) facts: Facts,
    pub(super) connection: Connection,
    news: mpsc::Receiver<News>,
}

/// What the engine saw of a peer.
#[derive(Debug)]
pub(super) enum News {
    /// Its notification: method, params and metadata.
    Notified(String, Value, Value),
    /// A call of `hold`, which nobody answers unless the test does.
    Held(CallId),
    /// What it registered.
    Registered(Registration),
    /// It registers as `held`, which nobody answers unless the test does.
    Registering(CallId, Registration),
    Closed,
}

pub(super) struct TestEngine {
    attached: mpsc::Sender<Attached>,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Attached>>,
    refuse: bool,
    /// What it was told of all peers.
    pub(super) strays: Mutex<Counters>,
}

impl TestEngine {
    pub(super) fn new() -> Arc<Self> {
        Self::build(false)
    }

    /// One that takes nobody.
    pub(super) fn full() -> Arc<Self> {
        Self::build(true)
    }

    fn build(refuse: bool) -> Arc<Self> {
        let (attached, waiting) = mpsc::channel(64);
        let (waiting, strays) = (tokio::sync::Mutex::new(waiting), Mutex::default());
        Arc::new(Self { attached, waiting, refuse, strays })
    }

    /// The peer that came first.
    pub(super) async fn attached(&self) -> Attached {
        super::soon(async { self.waiting.lock().await.recv().await }).await.unwrap()
    }
}

impl Host for TestEngine {
    fn attach(&self, facts: Facts, service: Arc<dyn RawService>) -> Result<Connection, Error> {
        if self.refuse {
            return Err(Error::new(ErrorCode::Overloaded, "4096 peers are here already"));
        }
        let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
        let (sender, news) = mpsc::channel(4096);
        let peer = Arc::new(OnePeer { news: sender, label: Mutex::new(String::new()) });
        let connection =
            procall::serve_raw(Box::new(theirs), Side::Acceptor, Config::default(), peer)?;
        self.attached.try_send(Attached { facts, connection, news }).ok().unwrap();
        procall::serve_raw(Box::new(ours), Side::Initiator, Config::default(), service)
    }

    fn authenticate(
        &self,
        _credentials: Option<PeerCredentials>,
        _token: Option<&[u8]>,
    ) -> Result<Pass, Error> {
        Ok(Pass::full())
    }

    fn strayed(&self, more: Counters) {
        assert_ne!(more, Counters::default(), "only what is new is told");
        let mut strays = self.strays.lock().unwrap();
        strays.unasked += more.unasked;
        strays.late += more.late;
        strays.dropped += more.dropped;
    }
}

impl Attached {
    pub(super) async fn next(&mut self) -> News {
        super::soon(self.news.recv()).await.unwrap()
    }

    pub(super) async fn registered(&mut self) -> Registration {
        match self.next().await {
            News::Registered(registration) => registration,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn held(&mut self) -> CallId {
        match self.next().await {
            News::Held(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn closed(&mut self) {
        while !matches!(self.next().await, News::Closed) {}
    }

    /// Calls the peer.
    pub(super) fn call(&self, method: &str, params: Value) -> Pending {
        self.call_with(method, params, CallOptions::default())
    }

    pub(super) fn call_with(&self, method: &str, params: Value, options: CallOptions) -> Pending {
        let params = encoded(&params);
        let request = Request::new(method, Encoding::Msgpack, &params).with_options(options);
        self.connection.start(request).unwrap()
    }

    pub(super) fn notify(&self, method: &str, params: Value, meta: Value) {
        let (params, meta) = (encoded(&params), encoded(&meta));
        let request = Request::new(method, Encoding::Msgpack, &params);
        let options = CallOptions { meta, ..CallOptions::default() };
        self.connection.notify(request.with_options(options)).unwrap();
    }
}

/// The outcome of a call to a peer, as JSON.
pub(super) async fn outcome(pending: Pending) -> Result<Value, Error> {
    super::soon(pending).await.map(|value| decoded(value.encoding, &value.bytes))
}

pub(super) fn encoded(value: &Value) -> Vec<u8> {
    json::from_json(value.to_string().as_bytes()).unwrap()
}

pub(super) fn decoded(encoding: Encoding, bytes: &[u8]) -> Value {
    match encoding {
        Encoding::None => Value::Null,
        Encoding::Msgpack if bytes.is_empty() => Value::Null,
        Encoding::Msgpack => serde_json::from_slice(&json::to_json(bytes).unwrap()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The engine's side of one peer.
struct OnePeer {
    news: mpsc::Sender<News>,
    label: Mutex<String>,
}

impl OnePeer {
    fn tell(&self, news: News) {
        // The test may have ended.
        let _ = self.news.try_send(news);
    }

    fn answer(&self, method: &str, params: &Value) -> Result<Vec<u8>, Error> {
        let number = |at: usize, name: &str| {
            let value = params.get(at).or_else(|| params.get(name));
            let fields = vec![FieldError { path: format!("/{name}"), message: "missing".into() }];
            let missing = Error::new(ErrorCode::InvalidArgument, format!("{name} is missing"));
            value.and_then(Value::as_f64).ok_or_else(|| missing.with_fields(fields))
        };
        match method {
            "add" | "math.add" => Ok(encoded(&json!(number(0, "a")? + number(1, "b")?))),
            "divide" => match (number(0, "a")?, number(1, "b")?) {
                (_, 0.0) => Err(Error::handler("ZeroDivisionError", "division by zero")),
                (a, b) => Ok(encoded(&json!(a / b))),
            },
            "echo" => Ok(encoded(params)),
            "nan" => Ok(vec![0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
            "large" => Ok(encoded(&json!("x".repeat(1 << 20)))),
            "late" => Err(Error::new(ErrorCode::DeadlineExceeded, "too late")),
            "procall.engine.self" => {
                let label = self.label.lock().unwrap().clone();
                Ok(encoded(&json!({"id": super::UUID, "name": label})))
            }
            _ => Err(Error::new(ErrorCode::NotFound, format!("no method {method:?} is known"))),
        }
    }
}

impl RawService for OnePeer {
    fn calls(&self, connection: &Connection, batch: &Batch) {
        for call in batch.iter() {
            let method = batch.method(call);
            let params = decoded(call.encoding, batch.body(call));
            let meta = match batch.meta(call) {
                [] => json!({}),
                meta => decoded(Encoding::Msgpack, meta),
            };
            let Some(id) = call.id else {
                self.tell(News::Notified(method.to_owned(), params, meta));
                continue;
            };
            let value = match method {
                "hold" => {
                    self.tell(News::Held(id));
                    continue;
                }
                "meta" => Ok(encoded(&meta)),
                "left" => {
                    let left = call.remaining().map(|left| left.as_millis() as u64);
                    Ok(encoded(&json!([left, call.idempotent])))
                }
                "count" => {
                    tokio::spawn(count(connection.clone(), id, params[0].as_u64().unwrap()));
                    continue;
                }
                "sum" => {
                    tokio::spawn(sum(connection.clone(), id));
                    continue;
                }
                _ => self.answer(method, &params),
            };
            match value {
                Ok(bytes) => connection.reply(id, Encoded::new(Encoding::Msgpack, bytes)),
                Err(error) => connection.fail(id, &error),
            }
        }
    }

    fn registers(&self, connection: &Connection) {
        let Some((id, registration)) = connection.take_registration() else { return };
        if let Ok(held) = &registration
            && held.name == "held"
        {
            return self.tell(News::Registering(id, held.clone()));
        }
        let checked = registration.and_then(|registration| {
            let wrong = registration.methods.iter().enumerate().flat_map(|(at, method)| {
                let schemas = [
                    ("params_schema", &method.params_schema),
                    ("result_schema", &method.result_schema),
                ];
                schemas.into_iter().filter_map(move |(name, schema)| {
                    let wrong = schema.as_ref()?.get("type")? == "nonsense";
                    let path = format!("/methods/{at}/{name}");
                    let message = format!("{name} of {} does not compile", method.name);
                    wrong.then_some(FieldError { path, message })
                })
            });
            match wrong.collect::<Vec<_>>() {
                fields if fields.is_empty() => Ok(Arc::new(registration)),
                fields => Err(Error::new(ErrorCode::InvalidArgument, "2 schemas are wrong")
                    .with_fields(fields)),
            }
        });
        if let Ok(registration) = &checked {
            let mut label = self.label.lock().unwrap();
            label.clone_from(&registration.name);
            if registration.name == "example_client" {
                label.push_str("-2");
            }
            self.tell(News::Registered((**registration).clone()));
        }
        connection.answer_registration(id, checked);
    }

    fn changed(&self, connection: &Connection) {
        if connection.is_closed() {
            self.tell(News::Closed);
        }
    }
}

/// Sends the numbers below `end`; an odd `end` fails there.
async fn count(connection: Connection, id: CallId, end: u64) {
    for n in 0..end {
        let item = encoded(&json!(n));
        let sent = poll_fn(|cx| connection.poll_item_out(id, Encoding::Msgpack, &item, cx.waker()));
        if sent.await.is_err() {
            return;
        }
    }
    if end % 2 == 1 {
        connection.fail(id, &Error::handler("Odd", "an odd number of items"));
    } else {
        connection.end_items_out(id);
    }
}

/// Adds up the items of the caller.
async fn sum(connection: Connection, id: CallId) {
    let mut sum = 0;
    connection.progress(id, 0, Some(3), "summing");
    loop {
        match poll_fn(|cx| connection.poll_item_in(id, cx.waker())).await {
            Some(Ok(item)) => sum += decoded(item.encoding, &item.bytes).as_u64().unwrap(),
            Some(Err(_)) => return,
            None => break,
        }
    }
    let bytes = encoded(&json!(sum));
    connection.reply(id, Encoded::new(Encoding::Msgpack, bytes));
}
