//! The Rust caller: `schemas-caller WORKER`

use procall_pool::Pool;
use serde::Serialize;

#[derive(Serialize)]
struct Order<C> {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<C>,
}

#[derive(Serialize)]
struct Params<C> {
    order: Order<C>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let worker = std::env::args().nth(1).unwrap_or_else(|| "../python/worker.py".to_owned());
    let pool = Pool::spawn(worker).workers(1).start().await?;
    let mut names: Vec<String> = pool.methods().into_iter().map(|method| method.name).collect();
    names.sort();
    for name in names {
        println!("{name}");
        let order = Order { name: "tea", count: None::<u32> };
        println!("   right: {}", pool.call::<String>(&name, Params { order }).await?);
        let order = Order { name: "tea", count: Some("many") };
        if let Err(error) = pool.call::<String>(&name, Params { order }).await {
            let paths: Vec<&str> = error.fields().iter().map(|field| &*field.path).collect();
            println!("   wrong: {}", paths.join(" "));
        }
    }
    pool.stop().await
}
