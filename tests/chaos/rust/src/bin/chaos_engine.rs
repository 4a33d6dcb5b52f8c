//! An engine in a process of its own: `chaos-engine ADDRESS`. It ends when its standard input does.

use procall_engine::Engine;
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("say: chaos-engine ADDRESS")?;
    let engine = Engine::builder().listen(address.parse()?).start()?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    engine.stop().await;
    Ok(())
}
