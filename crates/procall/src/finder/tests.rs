use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;
use crate::Listener;

const LONG: Duration = Duration::from_secs(60);

fn place() -> (TempDir, Place) {
    let base = tempfile::tempdir().unwrap();
    let place = Place::of(Some(base.path().into()), None).unwrap();
    (base, place)
}

fn finder(place: &Place, target: &str, patience: Duration) -> Finder {
    Finder { place: Some(place.clone()), ..Finder::new(target, patience) }
}

fn listen(place: &Place, name: &str) -> Listener {
    Listener::bind(&Address::Unix(place.make().unwrap().socket(name))).unwrap()
}

fn code(error: &Error) -> (ErrorCode, Executed) {
    (error.code(), error.executed())
}

#[test]
fn pauses_grow_from_two_to_a_hundred_milliseconds() {
    let mut finder = Finder::new("calc", LONG);
    let pauses: Vec<u128> = (0..8).map(|_| finder.pause().as_millis()).collect();
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 100, 100]);
}

#[test]
fn no_pause_is_longer_than_the_patience() {
    let mut finder = Finder::new("calc", Duration::from_millis(1));
    assert!(finder.pause() <= Duration::from_millis(1));
}

#[test]
fn the_service_may_come_later() {
    let (_base, place) = place();
    let mut finder = finder(&place, "calc", LONG);
    assert!(finder.try_open().unwrap().is_none(), "no directory");
    let directory = place.make().unwrap();
    assert!(finder.try_open().unwrap().is_none(), "no socket");
    drop(UnixListener::bind(directory.socket("calc")).unwrap());
    assert!(finder.try_open().unwrap().is_none(), "a stale socket");
    let listener = listen(&place, "calc");
    assert!(finder.try_open().unwrap().is_some());
    assert!(listener.accept().unwrap().is_some());
}

#[test]
fn a_wait_ends_when_the_service_is_there() {
    let (_base, place) = place();
    let waiting = std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::sync_channel(2);
        let mut finder = finder(&place, "calc", LONG);
        let waiting = scope.spawn(move || {
            finder.wait(&mut || {
                let _ = send.try_send(());
                false
            })
        });
        // It has looked in vain at least twice.
        receive.recv().unwrap();
        receive.recv().unwrap();
        let _listener = listen(&place, "calc");
        waiting.join().unwrap()
    });
    assert_eq!(waiting.unwrap().info().transport, "unix");
}

#[test]
fn a_wait_can_be_interrupted() {
    let (_base, place) = place();
    let error = finder(&place, "calc", LONG).wait(&mut || true).unwrap_err();
    assert_eq!(code(&error), (ErrorCode::Cancelled, Executed::No));
}

#[test]
fn the_end_of_the_patience_says_what_to_do() {
    let (base, place) = place();
    let _listener = listen(&place, "math");
    let _other = listen(&place, "weather");
    let error = finder(&place, "maths", Duration::ZERO).try_open().unwrap_err();
    assert_eq!(code(&error), (ErrorCode::NoWorker, Executed::No));
    assert_eq!(error.candidates(), ["math"]);
    let address = format!("unix:{}/procall/maths.sock", base.path().display());
    for part in [
        &*format!("nothing listens at {address} (waited 0.0 s)"),
        "did you mean math?",
        "start it, e.g. `python maths.py` or `procall run maths.py`",
    ] {
        assert!(error.message().contains(part), "\"{part}\" is not in: {error}");
    }
}

#[test]
fn services_that_are_gone_are_not_suggested() {
    let (_base, place) = place();
    drop(UnixListener::bind(place.make().unwrap().socket("math")).unwrap());
    let error = finder(&place, "maths", Duration::ZERO).try_open().unwrap_err();
    assert!(error.candidates().is_empty());
    let error = finder(&place, "math", Duration::ZERO).try_open().unwrap_err();
    assert!(error.message().contains("left by a process that is gone"), "{error}");
}

#[test]
fn a_wait_of_some_time_tells_how_long_it_was() {
    let (_base, place) = place();
    let patience = Duration::from_millis(150);
    let since = Instant::now();
    let error = finder(&place, "calc", patience).wait(&mut || false).unwrap_err();
    assert!(since.elapsed() >= patience);
    assert!(!error.message().contains("(waited 0.0 s)"), "{error}");
}

#[test]
fn what_patience_cannot_help_ends_the_search_at_once() {
    let (base, place) = place();
    let refused = |target: &str| finder(&place, target, LONG).try_open().unwrap_err().code();
    assert_eq!(refused("a/b"), ErrorCode::InvalidArgument);
    assert_eq!(refused(""), ErrorCode::InvalidArgument);
    assert_eq!(refused("tcp:nowhere"), ErrorCode::InvalidArgument);
    assert_eq!(refused(&format!("unix:/{}", "x".repeat(200))), ErrorCode::InvalidArgument);
    std::fs::create_dir(base.path().join("procall")).unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(base.path().join("procall"), open).unwrap();
    assert_eq!(refused("calc"), ErrorCode::PermissionDenied);
}

#[test]
fn a_file_that_is_no_socket_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let target = format!("unix:{}", folder.path().join("file").display());
    let error = Finder::new(&target, Duration::ZERO).try_open().unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoWorker);
    assert!(error.message().contains("there is a file, but no socket"), "{error}");
}

#[test]
fn a_port_may_come_later_too() {
    let place = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
    let address = place.address().clone();
    drop(place);
    let mut finder = Finder::new(&address.to_string(), LONG);
    assert!(finder.wait(&mut || true).is_err(), "nobody yet");
    let _listener = Listener::bind(&address).unwrap();
    assert_eq!(finder.wait(&mut || false).unwrap().info().transport, "tcp");
}

#[test]
fn within_a_handler_its_time_is_the_limit() {
    crate::with_remaining(Some(Duration::from_millis(20)), || {
        let finder = Finder::new("calc", LONG);
        assert!(finder.left() <= Duration::from_millis(20));
        assert!(finder.greeting() <= Duration::from_millis(20));
    });
    assert!(Finder::new("calc", Duration::ZERO).greeting() > Duration::from_millis(500));
}

#[test]
fn a_socket_whose_name_cannot_be_a_services_is_no_service() {
    let (_base, place) = place();
    let directory = place.make().unwrap();
    let listening = ["tcp:127.0.0.1:1", "a\u{1b}[2Jb", "a b", "calc"]
        .map(|name| UnixListener::bind(directory.socket(name)).unwrap());
    let found = surroundings::services_in(&place).unwrap();
    assert_eq!(found.iter().map(|found| &*found.name).collect::<Vec<_>>(), ["calc"]);
    drop(listening);
}

#[test]
fn those_who_are_there_are_listed() {
    let (_base, place) = place();
    assert_eq!(surroundings::services_in(&place).unwrap(), []);
    let _listener = listen(&place, "math");
    drop(UnixListener::bind(place.make().unwrap().socket("gone")).unwrap());
    let services = surroundings::services_in(&place).unwrap();
    let seen: Vec<_> =
        services.iter().map(|found| (&*found.name, found.answers, found.pid)).collect();
    assert_eq!(seen, [("gone", false, None), ("math", true, Some(std::process::id()))]);
    assert!(services[1].address.to_string().ends_with("/procall/math.sock"));
}

#[test]
fn a_directory_of_another_user_ends_the_search() {
    if rustix::process::geteuid().as_raw() != 0 {
        // Only root can give it away; the rule itself is tested with the directory.
        return;
    }
    let (base, place) = place();
    place.make().unwrap();
    chown(base.path().join("procall"), Some(54_321), None).unwrap();
    let error = finder(&place, "calc", LONG).try_open().unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
}
