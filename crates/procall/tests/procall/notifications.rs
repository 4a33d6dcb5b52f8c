//! Notifications: at most once, never answered, dropped and counted when nobody takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use procall::{Batch, Connection, Encoding, Request, Service, Side};

use crate::support::{TRANSPORTS, Transport, client_over, pair, poll_until};

#[tokio::test]
async fn a_notification_runs_its_handler_once() {
    for transport in TRANSPORTS {
        let seen = Arc::new(AtomicU64::new(0));
        let count = seen.clone();
        let service = Service::new("log").method("note", move |n: u64| {
            count.fetch_add(n, Ordering::SeqCst);
        });
        let (client, _serving) = client_over(transport, service).await;
        for _ in 0..100 {
            client.notify("note", (1_u64,)).unwrap();
        }
        // Nobody hears of these.
        client.notify("nothing", ()).unwrap();
        client.notify("note", ("wrong",)).unwrap();
        // An answer to a later call shows that all were handled before.
        client.call::<()>("note", (0_u64,)).await.unwrap();
        assert_eq!(seen.load(Ordering::SeqCst), 100);
    }
}

#[test]
fn notifications_that_nobody_takes_are_dropped_and_counted() {
    let (ours, theirs) = pair(Transport::Mem);
    let client = Connection::new(ours, Side::Initiator, Default::default());
    let server = Connection::serving(theirs, Side::Acceptor, Default::default());
    for _ in 0..1000 {
        client.notify(Request::new("note", Encoding::None, &[])).unwrap();
    }
    let _marker = client.start(Request::new("marker", Encoding::None, &[])).unwrap();
    // Turned by hand, so that everything has arrived before anything is taken.
    poll_until(|| {
        client.turn();
        server.turn();
        (server.dropped_notifications() == 1000 - 256).then_some(())
    });
    let mut batch = Batch::new();
    assert!(server.take_calls(&mut batch));
    assert_eq!(batch.iter().filter(|call| call.id.is_none()).count(), 256);
    // A call is never dropped with them.
    poll_until(|| {
        server.turn();
        let found = batch.iter().any(|call| batch.method(call) == "marker");
        if !found {
            batch.clear();
            server.take_calls(&mut batch);
        }
        found.then_some(())
    });
    assert_eq!(server.dropped_notifications(), 1000 - 256);
}
