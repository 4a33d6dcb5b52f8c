//! Pools whose workers come over a transport of the user's own, which `examples/02-workers` shows.

mod common;
#[path = "common/messages.rs"]
mod messages;

use procall::transport;
#[path = "../../../examples/02-workers/rust/src/link.rs"]
#[allow(unreachable_pub, reason = "there it is a library")]
mod link;
#[path = "../../../examples/02-workers/rust/src/own.rs"]
#[allow(unreachable_pub, dead_code, reason = "there it is a library")]
mod own;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::{Host, LONG, example, expect, expect_ready, hold, is_gone, kill, pid, pool};
use link::ScrambledLink;
use messages::HostMessage;
use own::Scrambled;
use procall::transport::mem::{self, MemLink};
use procall::transport::{Link, LinkError, LinkInfo, LinkOptions};
use procall::{Config, Connection, ErrorCode, Registration, Service, Side};
use procall_pool::{
    Door, Happening, Opening, Pool, PoolBuilder, RestartPolicy, Transport, WorkerSet,
};

type Set = WorkerSet<HostMessage, u32>;

fn builder(transport: impl Transport) -> PoolBuilder {
    Pool::command([example("message_worker")])
        .name("test")
        .workers(1)
        .show_output(false)
        .transport(transport)
}

fn set(transport: impl Transport) -> Set {
    WorkerSet::new(&builder(transport).start().wait().unwrap())
}

/// The transport of the example, and what a test does to it: `opened` is called with the address before the worker is started.
struct With<F>(F);

impl<F: Fn(SocketAddr) + Send + Sync + 'static> Transport for With<F> {
    fn open(&self, _worker: &str) -> io::Result<Opening> {
        let (opening, address) = Scrambled::open_at()?;
        (self.0)(address);
        Ok(opening)
    }
}

fn connect(address: SocketAddr) -> ScrambledLink {
    ScrambledLink::new(TcpStream::connect(address).unwrap(), &LinkOptions::default()).unwrap()
}

#[test]
fn workers_come_over_it() {
    let opened = Arc::new(AtomicUsize::new(0));
    let counter = opened.clone();
    let transport = With(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let pool = builder(transport).workers(3).start().wait().unwrap();
    let workers: Set = WorkerSet::new(&pool);
    assert_eq!(workers.send(HostMessage::Add(6, 7)).wait().unwrap(), 13);
    assert_eq!(opened.load(Ordering::Relaxed), 3, "once for each process");
    let many: Vec<u32> =
        (0..100).map(|n| workers.send(HostMessage::Add(n, n)).wait().unwrap()).collect();
    assert_eq!(many, (0..100).map(|n| 2 * n).collect::<Vec<_>>());
}

#[tokio::test]
async fn it_carries_large_messages_and_many_at_once() {
    let pool = builder(Scrambled).env("CONCURRENCY", "8").start().await.unwrap();
    let workers: Set = WorkerSet::new(&pool);
    let long = "x".repeat(3 << 20);
    let sends: Vec<_> = (0..8)
        .map(|_| tokio::spawn(workers.send(HostMessage::Fail(long.clone())).into_future()))
        .collect();
    for send in sends {
        let error = send.await.unwrap().unwrap_err();
        assert_eq!(error.code(), ErrorCode::HandlerError);
    }
}

#[test]
fn a_worker_lives_on_although_its_channel_carries_nothing() {
    let workers = set(Scrambled);
    let process = hold(pid(workers.pool(), 0));
    // Its lifeline kills it one second after the channel is closed.
    assert!(!is_gone(&process, Duration::from_secs(2)));
    assert_eq!(workers.send(HostMessage::Add(6, 7)).wait().unwrap(), 13);
    assert_eq!(workers.pool().workers()[0].restarts, 0);
}

#[test]
fn a_stranger_without_the_token_is_refused() {
    for token in [None, Some(vec![7; 32])] {
        let (sender, told) = mpsc::sync_channel(128);
        let transport = With(move |address| {
            // Here before the worker is started, so that it comes first.
            let config = Config { token: token.clone(), ..Config::default() };
            let connection =
                Connection::serving(Box::new(connect(address)), Side::Initiator, config);
            let registration = Registration { name: "test".to_owned(), ..Registration::default() };
            // It is refused by now, or a little later.
            let _ = connection.register(&registration);
            let sender = sender.clone();
            std::thread::spawn(move || {
                let reason =
                    connection.wait_for(Some(LONG), &mut || false, Connection::poll_closed);
                sender.send(reason).unwrap();
            });
        });
        let workers = set(transport);
        let worker = workers.send(HostMessage::Pid).wait().unwrap();
        assert_eq!(worker, pid(workers.pool(), 0), "not the stranger");
        let reason = told.recv_timeout(LONG).unwrap().unwrap();
        assert_eq!(reason.code(), ErrorCode::Unauthenticated, "{reason}");
    }
}

#[test]
fn strangers_who_keep_silent_do_not_keep_the_worker_out() {
    let (sender, silent) = mpsc::sync_channel(128);
    let workers = set(With(move |address| {
        for _ in 0..100 {
            sender.send(TcpStream::connect(address).unwrap()).unwrap();
        }
    }));
    assert_eq!(workers.send(HostMessage::Add(6, 7)).wait().unwrap(), 13);
    assert_eq!(silent.try_iter().count(), 100);
}

#[test]
fn death_is_seen_at_once() {
    let workers = set(Scrambled);
    let events = workers.pool().events();
    let held = std::thread::spawn({
        let workers = workers.clone();
        move || workers.send(HostMessage::Hold(0)).wait()
    });
    while workers.pool().workers()[0].in_flight == 0 {
        std::thread::yield_now();
    }
    kill(&hold(pid(workers.pool(), 0)));
    let error = held.join().unwrap().unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::WorkerLost, "test/1 was killed by SIGKILL")
    );
    expect_ready(&events);
    assert_eq!(workers.send(HostMessage::Add(6, 7)).wait().unwrap(), 13);
}

#[test]
fn a_stop_ends_the_worker_in_good_order() {
    let workers = set(Scrambled);
    let events = workers.pool().events();
    workers.pool().stop().wait().unwrap();
    expect(&events, |event| match &event.happening {
        Happening::Exited { reason } => {
            assert_eq!(reason, "exited with code 0");
            true
        }
        _ => false,
    });
}

#[test]
fn when_the_host_is_killed_its_workers_end_and_no_file_is_left() {
    let host = Host::start(Some("own"));
    let workers = host.workers();
    host.kill();
    for worker in workers {
        assert!(is_gone(worker, LONG));
    }
}

#[test]
fn a_worker_that_knows_nothing_of_it_comes_as_ever() {
    let workers: Set =
        WorkerSet::new(&builder(Scrambled).env("MODE", "plain").start().wait().unwrap());
    assert_eq!(workers.send(HostMessage::Add(6, 7)).wait().unwrap(), 13);
    let pool = pool().transport(Scrambled).start().wait().unwrap();
    assert_eq!(common::call(&pool, "echo", "x").unwrap(), "x");
}

#[test]
fn without_a_pool_there_is_nobody_to_serve() {
    let (ours, _theirs) = procall::transport::mem::pair(&LinkOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Service::new("test").run_over(Box::new(ours))).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().starts_with("no pool started this process"), "{error}");
}

/// A transport that goes wrong.
enum Broken {
    Refuses,
    Panics,
    /// Its door cannot be watched.
    Unwatchable,
    /// Its door is always readable and never lets anybody in.
    Fails,
    /// The same, with a panic.
    FailsLoudly,
    /// It lets somebody in whose link panics.
    LinkPanics,
}

impl Transport for Broken {
    fn open(&self, _worker: &str) -> io::Result<Opening> {
        let file = match self {
            Self::Refuses => return Err(io::Error::other("the cable is out")),
            Self::Panics => panic!("nobody has thought of this"),
            Self::Unwatchable => std::fs::File::open("/proc/self/stat")?.into(),
            Self::Fails | Self::FailsLoudly | Self::LinkPanics => {
                let (reader, writer) = io::pipe()?;
                drop(writer);
                reader.into()
            }
        };
        let link = match self {
            Self::LinkPanics => Some(mem::pair(&LinkOptions::default())?.0),
            _ => None,
        };
        let loudly = matches!(self, Self::FailsLoudly);
        Ok(Opening::new(BrokenDoor { file, loudly, link: link.into() }))
    }
}

struct BrokenDoor {
    file: std::os::fd::OwnedFd,
    loudly: bool,
    link: Mutex<Option<MemLink>>,
}

/// A link that has not been thought through.
#[derive(Debug)]
struct PanickingLink(MemLink);

impl Link for PanickingLink {
    fn buffer(&mut self, _len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        panic!("nobody sends anything")
    }

    fn commit(&mut self) {}

    fn flush(&mut self) -> Result<bool, LinkError> {
        panic!("nobody sends anything")
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        panic!("nobody receives anything")
    }

    fn info(&self) -> &LinkInfo {
        self.0.info()
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.0.readiness()
    }

    fn close(&mut self) {
        panic!("nobody closes anything")
    }
}

impl AsFd for BrokenDoor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Door for BrokenDoor {
    fn accept(&self) -> io::Result<Option<Box<dyn Link>>> {
        assert!(!self.loudly, "nobody has thought of this either");
        if let Some(link) = self.link.lock().unwrap().take() {
            return Ok(Some(Box::new(PanickingLink(link))));
        }
        Err(io::Error::other("the cable is out"))
    }
}

#[test]
fn a_transport_that_goes_wrong_fails_the_start_and_nothing_else() {
    let other = set(Scrambled);
    let once = RestartPolicy { max_unready: 1, ..RestartPolicy::default() };
    for (broken, told) in [
        (Broken::Refuses, "its transport could not be opened: the cable is out"),
        (Broken::Panics, "its transport could not be opened: Transport::open panicked"),
    ] {
        let error = builder(broken).restart(once.clone()).start().wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::SpawnFailed);
        assert!(error.message().contains(told), "{error}");
    }
    for (broken, told) in [
        (Broken::Unwatchable, "the pool's transport failed: "),
        (Broken::Fails, "the pool's transport failed: the cable is out"),
        (Broken::FailsLoudly, "the pool's transport failed: Door::accept panicked"),
        (Broken::LinkPanics, "the pool's transport failed: the cable is out"),
    ] {
        let error = Pool::command(["sleep", "1000"])
            .workers(1)
            .transport(broken)
            .ready_timeout(Duration::from_millis(300))
            .restart(once.clone())
            .start()
            .wait()
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::SpawnFailed);
        assert!(error.message().contains(told), "{error}");
    }
    assert_eq!(other.send(HostMessage::Add(6, 7)).wait().unwrap(), 13);
    assert_eq!(other.pool().workers()[0].restarts, 0);
}
