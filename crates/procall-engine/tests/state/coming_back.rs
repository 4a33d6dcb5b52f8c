use procall::{Connection, Encoding, ErrorCode, Executed, Request, Service, Started};
use procall_engine::Engine;

use crate::support::{Place, SAFETY, method, register, until_peers, until_served, who, worker};

fn math() -> Service {
    Service::new("math").method("add", |a: f64, b: f64| a + b).params("add", &["a", "b"])
}

/// A call of its own is answered: the engine has read its hello.
async fn greeted(connection: &Connection) {
    std::future::poll_fn(|cx| connection.poll_ready(cx.waker())).await.unwrap();
    let ping = Request::new("procall.ping", Encoding::None, &[]);
    Started::from(connection.start(ping).unwrap()).await.unwrap();
}

/// An engine that knew `math.add`, started again.
async fn again(place: &Place) -> Engine {
    let first = place.start();
    let address = place.address().to_string();
    let serving = tokio::spawn(math().engine(&address).run());
    until_served(&first, "math.add").await;
    serving.abort();
    let _ = serving.await;
    first.stop().await;
    place.start()
}

#[tokio::test]
async fn methods_are_known_and_away_until_somebody_serves_them_again() {
    let place = Place::new();
    let engine = again(&place).await;
    let row = method(&engine, "math.add").await.unwrap();
    assert_eq!((&*row.state, row.workers.len()), ("away", 0));
    let client = engine.client().await.unwrap();
    let error = client.call::<f64>("math.add", (1, 2)).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No), "{error}");
    let error = client.call::<f64>("math.ad", (1, 2)).await.unwrap_err();
    assert_eq!(error.candidates(), ["math.add"], "it helps those who mistype it: {error}");

    let waiting = tokio::spawn({
        let client = client.clone();
        async move {
            let wait = serde_json::json!({ "wait": true });
            client.call::<f64>("math.add", (10, 20)).meta(&wait).await
        }
    });
    let address = place.address().to_string();
    let serving = tokio::spawn(math().engine(&address).run());
    let sum = tokio::time::timeout(SAFETY, waiting).await.unwrap().unwrap();
    assert_eq!(sum.unwrap(), 30.0, "a call that wants to waits for it");
    assert_eq!(method(&engine, "math.add").await.unwrap().state, "served");
    serving.abort();
    engine.stop().await;
}

#[tokio::test]
async fn nothing_is_remembered_without_a_directory() {
    let place = Place::new();
    let engine = again(&place).await;
    engine.stop().await;
    let engine = Engine::builder().listen(place.address()).start().unwrap();
    assert!(method(&engine, "math.add").await.is_none());
    engine.stop().await;
}

#[tokio::test]
async fn a_process_that_is_recognised_serves_again_without_registering() {
    let place = Place::new();
    let first = place.start();
    let before = worker(&place.address(), "left", "before");
    register(&before).await.unwrap();
    assert_eq!(who(&first).await.unwrap(), "before");
    first.stop().await;

    let second = place.start();
    let stranger = worker(&place.address(), "right", "stranger");
    greeted(&stranger).await;
    assert_eq!(who(&second).await.unwrap_err().code(), ErrorCode::NoWorker, "it is another");
    let after = worker(&place.address(), "left", "after");
    until_served(&second, "named.who").await;
    assert_eq!(who(&second).await.unwrap(), "after");
    drop((stranger, after));
    second.stop().await;
}

#[tokio::test]
async fn an_identity_belongs_to_whoever_holds_it_until_that_one_has_gone() {
    let place = Place::new();
    let engine = place.start();
    let holder = worker(&place.address(), "one", "holder");
    register(&holder).await.unwrap();
    let impostor = worker(&place.address(), "one", "impostor");
    until_peers(&engine, |peers| peers.iter().filter(|peer| peer.pid.is_some()).count() == 2).await;
    for _ in 0..20 {
        assert_eq!(who(&engine).await.unwrap(), "holder");
    }
    until_peers(&engine, |peers| peers.iter().filter(|peer| peer.methods > 0).count() == 1).await;
    holder.close();
    until_peers(&engine, |peers| {
        peers.iter().filter(|peer| peer.pid.is_some()).count() == 1
            && peers.iter().any(|peer| peer.methods > 0)
    })
    .await;
    assert_eq!(who(&engine).await.unwrap(), "impostor", "it waited, and is recognised now");
    drop(impostor);
    engine.stop().await;
}

#[tokio::test]
async fn over_tcp_nobody_is_recognised() {
    let place = Place::new();
    let builder = || place.builder().listen("tcp:127.0.0.1:0".parse().unwrap());
    let first = builder().start().unwrap();
    let known = worker(&place.address(), "one", "known");
    register(&known).await.unwrap();
    first.stop().await;
    let second = builder().start().unwrap();
    let claims = worker(&second.addresses()[1], "one", "claims");
    greeted(&claims).await;
    assert_eq!(who(&second).await.unwrap_err().code(), ErrorCode::NoWorker);
    register(&claims).await.unwrap();
    assert_eq!(who(&second).await.unwrap(), "claims", "it may register like everybody");
    second.stop().await;
}
