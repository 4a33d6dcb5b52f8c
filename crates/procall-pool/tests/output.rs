//! What workers print.

mod common;

use std::sync::mpsc::sync_channel;
use std::time::Instant;

use common::{LONG, call, hold, kill, pid, pool, start};
use procall_pool::{Happening, Outlet};

#[test]
fn lines_are_told_and_kept_with_the_workers_name() {
    let (tell, told) = sync_channel(100);
    let pool =
        pool().on_output(move |line| tell.send(line.clone()).unwrap()).start().wait().unwrap();
    call(&pool, "print", "to stdout").unwrap();
    let line = told.recv_timeout(LONG).unwrap();
    assert_eq!((line.to_string(), line.outlet), ("test/1 | to stdout".to_owned(), Outlet::Stdout));
    assert_eq!(Some(line.pid), pool.workers()[0].pid);
    call(&pool, "complain", "to stderr\nin two lines").unwrap();
    let lines = [told.recv_timeout(LONG).unwrap(), told.recv_timeout(LONG).unwrap()];
    assert_eq!(
        (lines[0].outlet, &*lines[0].text, &*lines[1].text),
        (Outlet::Stderr, "to stderr", "in two lines")
    );
    assert_eq!(pool.output_lines(0, 10).len(), 3);
}

#[test]
fn a_line_names_its_call_while_no_other_can_have_printed_it() {
    let (tell, told) = sync_channel(100);
    let pool = pool()
        .concurrency(2)
        .on_output(move |line| tell.send(line.clone()).unwrap())
        .start()
        .wait()
        .unwrap();
    let heard = || {
        let line = told.recv_timeout(LONG).unwrap();
        (line.text, line.method.map(|method| method.to_string()), line.call)
    };
    let held = start(&pool, "hold", "while it runs");
    let (text, method, first) = heard();
    assert_eq!((&*text, method.as_deref()), ("while it runs", Some("hold")));
    assert!(first.is_some());
    call(&pool, "print", "beside another").unwrap();
    assert_eq!(heard(), ("beside another".to_owned(), None, None));
    call(&pool, "release", "").unwrap();
    held.wait().unwrap();
    let begun = Instant::now();
    while pool.workers()[0].in_flight > 0 {
        assert!(begun.elapsed() < LONG, "the worker is done with them");
        std::thread::yield_now();
    }
    call(&pool, "complain", "alone again").unwrap();
    let (text, method, second) = heard();
    assert_eq!((&*text, method.as_deref()), ("alone again", Some("complain")));
    assert!(second > first);
    assert_eq!(pool.output_lines(0, 10).last().unwrap().call, second);
}

#[test]
fn the_last_words_of_a_worker_name_the_call_that_it_died_of() {
    let pool = pool().start().wait().unwrap();
    let call = start(&pool, "hold", "before the end");
    let begun = Instant::now();
    while pool.output_lines(0, 1).is_empty() {
        assert!(begun.elapsed() < LONG, "the line comes while the call runs");
        std::thread::yield_now();
    }
    kill(&hold(pid(&pool, 0)));
    assert_eq!(call.wait().unwrap_err().trace(), Some("before the end"));
    assert_eq!(pool.output_lines(0, 1)[0].method.as_deref(), Some("hold"));
}

#[test]
fn the_last_lines_of_a_dying_worker_are_not_lost() {
    let pool = pool().start().wait().unwrap();
    for round in 0..10 {
        let said = format!("dying {round}");
        call(&pool, "complain", &said).unwrap();
        let error = call(&pool, "crash", "9").unwrap_err();
        assert_eq!(error.trace(), Some(&*said));
        if round % 3 == 2 {
            pool.restart(0).wait().unwrap();
        }
    }
}

#[test]
fn a_slow_listener_holds_nobody_up() {
    let (gate, pass) = sync_channel::<()>(0);
    let pool = pool()
        .on_output(move |_| {
            let _ = pass.recv();
        })
        .start()
        .wait()
        .unwrap();
    call(&pool, "print", &"line\n".repeat(20_000)).unwrap();
    assert_eq!(call(&pool, "echo", "x").unwrap(), "x");
    // The supervisor may still be cutting what it has read.
    let begun = Instant::now();
    while pool.output_lines(0, usize::MAX).len() < 1000 {
        assert!(begun.elapsed() < LONG, "the lines are kept, whoever listens");
        std::thread::yield_now();
    }
    drop(gate);
}

#[test]
fn events_are_told_too() {
    let (tell, told) = sync_channel(100);
    let pool =
        pool().on_event(move |event| drop(tell.try_send(event.clone()))).start().wait().unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap().happening, Happening::Started);
    assert_eq!(told.recv_timeout(LONG).unwrap().happening, Happening::Ready);
    drop(start(&pool, "exit", "5"));
    loop {
        let event = told.recv_timeout(LONG).unwrap();
        if let Happening::Exited { reason } = &event.happening {
            assert_eq!(reason, "exited with code 5");
            assert!(event.to_string().starts_with("test/1 (pid "), "{event}");
            break;
        }
    }
    pool.stop().wait().unwrap();
}
