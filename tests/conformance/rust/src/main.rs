//! The Rust subject of the conformance cases; `spec/scenarios/README.md` says what it does.
//!
//! `conformance-subject worker` serves, `conformance-subject caller` obeys the lines of its standard input.

mod caller;
mod lines;
mod worker;

use procall::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match std::env::args().nth(1).as_deref() {
        Some("worker") => worker::service().run().await,
        Some("caller") => {
            caller::obey().await;
            Ok(())
        }
        _ => Err(Error::invalid("say worker or caller")),
    }
}
