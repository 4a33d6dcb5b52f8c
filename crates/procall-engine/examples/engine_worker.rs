//! The worker that the engine's tests have started. It writes a line to the file `STARTS` when it starts; while there is the file `BROKEN`, it
//! does not come up.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use procall::{Error, Service};

fn main() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if let Ok(mut starts) = OpenOptions::new().create(true).append(true).open(variable("STARTS")) {
        // Nobody counts what cannot be written.
        let _ = writeln!(starts, "{}", std::process::id());
    }
    if Path::new(&variable("BROKEN")).exists() {
        eprintln!("cannot load the model");
        std::process::exit(3);
    }
    let calc = Service::new("calc")
        .method("add", |a: i64, b: i64| a + b)
        .params("add", &["a", "b"])
        .method("pid", std::process::id)
        .method("variable", |name: String| std::env::var(name).unwrap_or_default())
        .method("folder", || {
            std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default()
        })
        .method("arguments", || std::env::args().skip(1).collect::<Vec<_>>())
        // Answers once somebody writes to the named pipe.
        .blocking_method("hold", |fifo: String| {
            File::open(fifo).map(|_| 1_u64).map_err(|error| Error::handler("io", error.to_string()))
        })
        .method("print", |line: String| println!("{line}"))
        .method("die", || -> bool {
            eprintln!("last words");
            std::process::exit(9)
        })
        .concurrency(4);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::handler("runtime", error.to_string()))?
        .block_on(calc.run())
}
