//! How connections end: by choice, by loss, by a drain.

use std::time::Duration;

use procall::transport::Address;
use procall::{Client, Error, ErrorCode, Executed, Server, Service};

use crate::support::{Event, TRANSPORTS, Transport, client_over, within};

fn service(started: &Event, go: &Event) -> Service {
    let (started, go) = (started.clone(), go.clone());
    Service::new("calc")
        .async_method("slow", move |size: usize| {
            let (started, go) = (started.clone(), go.clone());
            async move {
                started.set();
                go.happened().await;
                Ok::<_, Error>("x".repeat(size))
            }
        })
        .method("add", |a: i64, b: i64| a + b)
}

#[tokio::test]
async fn a_close_of_ones_own_is_closed_and_later_calls_did_not_run() {
    for transport in TRANSPORTS {
        let (started, go) = (Event::default(), Event::default());
        let (client, _serving) = client_over(transport, service(&started, &go)).await;
        let call = tokio::spawn(client.call::<String>("slow", (1,)).into_future());
        started.happened().await;
        client.close();
        let error = within(call).await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::Closed, Executed::Maybe));
        let error = client.call::<i64>("add", (1, 2)).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::Closed, Executed::No));
    }
}

#[tokio::test]
async fn a_peer_that_closes_is_a_lost_connection() {
    for transport in TRANSPORTS {
        let (started, go) = (Event::default(), Event::default());
        let (client, serving) = client_over(transport, service(&started, &go)).await;
        let call = tokio::spawn(client.call::<String>("slow", (1,)).into_future());
        started.happened().await;
        serving.close();
        let error = within(call).await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::ConnectionLost, Executed::Maybe));
        let error = client.call::<i64>("add", (1, 2)).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::ConnectionLost, Executed::No));
    }
}

/// Two addresses to serve at; the directory lives as long as the socket is used.
fn addresses(directory: &tempfile::TempDir) -> [Address; 2] {
    [Address::Unix(directory.path().join("calc.sock")), "tcp:127.0.0.1:0".parse().unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_lets_calls_finish_and_takes_no_new_ones() {
    let directory = tempfile::tempdir().unwrap();
    // The long answer is still on its way when the last call is answered: it must leave, too.
    for (address, size) in addresses(&directory).iter().flat_map(|at| [(at, 3), (at, 32 << 20)]) {
        let (started, go, stop) = (Event::default(), Event::default(), Event::default());
        let server = Server::bind(address, service(&started, &go)).unwrap();
        let bound = server.address().to_string();
        let stopping = stop.clone();
        let serving = tokio::spawn(server.run_until(async move { stopping.happened().await }));
        let client = Client::connect(&bound).await.unwrap();
        let call = tokio::spawn(client.call::<String>("slow", (size,)).into_future());
        started.happened().await;
        stop.set();
        within(async {
            while !client.connection().is_going_away() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let error = client.call::<i64>("add", (1, 2)).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::Unavailable, Executed::No));
        assert!(!serving.is_finished());
        go.set();
        assert_eq!(within(call).await.unwrap().unwrap().len(), size);
        within(serving).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_serves_many_clients_and_outlives_each() {
    let directory = tempfile::tempdir().unwrap();
    for address in addresses(&directory) {
        let server = Server::bind(&address, service(&Event::default(), &Event::default())).unwrap();
        let bound = server.address().to_string();
        let serving = tokio::spawn(server.run_until(std::future::pending()));
        for round in 0..20 {
            let client = Client::connect(&bound).await.unwrap();
            let sum = within(client.call::<i64>("add", (round, 1)).into_future()).await;
            assert_eq!(sum.unwrap(), round + 1);
        }
        serving.abort();
    }
}

#[tokio::test]
async fn nobody_at_an_address_is_no_worker() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = format!("unix:{}", directory.path().join("nobody.sock").display());
    let error = Client::connect(&nobody).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No));
}

#[tokio::test]
async fn a_peer_that_never_greets_is_given_up() {
    // The other side is there, and silent.
    let (ours, _theirs) = crate::support::pair(Transport::Unix);
    let error = tokio::time::timeout(Duration::from_secs(15), Client::over(ours))
        .await
        .expect("the greeting has its time")
        .unwrap_err();
    assert_eq!(error.executed(), Executed::No, "{error:?}");
}

#[test]
fn an_answer_that_left_before_the_end_arrives() {
    for transport in crate::support::TRANSPORTS {
        for _ in 0..100 {
            let (ours, theirs) = crate::support::pair(transport);
            let server =
                procall::Connection::serving(theirs, procall::Side::Acceptor, Default::default());
            let thread = std::thread::spawn(move || {
                let mut batch = procall::Batch::new();
                server.wait_calls(&mut batch, None, &mut || false).unwrap();
                for call in batch.iter() {
                    let encoding = procall::Encoding::None;
                    server.reply(call.id.unwrap(), procall::Encoded::new(encoding, Vec::new()));
                }
                // Dropped here: the end of the link follows the answer at once.
            });
            let client =
                procall::Connection::new(ours, procall::Side::Initiator, Default::default());
            let request = procall::Request::new("any", procall::Encoding::None, &[]);
            client.start(request).unwrap().wait().unwrap();
            thread.join().unwrap();
        }
    }
}
