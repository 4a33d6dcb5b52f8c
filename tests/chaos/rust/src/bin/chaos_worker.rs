//! The Rust worker of every scenario: `chaos-worker [ENGINE]`

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procall::{Bytes, Error, Service};

/// The file that the ledger reads: a line when a call begins, and one when it ends.
fn file() -> std::io::Result<File> {
    let folder = std::env::var_os("CHAOS_LEDGER").map_or_else(std::env::temp_dir, PathBuf::from);
    OpenOptions::new().create(true).append(true).open(folder.join(std::process::id().to_string()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let file = file().map_err(|error| Error::handler("io", format!("the ledger: {error}")))?;
    let file = Arc::new(file);
    let note = move |what: char, id: u64| {
        // One write for each line, so that none is torn when the process is killed.
        (&*file)
            .write_all(format!("{what} {id}\n").as_bytes())
            .map_err(|error| Error::handler("io", error.to_string()))
    };
    let concurrency = std::env::var("CHAOS_CONCURRENCY").ok().and_then(|said| said.parse().ok());
    let service = Service::new("chaos")
        .async_method("work", move |id: u64, nonce: u64, millis: u64, payload: Bytes| {
            let note = note.clone();
            async move {
                note('S', id)?;
                if millis > 0 {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                }
                note('E', id)?;
                Ok::<_, Error>((nonce, payload))
            }
        })
        .concurrency(concurrency.unwrap_or(64));
    match std::env::args().nth(1) {
        Some(engine) => service.engine(&engine).run().await,
        None => service.run().await,
    }
}
