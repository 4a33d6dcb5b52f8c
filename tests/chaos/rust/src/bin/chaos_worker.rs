//! The Rust worker of every scenario: `chaos-worker [ENGINE]`. What its methods do is said in the README.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use procall::{Bytes, Error, ErrorCode, Service, Stream};
use rustix::process::{Signal, getpid, kill_process};

/// Where the ledger reads.
fn folder() -> PathBuf {
    std::env::var_os("CHAOS_LEDGER").map_or_else(std::env::temp_dir, PathBuf::from)
}

fn io(error: std::io::Error) -> Error {
    Error::handler("io", error.to_string())
}

/// The worker's own file there: a line for whatever happens to a call.
#[derive(Debug, Clone)]
struct Notes(Arc<File>);

impl Notes {
    fn new() -> Result<Self, Error> {
        let path = folder().join(std::process::id().to_string());
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
        Ok(Self(Arc::new(file)))
    }

    fn write(&self, what: char, id: u64, more: &str) -> Result<(), Error> {
        // One write for each line, so that none is torn when the process is killed.
        (&*self.0).write_all(format!("{what} {id}{more}\n").as_bytes()).map_err(io)
    }

    /// The same, with the time: nanoseconds since 1970, which all languages have.
    fn write_now(&self, what: char, id: u64, more: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Nobody is left to tell; a line that is missing is seen by whoever reads the ledger.
        let _ = self.write(what, id, &format!("{more} {}", now.as_nanos()));
    }
}

/// Writes down that a handler was dropped before its end.
struct Dropped(Option<(Notes, u64)>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some((notes, id)) = &self.0 {
            notes.write_now('C', *id, "");
        }
    }
}

/// The items of a stream; at its end, or when its reader leaves, it writes down how many there were.
struct Count {
    notes: Notes,
    id: u64,
    made: u64,
    n: u64,
    most: u64,
}

impl Iterator for Count {
    type Item = (u64, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.made;
        if at == self.n {
            return None;
        }
        self.made += 1;
        let len = (at * 7919 + self.id) % (self.most + 1);
        Some((at, Bytes(vec![at as u8; len as usize])))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.notes.write_now('P', self.id, &format!(" {}", self.made));
    }
}

async fn work(
    notes: Notes,
    (id, nonce, millis, payload): (u64, u64, u64, Bytes),
) -> Result<(u64, Bytes), Error> {
    notes.write('S', id, "")?;
    if millis > 0 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    notes.write('E', id, "")?;
    Ok((nonce, payload))
}

async fn wait(notes: Notes, id: u64, millis: u64) -> Result<u64, Error> {
    notes.write('S', id, "")?;
    let mut dropped = Dropped(Some((notes.clone(), id)));
    tokio::time::sleep(Duration::from_millis(millis)).await;
    dropped.0 = None;
    notes.write('E', id, "")?;
    Ok(id)
}

async fn die(notes: Notes, id: u64, way: String) -> Result<u64, Error> {
    notes.write('D', id, "")?;
    let signal = match way.as_str() {
        "exit" => exit(7),
        "abort" => std::process::abort(),
        "segv" => Signal::SEGV,
        _ => Signal::KILL,
    };
    // The first SIGSEGV only makes Rust's own handler step aside.
    loop {
        kill_process(getpid(), signal).map_err(|error| io(error.into()))?;
    }
}

/// Gives the longest time that one write took, in microseconds.
fn spew(size: u64) -> Result<u64, Error> {
    let chunk: Vec<u8> =
        (0..1_u32 << 16).map(|at| if at as u8 == b'\n' { 0 } else { at as u8 }).collect();
    let mut longest = Duration::ZERO;
    for number in 0..size / chunk.len() as u64 {
        let begun = Instant::now();
        // Without a line end nothing is flushed before the buffer is full: not the streams of std, then.
        let mut left = &chunk[..];
        while !left.is_empty() {
            let written = if number % 2 == 0 {
                rustix::io::write(std::io::stdout(), left)
            } else {
                rustix::io::write(std::io::stderr(), left)
            };
            left = &left[written.map_err(|error| io(error.into()))?..];
        }
        longest = longest.max(begun.elapsed());
    }
    Ok(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX))
}

/// A worker that does not come up, or not for long.
fn misbehave(start: &str) {
    for line in 0..30 {
        eprintln!("line {line} of a worker that does not come up");
    }
    match start {
        "silent" => std::thread::sleep(Duration::from_secs(3_600)),
        "exit" => exit(3),
        _ => {
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_secs(1));
                exit(4);
            });
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if let Ok(start) = std::env::var("CHAOS_START")
        && !folder().join("healed").exists()
    {
        misbehave(&start);
    }
    let notes = Notes::new()?;
    let concurrency = std::env::var("CHAOS_CONCURRENCY").ok().and_then(|said| said.parse().ok());
    let with = || notes.clone();
    let (for_work, for_wait, for_count) = (with(), with(), with());
    let (for_fickle, for_die, for_heard) = (with(), with(), with());
    let service = Service::new("chaos")
        .async_method("work", move |id: u64, nonce: u64, millis: u64, payload: Bytes| {
            work(for_work.clone(), (id, nonce, millis, payload))
        })
        .async_method("wait", move |id: u64, millis: u64| wait(for_wait.clone(), id, millis))
        .stream_method("count", move |id: u64, n: u64, most: u64| {
            Stream::from_iter(Count { notes: for_count.clone(), id, made: 0, n, most })
        })
        .method("swallow", |payload: Bytes| payload.0.len() as u64)
        .method("give", |size: u64| Bytes(vec![0; size as usize]))
        .async_method("fickle", move |id: u64, nonce: u64, millis: u64, payload: Bytes| {
            let notes = for_fickle.clone();
            async move {
                notes.write('A', id, "")?;
                if folder().join("down").exists() {
                    return Err(Error::new(ErrorCode::Unavailable, "down, as wanted"));
                }
                work(notes, (id, nonce, millis, payload)).await
            }
        })
        .idempotent("fickle")
        .async_method("die", move |id: u64, way: String| die(for_die.clone(), id, way))
        .idempotent("die")
        .blocking_method("spew", spew)
        .method("heard", move |number: u64, _payload: Bytes| for_heard.write_now('N', number, ""))
        .concurrency(concurrency.unwrap_or(64));
    match std::env::args().nth(1) {
        Some(engine) => service.engine(&engine).run().await,
        None => service.run().await,
    }
}
