//! `procall.toml`: read, or refused with the line of each mistake.

use std::io::Write as _;

use procall_engine::config::ConfigFile;

pub(super) fn run(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file of one's own");
    file.write_all(bytes).expect("it takes a few bytes");
    if let Err(error) = ConfigFile::read(file.path()) {
        assert!(!error.message().is_empty());
    }
}
