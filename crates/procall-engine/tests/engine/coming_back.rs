use std::time::Duration;

use procall::transport::Address;
use procall::{BlockingClient, Client, ErrorCode, Executed, Service};
use procall_engine::Engine;

use crate::support::{House, SAFETY, Worker, math};

/// An engine at an address that outlives it.
fn engine(address: &Address) -> Engine {
    Engine::builder().listen(address.clone()).drain(Duration::ZERO).start().unwrap()
}

#[tokio::test]
async fn clients_and_workers_come_back_to_an_engine_that_was_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let address: Address =
        format!("unix:{}", directory.path().join("e.sock").display()).parse().unwrap();
    let first = engine(&address);
    let worker = Worker::start(math(), &address.to_string());
    let client = Client::connect(&address.to_string()).await.unwrap();
    let there = async {
        while client.call::<f64>("math.add", (1, 2)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SAFETY, there).await.expect("the worker never registered");

    first.stop().await;
    let lost = client.connection();
    std::future::poll_fn(|cx| lost.poll_closed(cx.waker())).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call::<()>("procall.ping", ()).await }
    });
    let second = engine(&address);
    let answered = tokio::time::timeout(SAFETY, waiting).await.unwrap().unwrap();
    assert!(answered.is_ok(), "a call made meanwhile waits for the connection: {answered:?}");
    let back = async {
        loop {
            match client.call::<f64>("math.add", (10, 20)).await {
                Ok(sum) => return sum,
                Err(error) => assert_eq!(error.executed(), Executed::No, "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(tokio::time::timeout(SAFETY, back).await.expect("nobody came back"), 30.0);
    drop(worker);
    second.stop().await;
}

#[tokio::test]
async fn an_address_is_free_once_its_engine_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let address: Address =
        format!("unix:{}", directory.path().join("e.sock").display()).parse().unwrap();
    for _ in 0..20 {
        engine(&address).stop().await;
    }
}

#[tokio::test]
async fn a_client_finds_a_service_by_its_name_and_waits_until_it_is_there() {
    let house = House::new();
    let search = tokio::task::spawn_blocking({
        let engine = house.address.clone();
        move || {
            let mut finder = procall::Finder::new("math", SAFETY).through(&engine);
            let link = finder.wait(&mut || false).unwrap();
            assert_eq!(finder.want(), "math");
            let config = procall::Config { want: "math".to_owned(), ..Default::default() };
            let connection = procall::Connection::new(link, procall::Side::Initiator, config);
            connection
                .wait_for(Some(SAFETY), &mut || false, |connection, waker| {
                    connection.poll_ready(waker)
                })
                .unwrap()
                .unwrap();
            let known = connection.peer_registration().unwrap();
            (known.name.clone(), known.methods[0].name.clone())
        }
    });
    house.until(|peers| !peers.is_empty()).await;
    let _worker = house.serve(math()).await;
    assert_eq!(search.await.unwrap(), ("math".to_owned(), "math.add".to_owned()));
}

#[tokio::test]
async fn a_bare_name_means_the_service_that_the_client_came_for() {
    let house = House::new();
    let _math = house.serve(math()).await;
    let other = Service::new("text").method("add", |a: String, b: String| a + &b);
    let _text = house.serve(other).await;
    let client = house.client().await;
    let error = client.call::<f64>("add", (1, 2)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(error.candidates(), ["math.add", "text.add"]);
    let address = house.address.clone();
    let joined = tokio::task::spawn_blocking(move || {
        let mut finder = procall::Finder::new("text", SAFETY).through(&address);
        let link = finder.wait(&mut || false).unwrap();
        let config = procall::Config { want: "text".to_owned(), ..Default::default() };
        let connection = procall::Connection::new(link, procall::Side::Initiator, config);
        let request = procall::Request::new("add", procall::Encoding::Json, br#"["a", "b"]"#);
        connection.start(request).unwrap().wait().unwrap().decode::<String>().unwrap()
    });
    assert_eq!(joined.await.unwrap(), "ab");
}

#[test]
fn a_call_waits_for_a_lost_engine_until_its_deadline() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let address: Address =
        format!("unix:{}", directory.path().join("e.sock").display()).parse().unwrap();
    let engine = runtime.block_on(async { engine(&address) });
    let client = BlockingClient::connect(&address.to_string()).unwrap();
    client.methods().unwrap();
    runtime.block_on(engine.stop());
    let lost = client.connection();
    lost.wait_for(Some(SAFETY), &mut || false, procall::Connection::poll_closed).unwrap();
    let call = client.call::<f64>("math.add", (1, 2)).deadline(Duration::from_millis(50));
    let error = call.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::DeadlineExceeded, Executed::No));
    client.close();
    let error = client.call::<f64>("math.add", (1, 2)).wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Closed, Executed::No));
}
