//! The worker that the tests of the command run. `MODE=exit` says that it does not come up.

use std::fs::File;

use procall::{Bytes, Context, Error, Service, Stream};

#[procall::service(name = "calc")]
trait Calc {
    /// Adds two numbers.
    #[method(idempotent)]
    async fn add(&self, a: i64, b: i64) -> i64;
    /// Gives its text back.
    async fn text(&self, name: String) -> String;
    /// Fails with its argument.
    #[method(errors("Refused", "Postponed"))]
    async fn fail(&self, why: String) -> Result<i64, Error>;
    async fn count(&self, n: i64) -> Stream<i64>;
    async fn sum(&self, values: Stream<i64>) -> Result<i64, Error>;
    async fn echo(&self, values: Stream<String>) -> Stream<String>;
    /// Says so on its standard error, then ends once somebody writes to the named pipe.
    async fn hold(&self, fifo: String) -> Result<i64, Error>;
    async fn report(&self, ctx: Context, n: u64) -> u64;
    async fn size(&self, blob: Bytes) -> u64;
    async fn blob(&self) -> Bytes;
    async fn nan(&self) -> f64;
    async fn person(&self) -> Person;
    async fn pid(&self) -> u32;
    async fn print(&self, line: String) -> bool;
    /// Ends the process.
    async fn die(&self) -> bool;
    /// Never ends.
    async fn forever(&self) -> bool;
}

#[derive(serde::Serialize, serde::Deserialize, procall::schemars::JsonSchema)]
#[schemars(crate = "procall::schemars")]
struct Person {
    name: String,
    age: u32,
}

struct Served;

impl Calc for Served {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn text(&self, name: String) -> String {
        name
    }

    async fn fail(&self, why: String) -> Result<i64, Error> {
        Err(Error::handler("Refused", why).with_trace("in fail\nin main"))
    }

    async fn count(&self, n: i64) -> Stream<i64> {
        Stream::from_iter(0..n)
    }

    async fn sum(&self, mut values: Stream<i64>) -> Result<i64, Error> {
        let mut sum = 0;
        while let Some(value) = values.next().await {
            sum += value?;
        }
        Ok(sum)
    }

    async fn echo(&self, values: Stream<String>) -> Stream<String> {
        values
    }

    async fn hold(&self, fifo: String) -> Result<i64, Error> {
        eprintln!("holding");
        let opened = tokio::task::spawn_blocking(move || File::open(fifo)).await;
        match opened {
            Ok(Ok(_)) => Ok(1),
            Ok(Err(error)) => Err(Error::handler("io", error.to_string())),
            Err(error) => Err(Error::handler("task", error.to_string())),
        }
    }

    async fn report(&self, ctx: Context, n: u64) -> u64 {
        for done in 1..=n {
            ctx.progress(done, Some(n), "working");
        }
        n
    }

    async fn size(&self, blob: Bytes) -> u64 {
        blob.0.len() as u64
    }

    async fn blob(&self) -> Bytes {
        Bytes(vec![0, 255, 10, 7])
    }

    async fn nan(&self) -> f64 {
        f64::NAN
    }

    async fn person(&self) -> Person {
        Person { name: "Ada".to_owned(), age: 36 }
    }

    async fn pid(&self) -> u32 {
        std::process::id()
    }

    async fn print(&self, line: String) -> bool {
        println!("{line}");
        eprintln!("{line} too");
        true
    }

    async fn die(&self) -> bool {
        eprintln!("last words");
        std::process::exit(9)
    }

    async fn forever(&self) -> bool {
        std::future::pending().await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match std::env::var("MODE").as_deref() {
        Ok("exit") => {
            eprintln!("cannot load the model");
            std::process::exit(3);
        }
        Ok("other") => {
            Service::new("other").method("add", |a: i64| a).params("add", &["a"]).run().await
        }
        _ => Served.into_service().run().await,
    }
}
