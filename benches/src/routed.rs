//! Calls that pass through a router.

use std::process::{Child, Command, Stdio};

use procall::{Client, Service};
use procall_engine::Engine;
use rustix::process::{Signal, set_parent_process_death_signal};

type Failure = Box<dyn std::error::Error>;

/// The engine at a socket, and a worker process that registers with it.
pub(crate) async fn serve_engine(path: &str) -> Result<(), Failure> {
    let address = format!("unix:{path}");
    let engine = Engine::builder().listen(address.parse()?).start()?;
    let _worker = partner("serve-registered", path)?;
    let client = Client::connect(&address).await?;
    while client.call::<i64>("calc.add", (1, 2)).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    println!("ready");
    std::future::pending::<()>().await;
    drop(engine);
    Ok(())
}

/// A service that an engine routes calls to.
pub(crate) async fn serve_registered(path: &str, service: Service) -> Result<(), Failure> {
    end_with_parent()?;
    Ok(service.engine(format!("unix:{path}")).run().await?)
}

/// Another role of this program, in a process that ends with this one.
fn partner(role: &str, argument: &str) -> Result<Child, Failure> {
    Ok(Command::new(std::env::current_exe()?)
        .args([role, argument])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?)
}

fn end_with_parent() -> Result<(), Failure> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}
