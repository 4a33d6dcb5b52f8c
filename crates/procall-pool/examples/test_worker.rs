//! The worker, and the host, that this crate's tests run. What it does is said by the variable `MODE`.
//!
//! Bodies are plain text, so that no codec stands between a test and what it looks at.

use std::io::Write;
use std::process::{Command, Stdio, exit};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::{
    Batch, Config, Connection, Encoded, Encoding, Error, ErrorCode, MethodInfo, Registration,
    Request, Responder, Side,
};
use rustix::process::{Signal, getpid, kill_process};

const METHODS: [&str; 19] = [
    "echo",
    "count",
    "mark",
    "sleep_ms",
    "crash",
    "exit",
    "print",
    "complain",
    "flood",
    "hold",
    "release",
    "pid",
    "descriptors",
    "spawn_grandchild",
    "close_channel",
    "retire",
    "grant",
    "charge",
    "settle",
];

/// Calls that wait to be released.
static HELD: Mutex<Vec<Responder>> = Mutex::new(Vec::new());

fn main() {
    match std::env::var("MODE").as_deref().unwrap_or("serve") {
        "exit" => complain_and_exit(),
        "exit_if" if std::path::Path::new(&variable("EXIT_IF")).exists() => complain_and_exit(),
        "never_ready" => park(),
        "never_registers" => {
            let _connection = connect();
            park()
        }
        "prints_then_serves" => {
            for step in 0..5 {
                println!("loading {step}");
                std::thread::sleep(Duration::from_millis(200));
            }
            serve();
        }
        "host" => host(),
        _ => serve(),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

fn complain_and_exit() -> ! {
    eprintln!("cannot load the model");
    eprintln!("no such file: weights.bin");
    exit(3)
}

/// Another process with a pool, to see what becomes of the workers when it is killed.
fn host() {
    let this = std::env::current_exe().expect("a running program has a path");
    let mut argv: Vec<std::ffi::OsString> = Vec::new();
    let launcher = variable("LAUNCHER");
    if !launcher.is_empty() {
        argv.extend(["python3".into(), "-c".into(), launcher.into()]);
    }
    argv.push(this.into());
    let pool = procall_pool::Pool::command(argv)
        .workers(3)
        .env("MODE", "serve")
        .start()
        .wait()
        .expect("it starts");
    // All at once, so that each worker tells its own.
    let calls: Vec<_> = (0..3)
        .map(|_| {
            pool.start_call(Request::new("sleep_ms", Encoding::Raw, b"100")).expect("it is open")
        })
        .collect();
    for call in calls {
        println!("{}", String::from_utf8_lossy(&call.wait().expect("it answers").bytes));
    }
    for worker in pool.workers() {
        println!("{}", worker.pid.expect("it runs"));
    }
    println!();
    park()
}

fn connect() -> Connection {
    let parent = procall::surroundings::parent()
        .expect("the channel is sound")
        .expect("a pool started this process");
    let config = Config { pid: std::process::id(), token: parent.token, ..Config::default() };
    Connection::serving(parent.link, Side::Initiator, config)
}

fn serve() {
    let connection = connect();
    register(&connection, variable("CONCURRENCY").parse().unwrap_or(1));
    let mut batch = Batch::new();
    // The end of the channel is the end of the worker.
    while connection.wait_calls(&mut batch, None, &mut || false).is_ok() {
        for call in batch.iter() {
            let Some(id) = call.id else { continue };
            let body = String::from_utf8_lossy(batch.body(call)).into_owned();
            handle(&connection, batch.method(call), &body, connection.responder(id));
        }
        batch.clear();
    }
}

fn register(connection: &Connection, concurrency: u32) {
    let methods = METHODS
        .iter()
        .map(|name| MethodInfo {
            name: (*name).to_owned(),
            idempotent: *name == "settle",
            ..MethodInfo::default()
        })
        .collect();
    let registration =
        Registration { name: "test".to_owned(), concurrency, methods, ..Registration::default() };
    connection.register(&registration).expect("it can be encoded");
}

fn text(text: impl Into<String>) -> Encoded {
    Encoded::new(Encoding::Raw, text.into().into_bytes())
}

fn handle(connection: &Connection, method: &str, body: &str, responder: Responder) {
    match method {
        "procall.ping" | "echo" => responder.reply(text(body)),
        "count" => {
            // Calls are handled in the order in which they come, on one thread.
            static COUNT: AtomicU64 = AtomicU64::new(0);
            responder.reply(text(COUNT.fetch_add(1, Ordering::Relaxed).to_string()));
        }
        "mark" => mark(body, responder),
        "pid" => responder.reply(text(std::process::id().to_string())),
        "sleep_ms" => {
            let millis = body.parse().expect("a number");
            let _ = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(millis));
                responder.reply(text(std::process::id().to_string()));
            });
        }
        "crash" => {
            let number = body.parse().expect("a number");
            let signal = Signal::from_named_raw(number).expect("a signal");
            // The first SIGSEGV only makes Rust's own handler step aside.
            loop {
                kill_process(getpid(), signal).expect("one may signal oneself");
            }
        }
        "exit" => exit(body.parse().expect("a number")),
        "charge" | "settle" => enter(body, responder),
        "print" => {
            println!("{body}");
            responder.reply(text(""));
        }
        "complain" => {
            eprintln!("{body}");
            responder.reply(text(""));
        }
        "flood" => {
            let (chunk, count) = (vec![b'x'; 1 << 20], body.parse::<usize>().expect("a number"));
            let mut out = std::io::stdout().lock();
            for _ in 0..count {
                out.write_all(&chunk).expect("the pool reads");
            }
            responder.reply(text(""));
        }
        // Says something, and answers when it is released.
        "hold" => {
            println!("{body}");
            HELD.lock().expect("nothing panics under it").push(responder);
        }
        "release" => {
            let held = std::mem::take(&mut *HELD.lock().expect("nothing panics under it"));
            held.into_iter().for_each(|held| held.reply(text("")));
            responder.reply(text(""));
        }
        "descriptors" => {
            let folder = std::fs::read_dir("/proc/self/fd").expect("there is a /proc");
            let open = folder.filter_map(Result::ok).filter_map(|entry| {
                let target = std::fs::read_link(entry.path()).ok()?;
                Some(format!("{} {}", entry.file_name().to_string_lossy(), target.display()))
            });
            responder.reply(text(open.collect::<Vec<_>>().join("\n")));
        }
        "spawn_grandchild" => {
            #[expect(clippy::zombie_processes, reason = "it is there to be left behind")]
            let child = Command::new("sleep")
                .arg("1000")
                .stdin(Stdio::null())
                .spawn()
                .expect("there is sleep");
            responder.reply(text(child.id().to_string()));
        }
        "close_channel" => {
            connection.close();
            park()
        }
        "grant" => {
            register(connection, body.parse().expect("a number"));
            responder.reply(text(""));
        }
        "retire" => {
            responder.reply(text(""));
            connection.drain("enough");
        }
        _ => responder.fail(&Error::new(ErrorCode::NotFound, "no such method")),
    }
}

/// Enters this process in a ledger; the first one that does so is killed then, in the middle of its call. Answers how many there were.
fn enter(ledger: &str, responder: Responder) {
    let mut log =
        std::fs::OpenOptions::new().create(true).append(true).open(ledger).expect("a ledger");
    log.write_all(format!("{}\n", std::process::id()).as_bytes()).expect("there is room");
    let entries = std::fs::read_to_string(ledger).expect("a ledger").lines().count();
    if entries == 1 {
        kill_process(getpid(), Signal::KILL).expect("one may signal oneself");
        park();
    }
    responder.reply(text(entries.to_string()));
}

/// Writes down that it has begun: `LOG` gets a line of what the call brought and of this process. Then works for the milliseconds that come
/// last in the body.
fn mark(body: &str, responder: Responder) {
    let line = format!("{} {body}\n", std::process::id());
    let mut log = std::fs::OpenOptions::new().append(true).open(variable("LOG")).expect("a log");
    log.write_all(line.as_bytes()).expect("there is room");
    let millis = body.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a number");
    if millis == 0 {
        return responder.reply(text(""));
    }
    let _ = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(millis));
        responder.reply(text(""));
    });
}
