//! Sets of workers that take messages: what is sent, what comes back, and what goes wrong.

mod common;
#[path = "common/messages.rs"]
mod messages;

use std::future::IntoFuture;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use common::{Gate, Host, LONG, example, expect, expect_ready, hold, is_gone, kill, pid};
use messages::HostMessage;
use procall::{BlockingClient, Call, ErrorCode, Executed, OnTimeout, Shape};
use procall_pool::{Happening, Pool, PoolBuilder, WorkerSet};
use rustix::process::{Signal, pidfd_send_signal};
use serde::Serialize;

type Set = WorkerSet<HostMessage, u32>;

fn builder() -> PoolBuilder {
    Pool::command([example("message_worker")]).name("test").show_output(false)
}

fn set(workers: usize) -> Set {
    WorkerSet::new(&builder().workers(workers).start().wait().unwrap())
}

fn held(concurrency: u32) -> Set {
    let builder = builder().workers(1).env("CONCURRENCY", concurrency.to_string());
    WorkerSet::new(&builder.start().wait().unwrap())
}

/// Has a message sent now, and its answer come later.
fn submit(call: Call<u32>) -> impl FnOnce() -> Result<u32, procall::Error> {
    let mut future = Box::pin(call.into_future());
    // The first poll starts the call.
    let first = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(first.is_pending(), "{first:?}");
    move || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Has a thread wait for the answer.
fn wait_aside(call: Call<u32>) -> JoinHandle<Result<u32, procall::Error>> {
    std::thread::spawn(|| call.wait())
}

#[tokio::test]
async fn an_enum_goes_in_and_a_value_comes_out() {
    let pool = builder().workers(4).start().await.unwrap();
    let workers: Set = WorkerSet::new(&pool);
    assert_eq!(workers.send(HostMessage::Add(6, 7)).await.unwrap(), 13);
    assert_eq!(workers.clone().send(HostMessage::Sub(21, 19)).await.unwrap(), 2);
    assert_eq!(workers.pool().workers().len(), 4);
}

#[test]
fn on_the_wire_it_is_a_service_with_one_method() {
    let workers = set(1);
    let methods = workers.pool().methods();
    assert_eq!(methods.len(), 1);
    assert_eq!((&*methods[0].name, methods[0].shape), ("test.message", Shape::Unary));
    assert_eq!(methods[0].params, ["message"]);
    // As other languages would write it: by position, by name, or as the arguments as a whole.
    let json = serde_json::json!({"Add": [6, 7]});
    assert_eq!(workers.pool().call::<u32>("message", (&json,)).wait().unwrap(), 13);
    let named = serde_json::json!({"message": json});
    assert_eq!(workers.pool().call::<u32>("test.message", &named).wait().unwrap(), 13);
    assert_eq!(workers.pool().call::<u32>("message", &json).wait().unwrap(), 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_messages_than_workers_wait_in_the_queue() {
    let pool = builder().workers(2).start().await.unwrap();
    let workers: Set = WorkerSet::new(&pool);
    let sends: Vec<_> = (0..100)
        .map(|n| tokio::spawn(workers.send(HostMessage::Add(n, n)).into_future()))
        .collect();
    for (n, send) in (0..).zip(sends) {
        assert_eq!(send.await.unwrap().unwrap(), 2 * n);
    }
    assert_eq!(pool.workers().iter().map(|worker| worker.calls).sum::<u64>(), 100);
}

#[test]
fn a_send_that_is_dropped_costs_no_worker() {
    let workers = set(1);
    let worker = pid(workers.pool(), 0);
    let gate = Gate::new();
    let answer = submit(workers.send(HostMessage::Read(gate.path())));
    let open = gate.begun();
    drop(answer);
    let next = submit(workers.send(HostMessage::Pid));
    assert_eq!(workers.pool().queued(), 1, "the worker is busy still");
    drop(open);
    assert_eq!(next().unwrap(), worker);
    assert_eq!(workers.pool().workers()[0].restarts, 0);
}

#[test]
fn a_worker_that_dies_while_idle_is_replaced() {
    let workers = set(2);
    let events = workers.pool().events();
    for index in 0..2 {
        kill(&hold(pid(workers.pool(), index)));
        expect(&events, |event| matches!(event.happening, Happening::Exited { .. }));
        assert_eq!(workers.send(HostMessage::Add(1, 2)).wait().unwrap(), 3);
        expect_ready(&events);
    }
    assert_eq!(workers.pool().workers().len(), 2);
}

#[test]
fn a_worker_that_dies_with_a_message_says_how() {
    let workers = set(1);
    let error = workers.send(HostMessage::Exit(7)).wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    assert_eq!(error.message(), "test/1 exited with code 7");
    assert_eq!(workers.send(HostMessage::Add(1, 2)).wait().unwrap(), 3);
}

#[test]
fn a_reply_that_is_dropped_is_an_error() {
    let workers = set(1);
    let error = workers.send(HostMessage::Forget).no_deadline().wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::HandlerError, Executed::Yes));
    assert_eq!(workers.send(HostMessage::Add(1, 2)).wait().unwrap(), 3);
}

#[test]
fn an_error_of_the_worker_arrives_as_it_is() {
    let workers = set(1);
    let error = workers.send(HostMessage::Fail("no room".to_owned())).wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::HandlerError, Executed::Yes));
    assert_eq!((error.remote_type(), error.message()), (Some("Refused"), "no room"));
}

#[test]
fn after_a_timeout_that_returns_the_busy_worker_gets_nothing() {
    let workers = set(2);
    let gate = Gate::new();
    let slow = workers.send_timeout(
        HostMessage::Read(gate.path()),
        Duration::from_millis(100),
        OnTimeout::Return,
    );
    let slow = wait_aside(slow);
    let open = gate.begun();
    let error = slow.join().unwrap().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::DeadlineExceeded, Executed::Maybe));
    // One after the other, so that each of them finds the other worker idle.
    let other: Vec<u32> = (0..20).map(|_| workers.send(HostMessage::Pid).wait().unwrap()).collect();
    let busy: Vec<u32> = workers
        .pool()
        .workers()
        .iter()
        .filter(|worker| worker.in_flight == 1)
        .filter_map(|worker| worker.pid)
        .collect();
    assert_eq!(busy.len(), 1);
    assert!(!other.contains(&busy[0]));
    drop(open);
}

#[test]
fn with_every_worker_busy_after_a_timeout_the_next_message_waits() {
    let workers = set(1);
    let gate = Gate::new();
    let slow = wait_aside(
        workers.send(HostMessage::Read(gate.path())).deadline(Duration::from_millis(100)),
    );
    let open = gate.begun();
    assert_eq!(slow.join().unwrap().unwrap_err().code(), ErrorCode::DeadlineExceeded);
    let next = submit(workers.send(HostMessage::Add(6, 7)));
    assert_eq!(workers.pool().queued(), 1);
    drop(open);
    assert_eq!(next().unwrap(), 13);
}

#[test]
fn a_timeout_can_start_the_worker_anew() {
    let workers = set(1);
    let (events, first) = (workers.pool().events(), pid(workers.pool(), 0));
    let gate = Gate::new();
    let slow = wait_aside(workers.send_timeout(
        HostMessage::Read(gate.path()),
        Duration::from_millis(100),
        OnTimeout::Restart,
    ));
    let _open = gate.begun();
    assert_eq!(slow.join().unwrap().unwrap_err().code(), ErrorCode::DeadlineExceeded);
    expect(&events, |event| matches!(event.happening, Happening::Exited { .. }));
    expect_ready(&events);
    assert_ne!(workers.send(HostMessage::Pid).wait().unwrap(), first);
    assert_eq!(workers.pool().workers().len(), 1);
}

#[test]
fn a_worker_learns_that_nobody_waits_any_more() {
    let (sender, lines) = mpsc::sync_channel(128);
    let pool = builder().workers(1).on_output(move |line| drop(sender.send(line.to_string())));
    let workers: Set = WorkerSet::new(&pool.start().wait().unwrap());
    for message in [HostMessage::Endless, HostMessage::Patient] {
        let error = workers.send(message).deadline(Duration::from_millis(50)).wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    }
    assert_eq!(lines.recv_timeout(LONG).unwrap(), "test/1 | waiting");
    let patient = submit(workers.send(HostMessage::Patient).no_deadline());
    assert_eq!(lines.recv_timeout(LONG).unwrap(), "test/1 | waiting");
    drop(patient);
    assert_eq!(workers.send(HostMessage::GivenUp).wait().unwrap(), 3);
}

#[test]
fn a_worker_that_exits_before_it_connects_fails_the_start() {
    let error = builder().workers(2).env("MODE", "exit").start().wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::SpawnFailed);
    assert!(error.message().contains("exited with code 3 before it was ready"), "{error}");
}

#[test]
fn a_message_that_cannot_be_written_is_told_at_once() {
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it is a handle of this process"))
        }
    }
    let pool = set(1).pool().clone();
    let workers: WorkerSet<Unwritable, u32> = WorkerSet::new(&pool);
    let error = workers.send(Unwritable).wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert!(error.message().contains("it is a handle of this process"), "{error}");
    assert_eq!(workers.post(Unwritable).unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(pool.workers()[0].calls, 0);
}

#[test]
fn a_message_that_cannot_be_read_is_refused_and_the_worker_lives_on() {
    let workers = set(1);
    let worker = pid(workers.pool(), 0);
    let other: WorkerSet<(&str, u32), u32> = WorkerSet::new(workers.pool());
    let error = other.send(("Multiply", 6)).wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert!(error.message().starts_with("argument message: "), "{error}");
    let error =
        workers.pool().call::<u32>("message", serde_json::json!([{"Multiply": [6, 7]}])).wait();
    assert!(error.unwrap_err().message().contains("unknown variant `Multiply`"));
    other.post(("Multiply", 7)).unwrap();
    // It went ahead of this one.
    assert_eq!(workers.send(HostMessage::Undecodable).wait().unwrap(), 1);
    assert_eq!(workers.send(HostMessage::Pid).wait().unwrap(), worker);
}

#[test]
fn a_value_of_another_type_is_an_invalid_result() {
    let workers: WorkerSet<HostMessage, String> = WorkerSet::new(set(1).pool());
    let error = workers.send(HostMessage::Add(6, 7)).wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidResult);
}

#[tokio::test]
async fn a_worker_may_hold_several_messages_and_answer_in_any_order() {
    let workers = held(3);
    let (sender, answers) = mpsc::sync_channel(128);
    let sends: Vec<_> = (0..3)
        .map(|n| {
            let (send, sender) = (workers.send(HostMessage::Hold(n)).into_future(), sender.clone());
            tokio::spawn(async move { sender.send(send.await.unwrap()).unwrap() })
        })
        .collect();
    for send in sends {
        send.await.unwrap();
    }
    assert_eq!(answers.try_iter().collect::<Vec<_>>(), [2, 1, 0]);
}

#[test]
fn a_worker_holds_no_more_than_it_said() {
    let workers = held(2);
    let sends: Vec<_> = (0..3).map(|n| submit(workers.send(HostMessage::Hold(n)))).collect();
    assert_eq!(workers.pool().queued(), 1);
    assert_eq!(workers.pool().workers()[0].in_flight, 2);
    drop(sends);
}

#[test]
fn a_one_way_message_waits_for_the_loop_and_not_in_the_queue() {
    let workers = set(1);
    let gate = Gate::new();
    let busy = submit(workers.send(HostMessage::Read(gate.path())));
    let open = gate.begun();
    for _ in 0..3 {
        workers.post(HostMessage::Note).unwrap();
    }
    assert_eq!(workers.pool().queued(), 0);
    drop(open);
    busy().unwrap();
    assert_eq!(workers.send(HostMessage::Notes).wait().unwrap(), 3);
}

#[test]
fn a_one_way_message_passes_requests_that_are_held() {
    let (sender, lines) = mpsc::sync_channel(128);
    let pool = builder().workers(1).on_output(move |line| drop(sender.send(line.to_string())));
    let workers: Set = WorkerSet::new(&pool.start().wait().unwrap());
    let held = submit(workers.send(HostMessage::Hold(0)));
    workers.post(HostMessage::Note).unwrap();
    assert_eq!(lines.recv_timeout(LONG).unwrap(), "test/1 | noted");
    drop(held);
}

#[test]
fn a_stop_lets_the_worker_finish() {
    let workers = set(1);
    let process = hold(pid(workers.pool(), 0));
    let events = workers.pool().events();
    let gate = Gate::new();
    let busy = submit(workers.send(HostMessage::Read(gate.path())));
    let open = gate.begun();
    let stop = workers.pool().stop();
    let refused = workers.send(HostMessage::Add(1, 2)).wait().unwrap_err();
    assert_eq!((refused.code(), refused.executed()), (ErrorCode::Unavailable, Executed::No));
    drop(open);
    busy().unwrap();
    stop.wait().unwrap();
    assert!(is_gone(process, Duration::ZERO));
    expect(&events, |event| match &event.happening {
        Happening::Exited { reason } => {
            assert_eq!(reason, "exited with code 0", "its loop has ended by itself");
            true
        }
        _ => false,
    });
}

#[test]
fn a_worker_whose_loop_ends_answers_first_and_is_replaced() {
    let workers = set(1);
    let events = workers.pool().events();
    let first = workers.send(HostMessage::Leave).wait().unwrap();
    expect_ready(&events);
    assert_ne!(workers.send(HostMessage::Pid).wait().unwrap(), first);
}

#[test]
fn restarting_all_keeps_the_number() {
    let workers = set(2);
    let gate = Gate::new();
    let busy = submit(workers.send(HostMessage::Read(gate.path())));
    let open = gate.begun();
    let restart = workers.pool().restart_all();
    drop(open);
    busy().unwrap();
    restart.wait().unwrap();
    let pids: Vec<u32> = workers.pool().workers().iter().filter_map(|worker| worker.pid).collect();
    assert_eq!(pids.len(), 2);
    assert_eq!(workers.pool().workers().iter().map(|worker| worker.restarts).sum::<u64>(), 2);
}

#[test]
fn without_a_pool_it_listens_and_ends_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("test.sock");
    let address = format!("unix:{}", socket.display());
    let mut worker = Command::new(example("message_worker"))
        .env("PROCALL_LISTEN", &address)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(worker.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(line, format!("procall: listening at {address}\n"));

    let client = BlockingClient::connect(&address).unwrap();
    let send = |message| Call::<u32>::new(&client, "message", (message,));
    assert_eq!(send(HostMessage::Add(6, 7)).wait().unwrap(), 13);
    assert_eq!(client.methods().unwrap().name, "test");
    let gate = Gate::new();
    let busy = client.submit::<u32>("message", (HostMessage::Read(gate.path()),)).unwrap();
    let open = gate.begun();
    let process = hold(worker.id());
    pidfd_send_signal(&process, Signal::TERM).unwrap();
    drop(open);
    assert_eq!(busy.wait().unwrap(), worker.id(), "what it has is finished");
    assert!(worker.wait().unwrap().success());
    assert!(!socket.exists());
}

#[test]
fn no_file_and_no_worker_is_left_of_a_host_that_is_killed() {
    let host = Host::start(None);
    let workers = host.workers();
    host.kill();
    for worker in workers {
        assert!(is_gone(worker, LONG));
    }
}
