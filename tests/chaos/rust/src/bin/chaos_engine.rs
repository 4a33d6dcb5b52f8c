//! An engine in a process of its own: `chaos-engine SOCKET`. It ends when its standard input does.

use procall_engine::Engine;
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = std::env::args().nth(1).ok_or("say: chaos-engine SOCKET")?;
    let engine = Engine::builder().listen(format!("unix:{socket}").parse()?).start()?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    engine.stop().await;
    Ok(())
}
