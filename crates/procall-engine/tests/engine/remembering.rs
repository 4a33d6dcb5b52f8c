//! Calls with an idempotency key: executed once, however often they are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use procall::{Call, Client, Error, ErrorCode, Executed, Service};
use tokio::sync::Notify;

use crate::support::{House, SAFETY, Worker};

/// A shop that counts what it sells.
#[derive(Default)]
struct Shop {
    sold: AtomicUsize,
    begun: Notify,
    go: Notify,
}

impl Shop {
    fn service(self: &Arc<Self>) -> Service {
        let (buy, slowly, fail) = (self.clone(), self.clone(), self.clone());
        Service::new("shop")
            .method("buy", move |_what: String| buy.sell())
            .async_method("slowly", move |_what: String| {
                let shop = slowly.clone();
                async move {
                    let number = shop.sell();
                    shop.begun.notify_one();
                    shop.go.notified().await;
                    Ok::<_, Error>(number)
                }
            })
            .try_method("fail", move |_what: String| -> Result<(), Error> {
                Err(Error::handler("SoldOut", format!("after {}", fail.sell())))
            })
            .stream_method("list", || procall::Stream::from_iter(0..3_u64))
            .concurrency(4)
    }

    fn sell(&self) -> usize {
        self.sold.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn sold(&self) -> usize {
        self.sold.load(Ordering::Relaxed)
    }
}

async fn open() -> (House, Arc<Shop>, Worker) {
    let (house, shop) = (House::new(), Arc::new(Shop::default()));
    let worker = house.serve(shop.service()).await;
    (house, shop, worker)
}

fn buy(client: &Client, method: &str, what: &str, key: &str) -> Call<usize> {
    client.call(method, (what,)).idempotency_key(key)
}

#[tokio::test]
async fn the_same_call_again_gets_the_outcome_of_the_first() {
    let (house, shop, _worker) = open().await;
    let client = house.client().await;
    for _ in 0..3 {
        assert_eq!(buy(&client, "shop.buy", "apples", "order-7").await.unwrap(), 1);
    }
    assert_eq!(buy(&client, "buy", "apples", "order-7").await.unwrap(), 1, "by its bare name");
    assert_eq!(buy(&client, "shop.buy", "apples", "order-8").await.unwrap(), 2);
    for _ in 0..2 {
        let error = buy(&client, "shop.fail", "apples", "order-7").await.unwrap_err();
        assert_eq!((error.message(), error.executed()), ("after 3", Executed::Yes));
    }
    drop(client);
    // Somebody who has lost the connection and comes back is the same caller.
    let again = house.client().await;
    assert_eq!(buy(&again, "shop.buy", "apples", "order-7").await.unwrap(), 1);
    assert_eq!(shop.sold(), 3);
}

#[tokio::test]
async fn other_arguments_are_refused() {
    let (house, shop, _worker) = open().await;
    let client = house.client().await;
    buy(&client, "shop.buy", "apples", "order-7").await.unwrap();
    let error = buy(&client, "shop.buy", "pears", "order-7").await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert!(error.message().contains("use a new key for a new call"), "{error}");
    for key in [String::new(), "k".repeat(256)] {
        let error = buy(&client, "shop.buy", "apples", &key).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
    let list = procall::StreamCall::<u64>::new(&client, "shop.list", ()).idempotency_key("k");
    let error = list.start().next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert_eq!(shop.sold(), 1);
}

#[tokio::test]
async fn a_call_that_still_runs_is_joined() {
    let (house, shop, _worker) = open().await;
    let (client, other) = (house.client().await, house.client().await);
    let first = tokio::spawn(buy(&client, "shop.slowly", "apples", "order-7").into_future());
    shop.begun.notified().await;
    let joined = tokio::spawn(buy(&other, "shop.slowly", "apples", "order-7").into_future());
    let left = buy(&other, "shop.slowly", "apples", "order-7").into_future();
    // The answer of this call comes behind the arrival of those two, which are on the same connection.
    other.call::<usize>("shop.buy", ("pears",)).await.unwrap();
    drop(left);
    shop.go.notify_one();
    let joined = tokio::time::timeout(SAFETY, joined).await.expect("it ends with the first");
    assert_eq!((first.await.unwrap().unwrap(), joined.unwrap().unwrap()), (1, 1));
    assert_eq!(shop.sold(), 2);
}

#[tokio::test]
async fn a_call_that_was_refused_can_be_made_again() {
    let house = House::new();
    let shop = Arc::new(Shop::default());
    let worker = house.serve(shop.service()).await;
    let client = house.client().await;
    drop(worker);
    house.until(|peers| peers.iter().all(|peer| peer.methods == 0)).await;
    let error = buy(&client, "shop.buy", "apples", "order-7").retries(0).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No));
    let _worker = house.serve(shop.service()).await;
    assert_eq!(buy(&client, "shop.buy", "apples", "order-7").await.unwrap(), 1);
}

#[tokio::test]
async fn a_call_with_wrong_arguments_can_be_made_with_right_ones() {
    let (house, shop, _worker) = open().await;
    let client = house.client().await;
    let wrong = client.call::<usize>("shop.buy", (7,)).idempotency_key("k").await.unwrap_err();
    assert_eq!((wrong.code(), wrong.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert_eq!(buy(&client, "shop.buy", "tea", "k").await.unwrap(), 1);
    assert_eq!(shop.sold(), 1);
}

#[tokio::test]
async fn a_call_whose_worker_was_lost_is_not_executed_again() {
    let (house, shop, worker) = open().await;
    let client = house.client().await;
    let first = tokio::spawn(buy(&client, "shop.slowly", "apples", "order-7").into_future());
    shop.begun.notified().await;
    drop(worker);
    let error = first.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    house.until(|peers| peers.iter().all(|peer| peer.methods == 0)).await;
    let _worker = house.serve(shop.service()).await;
    let again = buy(&client, "shop.slowly", "apples", "order-7").idempotent();
    let error = tokio::time::timeout(SAFETY, again.into_future()).await.unwrap().unwrap_err();
    assert_eq!((error.code(), shop.sold()), (ErrorCode::WorkerLost, 1));
}
