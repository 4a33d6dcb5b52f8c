//! How the two ends of a Unix link come to shared memory, and how they do not.

use procall::transport::shm::Choice;
use procall::{BlockingClient, ErrorCode, Service};

use crate::support::{Host, LONG, Transport, client_over, local_pair, within};

fn service() -> Service {
    Service::new("calc").method("add", |a: i64, b: i64| a + b).method("mirror", |text: String| text)
}

/// A client of a service whose ends are to go on as they say, and the service's side.
fn connect(
    host: &Host,
    ours: impl Into<Option<Choice>>,
    theirs: impl Into<Option<Choice>>,
) -> (Result<BlockingClient, procall::Error>, procall::Connection) {
    let (left, right) = local_pair(ours.into(), theirs.into());
    let serving = host.runtime.block_on(async { service().serve_link(right) }).unwrap();
    (BlockingClient::over(left), serving)
}

/// Calls until both ends are where they will stay.
fn settle(client: &BlockingClient, serving: &procall::Connection) -> [&'static str; 2] {
    for n in 0..1_000 {
        assert_eq!(client.call::<i64>("add", (n, 1)).wait().unwrap(), n + 1);
        let both = [client.connection().transport(), serving.transport()];
        if both == ["shm", "shm"] {
            return both;
        }
    }
    [client.connection().transport(), serving.transport()]
}

#[test]
fn both_ends_go_to_shared_memory_unless_one_does_not_want_it() {
    let host = Host::new();
    let (auto, unix, shm) = (Choice::Auto, Choice::Unix, Choice::Shm);
    for (ours, theirs, found) in [
        (Some(auto), Some(auto), "shm"),
        (Some(shm), Some(auto), "shm"),
        (Some(auto), Some(shm), "shm"),
        (Some(shm), Some(shm), "shm"),
        (Some(auto), Some(unix), "unix"),
        (Some(unix), Some(auto), "unix"),
        (Some(unix), Some(unix), "unix"),
        (Some(unix), None, "unix"),
        (None, Some(unix), "unix"),
        (Some(shm), None, "shm"),
        (None, None, "shm"),
    ] {
        let (client, serving) = connect(&host, ours, theirs);
        assert_eq!(settle(&client.unwrap(), &serving), [found; 2], "{ours:?} and {theirs:?}");
    }
}

#[test]
fn who_asked_for_shared_memory_begins_with_it() {
    let host = Host::new();
    let (client, _serving) = connect(&host, Choice::Shm, Choice::Auto);
    assert_eq!(client.unwrap().connection().transport(), "shm");
}

/// A peer of an engine that does little, or only answers heartbeats, takes no memory for rings.
#[test]
fn a_link_on_which_little_is_said_stays_with_its_socket() {
    let host = Host::new();
    let (client, serving) = connect(&host, Choice::Auto, Choice::Auto);
    let client = client.unwrap();
    for n in 0..10 {
        assert_eq!(client.call::<i64>("add", (n, 1)).wait().unwrap(), n + 1);
    }
    assert_eq!([client.connection().transport(), serving.transport()], ["unix", "unix"]);
    assert_eq!(settle(&client, &serving), ["shm", "shm"], "and moves when there is more");
}

/// While a task looks for an answer, others of its runtime run: here the one that serves the call.
#[tokio::test]
async fn a_task_that_looks_lets_others_run() {
    let (left, right) = local_pair(Some(Choice::Shm), Some(Choice::Shm));
    let _serving = service().serve_link(right).unwrap();
    let client = procall::Client::over(left).await.unwrap();
    assert_eq!(client.connection().transport(), "shm");
    for n in 0..2_000 {
        let sum = within(client.call::<i64>("add", (n, 1)).into_future()).await;
        assert_eq!(sum.unwrap(), n + 1);
    }
}

/// The end of a process is told by the socket, which nothing else goes through.
#[tokio::test]
async fn the_end_of_the_other_side_is_seen_by_a_task_that_sleeps() {
    let (left, right) = local_pair(Some(Choice::Shm), Some(Choice::Shm));
    let serving = service().serve_link(right).unwrap();
    let client = procall::Client::over(left).await.unwrap();
    assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    serving.close();
    within(async {
        while !client.connection().is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn shared_memory_that_the_other_side_refuses_is_an_error_that_names_the_way_out() {
    let host = Host::new();
    let (client, _serving) = connect(&host, Choice::Shm, Choice::Unix);
    let error = client.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("PROCALL_TRANSPORT=unix"), "{error}");
    assert!(error.message().contains("\"auto\""), "{error}");

    // The side that serves may insist as well; the other then sees the end.
    let (client, serving) = connect(&host, Choice::Unix, Choice::Shm);
    let refused = match client {
        Ok(client) => client.call::<i64>("add", (1, 2)).wait().unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(refused.code(), ErrorCode::ConnectionLost, "{refused}");
    assert_eq!(serving.closed_reason().unwrap().code(), ErrorCode::InvalidArgument);
}

/// Bodies that go round the ring many times, in both directions, while small calls go between.
#[test]
fn bodies_larger_than_the_ring_stream_through_it() {
    let host = Host::new();
    let (client, _serving) = connect(&host, Choice::Shm, Choice::Shm);
    let client = client.unwrap();
    let text = |len: usize| "procall ".repeat(len / 8);
    for len in [60 << 10, (64 << 10) - 100, 64 << 10, 1 << 20, 9 << 20] {
        let text = text(len);
        let large = client.submit::<String>("mirror", (&text,)).unwrap();
        let small = client.submit::<i64>("add", (1, 2)).unwrap();
        assert_eq!(small.wait().unwrap(), 3);
        assert!(large.wait().unwrap() == text, "{len}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_one_link_in_shared_memory() {
    let (client, _serving) = client_over(Transport::Shm, service()).await;
    let client = std::sync::Arc::new(client);
    let callers: Vec<_> = (0..64_i64)
        .map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..200 {
                    let sum: i64 = client.call("add", (caller, n)).await.unwrap();
                    assert_eq!(sum, caller + n);
                }
            })
        })
        .collect();
    for caller in callers {
        within(caller).await.unwrap();
    }
}

/// Threads that wait, look, lead and follow on one link, with pauses in between that let everybody fall asleep.
#[test]
fn no_call_is_forgotten_however_threads_come_and_go() {
    let host = Host::new();
    let (client, _serving) = connect(&host, Choice::Shm, Choice::Shm);
    let client = client.unwrap();
    std::thread::scope(|scope| {
        for caller in 0..4_i64 {
            let client = &client;
            scope.spawn(move || {
                for n in 0..2_000 {
                    let call = client.call::<i64>("add", (caller, n)).deadline(LONG);
                    assert_eq!(call.wait().unwrap(), caller + n);
                    if n % 97 == caller {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
}
