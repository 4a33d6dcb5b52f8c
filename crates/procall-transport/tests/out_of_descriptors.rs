//! One test, alone in its process because it takes all descriptors there are.

use std::fs::File;

use procall_transport::LinkOptions;
use procall_transport::unix::{UnixLink, UnixListener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn running_out_of_descriptors_is_an_error_and_no_end() {
    let options = LinkOptions::default();
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let _client = UnixLink::connect(listener.path(), &options).unwrap();

    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(40), ..limits }).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }
    let error = listener.accept(&options).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    assert!(UnixLink::pair(&options).is_err());
    drop(all);
    assert!(listener.accept(&options).unwrap().is_some(), "the peer waited in the queue");
}
