//! The Rust worker.

#[procall::service(name = "greeter")]
trait Greeter {
    async fn greet(&self, name: String) -> String;
    async fn crash(&self) -> ();
}

struct Worker;

impl Greeter for Worker {
    async fn greet(&self, name: String) -> String {
        println!("greeting {name}");
        format!("Hello, {name}")
    }

    async fn crash(&self) {
        std::process::exit(7);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    Worker.into_service().run().await
}
