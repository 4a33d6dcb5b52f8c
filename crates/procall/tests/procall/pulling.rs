//! Calls that a loop pulls, and calls that nobody pulls.

use std::time::Duration;

use procall::{ErrorCode, Executed, MethodInfo, Service, Shape, Stream};

use crate::support::{Transport, client, client_over, within};

#[tokio::test]
async fn calls_are_pulled_in_the_order_in_which_they_came() {
    let (service, mut calls) = Service::new("calc").pull(&["add", "fail"]);
    let client = client(service).await;
    let pulling = tokio::spawn(async move {
        let mut methods = Vec::new();
        while let Some(call) = calls.next().await {
            methods.push(call.method().to_owned());
            match call.params::<(i64, i64)>() {
                Ok((a, b)) => call.reply(&(a + b)),
                Err(error) => call.fail(error),
            }
        }
        methods
    });
    assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let error = client.call::<i64>("fail", ("x",)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    client.close();
    // The service is gone with its only connection, and the loop ends.
    assert_eq!(within(pulling).await.unwrap(), ["calc.add", "calc.fail"]);
}

#[tokio::test]
async fn a_call_that_is_dropped_is_answered() {
    let (service, mut calls) = Service::new("calc").pull(&["forget"]);
    let client = client(service).await;
    let (outcome, ()) = within(async {
        tokio::join!(client.call::<i64>("forget", ()).into_future(), async {
            drop(calls.next().await);
        })
    })
    .await;
    let error = outcome.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::HandlerError, Executed::Yes));
}

#[tokio::test]
async fn a_call_that_was_given_up_is_not_handed_out() {
    let (service, mut calls) = Service::new("calc").pull(&["first", "second"]);
    let (client, _serving) = client_over(Transport::Mem, service).await;
    let error =
        client.call::<i64>("first", ()).deadline(Duration::from_millis(30)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    let (second, ()) = within(async {
        tokio::join!(client.call::<i64>("second", ()).into_future(), async {
            let call = calls.next().await.unwrap();
            assert_eq!(call.method(), "calc.second");
            call.reply(&2);
        })
    })
    .await;
    assert_eq!(second.unwrap(), 2);
}

#[tokio::test]
async fn without_a_loop_calls_are_refused() {
    let (service, calls) = Service::new("calc").pull(&["add"]);
    let client = client(service).await;
    let waiting = tokio::spawn(client.call::<i64>("add", (1, 2)).into_future());
    within(async {
        while !format!("{calls:?}").contains("waiting: 1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(calls);
    for error in [
        within(waiting).await.unwrap().unwrap_err(),
        client.call::<i64>("add", (1, 2)).await.unwrap_err(),
    ] {
        assert_eq!((error.code(), error.executed()), (ErrorCode::Unavailable, Executed::No));
    }
}

#[tokio::test]
async fn a_pulled_call_may_carry_a_stream() {
    let (service, mut calls) = Service::new("calc").pull(&[]);
    let info = MethodInfo { name: "sum".into(), shape: Shape::ItemsIn, ..MethodInfo::default() };
    let service = service.method_info(info, calls.handler());
    let client = client(service).await;
    tokio::spawn(async move {
        while let Some(call) = calls.next().await {
            let numbers: Stream<i64> = call.items();
            let sum: i64 = numbers.collect().await.unwrap().into_iter().sum();
            call.reply(&sum);
        }
    });
    let sum = client.send_stream::<i64, _>("sum", (), 1..=100_i64);
    assert_eq!(within(sum.into_future()).await.unwrap(), 5050);
}
