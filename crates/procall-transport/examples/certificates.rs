//! Makes certificates to try TLS with, where there is no `openssl`: `certificates DIRECTORY [NAME…]`.
//!
//! ```text
//! ca.pem               an authority
//! server.pem .key      signed by it, for localhost, 127.0.0.1, ::1 and the names given
//! client.pem .key      signed by it, for clients
//! expired.pem .key     signed by it, and out of date
//! other-ca.pem         another authority
//! other-client.pem .key   signed by that one
//! ```

#[path = "../tests/tls/authority.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod authority;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use authority::{Authority, Signed};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next() else {
        return Err(io::Error::other("say where: certificates DIRECTORY [NAME…]"));
    };
    let directory = Path::new(&directory);
    let names: Vec<String> = arguments.collect();
    let mut all = vec!["localhost", "127.0.0.1", "::1"];
    all.extend(names.iter().map(|name| &**name));
    fs::create_dir_all(directory)?;
    let (ours, other) = (Authority::new("Procall trial"), Authority::new("another trial"));
    fs::write(directory.join("ca.pem"), &ours.pem)?;
    fs::write(directory.join("other-ca.pem"), &other.pem)?;
    write(directory, "server", &ours.sign(&all))?;
    write(directory, "client", &ours.sign(&["client"]))?;
    write(directory, "expired", &ours.sign_expired(&all))?;
    write(directory, "other-client", &other.sign(&["client"]))
}

/// The key for nobody else to read.
fn write(directory: &Path, name: &str, signed: &Signed) -> io::Result<()> {
    fs::write(directory.join(format!("{name}.pem")), &signed.chain)?;
    let mut key = fs::File::options();
    key.write(true).create(true).truncate(true).mode(0o600);
    key.open(directory.join(format!("{name}.key")))?.write_all(signed.key.as_bytes())
}
