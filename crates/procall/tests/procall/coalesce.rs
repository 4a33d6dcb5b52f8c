//! What is started together leaves together.

use std::future::poll_fn;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use procall::transport::{Link, LinkError, LinkInfo, LinkOptions, mem};
use procall::{
    Batch, Connection, Encoded, Encoding, Onlooker, RawService, Request, Side, Started, serve_raw,
};

#[test]
fn calls_wait_for_the_end_of_the_closure() {
    let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    let client = Connection::new(Box::new(ours), Side::Initiator, Default::default());
    let server = Connection::serving(Box::new(theirs), Side::Acceptor, Default::default());
    // The greetings are through.
    server.turn();
    client.turn();
    server.turn();
    let mut batch = Batch::new();
    let calls = procall::coalesce(|| {
        let start = |_| client.start(Request::new("add", Encoding::None, &[])).unwrap();
        let calls: Vec<_> = (0..64).map(start).collect();
        server.turn();
        assert!(!server.take_calls(&mut batch), "a call has left before the others were started");
        calls
    });
    server.turn();
    assert!(server.take_calls(&mut batch));
    assert_eq!(batch.len(), calls.len());
}

/// Counts how often something leaves.
#[derive(Debug)]
struct Counting {
    link: mem::MemLink,
    unsent: bool,
    writes: Arc<AtomicUsize>,
}

impl Link for Counting {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.link.buffer(len)
    }

    fn commit(&mut self) {
        self.unsent = true;
        self.link.commit();
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        if std::mem::take(&mut self.unsent) {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        self.link.flush()
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        self.link.receive()
    }

    fn info(&self) -> &LinkInfo {
        self.link.info()
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.link.readiness()
    }

    fn close(&mut self) {
        self.link.close();
    }
}

/// Hands the calls of a batch on to its workers, each to another one.
struct Router(Vec<Connection>);

struct Nobody;

impl Onlooker for Nobody {}

impl RawService for Router {
    fn calls(&self, connection: &Connection, batch: &Batch) {
        for (call, worker) in batch.iter().zip(&self.0) {
            let request = Request::new(batch.method(call), call.encoding, batch.body(call));
            let started = Started::from(worker.start(request).unwrap());
            connection.answer_with(call.id.unwrap(), call.shape(), started, Nobody);
        }
    }
}

impl RawService for Nobody {
    fn calls(&self, _: &Connection, _: &Batch) {}
}

/// A worker whose calls are answered when the test says so.
struct Worker {
    connection: Connection,
    batch: Batch,
}

impl Worker {
    async fn called(&mut self) {
        poll_fn(|cx| {
            self.connection.turn();
            self.connection.poll_calls(&mut self.batch, cx.waker())
        })
        .await
        .unwrap();
    }

    fn answer(&self) {
        for call in self.batch.iter() {
            self.connection.reply(call.id.unwrap(), Encoded::of(&1).unwrap());
        }
    }
}

/// A client, a router in front of so many workers, and how often the router writes to the client. Turned by one thread, so that what is ready at
/// the same time is known.
async fn routed(workers: usize) -> (Connection, Vec<Worker>, Arc<AtomicUsize>) {
    let pair = || mem::pair(&LinkOptions::default()).unwrap();
    let config = procall::Config::default;
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let (ours, theirs) = pair();
        let none = Arc::new(Nobody);
        near.push(serve_raw(Box::new(ours), Side::Initiator, config(), none).unwrap());
        let connection = Connection::serving(Box::new(theirs), Side::Acceptor, config());
        far.push(Worker { connection, batch: Batch::new() });
    }
    let (ours, theirs) = pair();
    let writes = Arc::<AtomicUsize>::default();
    let link = Counting { link: theirs, unsent: false, writes: writes.clone() };
    let router = Arc::new(Router(near.clone()));
    serve_raw(Box::new(link), Side::Acceptor, config(), router).unwrap();
    let client = Connection::new(Box::new(ours), Side::Initiator, config());
    let ready = |connection: Connection| async move {
        poll_fn(|cx| connection.poll_ready(cx.waker())).await.unwrap();
    };
    for connection in near.into_iter().chain([client.clone()]) {
        ready(connection).await;
    }
    (client, far, writes)
}

#[tokio::test]
async fn answers_of_many_workers_that_are_there_together_leave_in_one_write() {
    const WORKERS: usize = 8;
    let (client, mut workers, writes) = routed(WORKERS).await;
    let calls: Vec<_> = procall::coalesce(|| {
        let start = |_| client.start(Request::new("add", Encoding::None, &[])).unwrap();
        (0..WORKERS).map(start).collect()
    });
    for worker in &mut workers {
        worker.called().await;
    }
    writes.store(0, Ordering::Relaxed);
    // Nothing else runs before they all have answered.
    workers.iter().for_each(Worker::answer);
    for call in calls {
        assert_eq!(call.await.unwrap().decode::<i64>().unwrap(), 1);
    }
    assert_eq!(writes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_first_of_many_answers_does_not_wait_for_the_others() {
    let (client, mut workers, _) = routed(2).await;
    let start = || client.start(Request::new("add", Encoding::None, &[])).unwrap();
    let (first, second) = procall::coalesce(|| (start(), start()));
    for worker in &mut workers {
        worker.called().await;
    }
    workers[0].answer();
    assert_eq!(first.await.unwrap().decode::<i64>().unwrap(), 1);
    workers[1].answer();
    assert_eq!(second.await.unwrap().decode::<i64>().unwrap(), 1);
}
