//! A client of the engine over TCP and JSON, without the Procall crates.
//!
//! It registers `math.add`, answers calls of it, says every few seconds that it is alive, and prints what arrives.
//!
//! ```text
//! engine-client --addr 127.0.0.1:8080 --heartbeat 5 --run-for 30
//! ```
//!
//! Each message is JSON behind its length, four bytes with the highest first.

mod options;
mod time;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep};

use crate::options::Options;

const MAX_MESSAGE: u32 = 64 << 20;
/// Messages that were read and not yet answered.
const UNANSWERED: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine-client: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", options.addr);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let (reader, mut writer) = TcpStream::connect(&options.addr).await?.into_split();
    send(&mut writer, &registration()).await?;
    let (sender, mut messages) = mpsc::channel(UNANSWERED);
    let reading = tokio::spawn(read(reader, sender));

    // A clock that never ticks stands for no heartbeat, and for no end.
    let never = Duration::from_secs(100 * 365 * 24 * 3600);
    let mut beats = interval_at(
        Instant::now() + if options.heartbeat.is_some() { Duration::ZERO } else { never },
        options.heartbeat.unwrap_or(never),
    );
    let end = sleep(options.run_for.unwrap_or(never));
    tokio::pin!(end);
    loop {
        tokio::select! {
            // The end comes first, also when a heartbeat is due at the same moment.
            biased;
            () = &mut end => break,
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
            message = messages.recv() => {
                let Some(message) = message else {
                    reading.await??;
                    return Err("the engine closed the connection".into());
                };
                println!("{message}");
                if let Some(answer) = answer(message) {
                    send(&mut writer, &answer).await?;
                }
            }
            _ = beats.tick() => {
                let params = json!({"ts": time::now()});
                let beat = json!({"type": "notify", "to": null, "method": "client.heartbeat", "params": params});
                send(&mut writer, &beat).await?;
            }
        }
    }
    reading.abort();
    writer.shutdown().await?;
    Ok(())
}

fn registration() -> Value {
    json!({
        "type": "register",
        "name": "example_client",
        "description": "Provides math.add",
        "methods": [{
            "name": "math.add",
            "params_schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                "required": ["a", "b"],
                "additionalProperties": false,
            },
            "result_schema": {"type": "number"},
        }],
    })
}

async fn send(writer: &mut OwnedWriteHalf, message: &Value) -> io::Result<()> {
    let text = message.to_string();
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    writer.write_all(&bytes).await
}

/// Hands on what arrives, until the engine closes the connection.
async fn read(mut reader: OwnedReadHalf, messages: mpsc::Sender<Value>) -> io::Result<()> {
    loop {
        let length = match reader.read_u32().await {
            Ok(length) if length <= MAX_MESSAGE => length,
            Ok(length) => {
                return Err(io::Error::other(format!("a message of {length} bytes is too long")));
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut text = vec![0; length as usize];
        reader.read_exact(&mut text).await?;
        if messages.send(serde_json::from_slice(&text)?).await.is_err() {
            return Ok(());
        }
    }
}

/// What a message is answered with, if it wants an answer.
fn answer(mut message: Value) -> Option<Value> {
    match message["type"].as_str()? {
        "invokefunctionmessage" | "call" => {
            let (id, params) = (message["id"].take(), message["params"].take());
            let method = message["method"].as_str().unwrap_or_default();
            Some(match call(method, &params) {
                Ok(result) => json!({"type": "result", "id": id, "ok": true, "result": result}),
                Err((code, text)) => {
                    let error = json!({"code": code, "message": text});
                    json!({"type": "result", "id": id, "ok": false, "error": error})
                }
            })
        }
        "ping" => {
            message["type"] = json!("pong");
            Some(message)
        }
        _ => None,
    }
}

/// Does what a call asks for, or says why not.
fn call(method: &str, params: &Value) -> Result<Value, (&'static str, String)> {
    if method != "math.add" {
        return Err(("method_not_found", format!("no handler for method {method}")));
    }
    let number = |name: &str, at: usize| params.get(name).or(params.get(at))?.as_f64();
    match (number("a", 0), number("b", 1)) {
        (Some(a), Some(b)) => Ok(json!(a + b)),
        _ => Err(("invalid_params", "expected the numbers 'a' and 'b'".to_owned())),
    }
}
