//! `stream`: items out, items in, leaving early.

use std::io::Read;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Home, Running, gone, hold};

#[test]
fn items_come_one_a_line() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    assert_eq!(home.procall(&["stream", "calc.count", "n=3"]).ok(), "0\n1\n2\n");
    assert_eq!(home.procall(&["stream", "count", "3", "--json"]).ok(), "0\n1\n2\n");
    assert_eq!(home.procall(&["stream", "count", "n=0"]).ok(), "");
}

#[test]
fn standard_input_is_a_stream_too() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let sum = home.procall_with(&["stream", "calc.sum", "--items", "-"], "1\n2\n39\n");
    assert_eq!(sum.ok(), "42\n");
    let echo = &["stream", "calc.echo", "--items", "-"];
    assert_eq!(home.procall_with(echo, "a b\n\"5\"\n").ok(), "a b\n5\n");
    let echo = &["stream", "calc.echo", "--items", "-", "--json"];
    assert_eq!(home.procall_with(echo, "a b\n\"5\"\n").ok(), "\"a b\"\n\"5\"\n");
    let wrong = home.procall_with(&["stream", "calc.sum", "--items", "-"], "1\nx\n");
    assert_ne!(wrong.code, 0);
    let long = home.procall_with(&["stream", "calc.sum", "--items", "-"], "18446744073709551616\n");
    assert_eq!(long.code, 2, "{long:?}");
}

#[test]
fn a_method_without_that_stream_is_told_so() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    for (args, says) in [
        (&["stream", "calc.add", "1", "2"][..], "procall call calc.add a=… b=…"),
        (&["stream", "calc.sum"], "--items -"),
        (&["stream", "calc.count", "n=1", "--items", "-"], "leave --items out"),
    ] {
        let ended = home.procall(args);
        assert_eq!(ended.code, 2, "{args:?}");
        assert!(ended.err.contains(says), "{args:?}: {}", ended.err);
    }
}

#[test]
fn a_reader_that_leaves_ends_the_stream_quietly() {
    let home = Home::new();
    let run = home.run(&["--workers", "1"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = home.command(&["stream", "count", "n=9000000000000000000"]);
    let child = command.stdout(Stdio::from(writer)).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(reader));
    assert_eq!(lines.next().unwrap().unwrap(), "0");
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    // The worker heard of it: nothing is left to finish.
    run.signal(Signal::TERM);
    assert_eq!(run.end().0, 0);
}

#[test]
fn ctrl_c_leaves_the_stream() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let stream: Running = home.start(&["stream", "count", "n=9000000000000000000"]);
    stream.expect("0");
    stream.signal(Signal::INT);
    let (code, _) = stream.end();
    assert_eq!(code, 130);
}

#[test]
fn an_item_that_cannot_be_sent_does_not_undo_those_before() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    let args = ["stream", "calc.sum", "--items", "-", "--json"];
    let wrong = home.procall_with(&args, "1\n18446744073709551616\n");
    assert_eq!((wrong.code, &wrong.error()["executed"]), (2, &"maybe".into()));
}

#[test]
fn ctrl_c_ends_a_command_whose_output_nobody_takes() {
    let home = Home::new();
    let _run = home.run(&["--workers", "1"]);
    std::fs::write(home.path().join("long"), "x".repeat(1 << 20)).unwrap();
    let mut command = home.command(&["call", "calc.text", "name=@long"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    // It is at the one write of a result that is longer than a pipe holds.
    out.read_exact(&mut [0]).unwrap();
    let process = hold(child.id());
    rustix::process::pidfd_send_signal(&process, Signal::INT).unwrap();
    let ended = std::panic::catch_unwind(|| gone(&process));
    // Whether it heeds the signal or not, the test leaves nothing behind.
    let _ = child.kill();
    assert_eq!((child.wait().unwrap().code(), ended.is_ok()), (Some(130), true));
}
