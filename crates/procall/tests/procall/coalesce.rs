//! What is started together leaves together.

use procall::transport::{LinkOptions, mem};
use procall::{Batch, Connection, Encoding, Request, Side};

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
