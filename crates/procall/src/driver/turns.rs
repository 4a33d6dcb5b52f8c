//! What the one time of a turn means for deadlines, with a clock that goes where the tests put it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use procall_proto::{Encoding, ErrorCode, Executed};
use procall_transport::{LinkOptions, mem};

use super::{RawService, serve_raw};
use crate::channel::Started;
use crate::clock;
use crate::connection::{
    Batch, CallOptions, Connection, Deadline, Request, Serves, Side, coalesce,
};
use crate::service::Service;
use crate::{Call, Client};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A client of a service, both read by tasks of this thread's runtime.
async fn client_of(service: Service) -> Client {
    let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    service.serve_link(Box::new(theirs)).unwrap();
    Client::over(Box::new(ours)).await.unwrap()
}

fn within_a_minute(method: &str) -> Request<'_> {
    let options = CallOptions { deadline: Deadline::After(MINUTE), ..CallOptions::default() };
    Request::new(method, Encoding::Msgpack, &[0x90]).with_options(options)
}

#[tokio::test]
async fn a_call_that_waited_behind_a_long_handler_is_seen_to_be_late() {
    let ran = Arc::new(AtomicBool::new(false));
    let told = ran.clone();
    let service = Service::new("calc")
        .method("long", || clock::advance(HOUR))
        .method("next", move || told.store(true, Ordering::Relaxed));
    let calc = client_of(service).await;
    let connection = calc.connection();
    // Both arrive in one batch, so they are served in one turn.
    let unhurried = CallOptions { deadline: Deadline::Never, ..CallOptions::default() };
    let (long, next) = coalesce(|| {
        let long = Request::new("long", Encoding::Msgpack, &[0x90]).with_options(unhurried);
        (connection.start(long).unwrap(), connection.start(within_a_minute("next")).unwrap())
    });
    long.await.unwrap();
    let error = next.await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    assert!(!ran.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_call_made_by_a_handler_that_ran_long_has_all_its_time() {
    let answers = client_of(Service::new("answers").method("get", || 42)).await;
    let asks = Service::new("asks").async_method("ask", move || {
        clock::advance(HOUR);
        let call: Call<i64> = answers.call("get", ()).deadline(MINUTE);
        call.into_future()
    });
    let asks = client_of(asks).await;
    let answer = asks.call::<i64>("ask", ()).no_deadline().await;
    assert_eq!(answer.unwrap(), 42);
}

#[tokio::test]
async fn a_call_made_after_the_clock_went_on_is_not_made_in_the_past() {
    let calc = client_of(Service::new("calc").method("get", || 42)).await;
    for _ in 0..3 {
        clock::advance(HOUR);
        let answer = calc.call::<i64>("get", ()).deadline(MINUTE).await;
        assert_eq!(answer.unwrap(), 42);
    }
}

/// Hands calls on.
struct Router(Connection);

impl RawService for Router {
    fn calls(&self, connection: &Connection, batch: &Batch) {
        for call in batch.iter() {
            let options = CallOptions { deadline: call.deadline_left(), ..CallOptions::default() };
            let request = Request::new(batch.method(call), call.encoding, batch.body(call));
            let started: Started = self.0.start(request.with_options(options)).unwrap().into();
            let id = call.id.expect("no notification was sent");
            connection.answer_with(id, call.shape(), started, ());
        }
    }
}

impl crate::Onlooker for () {}

#[tokio::test]
async fn what_a_router_hands_on_has_the_time_that_it_came_with() {
    let answers = client_of(Service::new("answers").method("get", || 42)).await;
    let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    let router = Arc::new(Router(answers.connection()));
    serve_raw(Box::new(theirs), Side::Acceptor, Default::default(), router).unwrap();
    let client = Client::over(Box::new(ours)).await.unwrap();
    clock::advance(HOUR);
    let answer = client.connection().start(within_a_minute("get")).unwrap().await;
    assert_eq!(answer.unwrap().decode::<i64>().unwrap(), 42);
}

#[test]
fn a_call_that_nobody_answers_ends_when_its_time_is_up_and_not_before() {
    let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    let (near, far) = (Side::Initiator, Side::Acceptor);
    let client =
        Connection::for_task(Box::new(ours), near, Default::default(), Serves::Nothing).unwrap();
    let server =
        Connection::for_task(Box::new(theirs), far, Default::default(), Serves::Inbox).unwrap();
    clock::turn(|| {
        for connection in [&server, &client, &server] {
            connection.turn();
        }
        let mut call = client.start(within_a_minute("never")).unwrap();
        let mut look = || {
            client.turn();
            call.poll_reply(Waker::noop())
        };
        clock::advance(MINUTE / 2);
        assert!(look().is_pending());
        clock::advance(MINUTE / 2);
        // From here on the other side has a moment to say whether the handler ran.
        assert!(look().is_pending());
        clock::advance(MINUTE);
        let Poll::Ready(Err(error)) = look() else { panic!("its time is up") };
        let verdict = (error.code(), error.executed());
        assert_eq!(verdict, (ErrorCode::DeadlineExceeded, Executed::Maybe));
    });
}
