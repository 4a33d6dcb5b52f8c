//! What the lines ask for.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use procall::transport::{LinkOptions, mem};
use procall::{
    AsChannel, CallOptions, Channel, Client, Deadline, Encoded, Encoding, Error, Request, Started,
    Value, start_retrying,
};
use procall_pool::Pool;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use crate::lines::{read, write};

/// Lines that wait to be looked at; then the reader of standard input waits.
const LINES: usize = 64;

/// A call under way, of which several commands speak.
type Call = Arc<Mutex<Started>>;

/// A channel, and the pool behind it that has to live as long.
#[derive(Clone)]
struct On {
    channel: Arc<dyn Channel>,
    _pool: Option<Pool>,
}

#[derive(Clone, Default)]
struct Caller {
    channels: Arc<Mutex<HashMap<String, On>>>,
    calls: Arc<Mutex<HashMap<u64, Call>>>,
}

/// Does what the lines of standard input say until they end.
pub(crate) async fn obey() {
    let (lines, mut commands) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    let caller = Caller::default();
    while let Some(line) = commands.recv().await {
        match serde_json::from_str::<Json>(&line) {
            Ok(command) => caller.begin(command),
            Err(error) => eprintln!("this is no command: {error}"),
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn say(id: u64, mut answer: Json) {
    answer["id"] = json!(id);
    let mut out = std::io::stdout().lock();
    // Whoever no longer listens has ended this process's work too.
    let _ = writeln!(out, "{answer}").and_then(|()| out.flush());
}

fn failed(error: &Error) -> Json {
    json!({"error": {
        "code": error.code().name(),
        "executed": error.executed().to_string(),
        "message": error.message(),
        "type": error.remote_type(),
        "trace": error.trace(),
        "fields": error.fields().iter().map(|field| &field.path).collect::<Vec<_>>(),
        "candidates": error.candidates(),
        "retry_after": error.retry_after().is_some(),
    }})
}

fn told(outcome: Result<Json, Error>) -> Json {
    outcome.unwrap_or_else(|error| failed(&error))
}

fn value_of(encoded: &Encoded) -> Result<Json, Error> {
    match encoded.encoding {
        Encoding::None => Ok(Json::Null),
        _ => Value::from_msgpack(&encoded.bytes).map(|value| write(&value)),
    }
}

impl Caller {
    /// Begins what a line asks for, at once: calls start in the order of the lines.
    fn begin(&self, command: Json) {
        let id = command["id"].as_u64().unwrap_or_default();
        match command["do"].as_str().unwrap_or_default() {
            "connect" | "pool" => {
                let caller = self.clone();
                tokio::spawn(async move { say(id, told(caller.open_channel(&command).await)) });
            }
            "close" => {
                if let Some(on) = lock(&self.channels).remove(text(&command, "as")) {
                    on.channel.close();
                }
                say(id, json!({}));
            }
            "call" => match self.start(&command, false) {
                Ok(call) => {
                    lock(&self.calls).insert(id, call.clone());
                    tokio::spawn(async move { say(id, told(result(&call, &command).await)) });
                }
                Err(error) => say(id, failed(&error)),
            },
            "open" => {
                let started = self.start(&command, true);
                say(id, told(started.map(|call| self.keep(id, call))));
            }
            "notify" => {
                let notified = self.request(&command, false).and_then(|(on, params, options)| {
                    let request =
                        Request::new(text(&command, "method"), Encoding::Msgpack, &params);
                    on.channel.notify(request.with_options(options)).map(|()| json!({}))
                });
                say(id, told(notified));
            }
            other => {
                let call = lock(&self.calls).get(&command["call"].as_u64().unwrap_or(0)).cloned();
                match (call, other) {
                    (Some(call), "next") => {
                        tokio::spawn(async move { say(id, next(&call, &command).await) });
                    }
                    (Some(call), "send") => {
                        tokio::spawn(async move {
                            say(id, told(send(&call, &command).await.map(|()| json!({}))));
                        });
                    }
                    (Some(call), "finish") => {
                        tokio::spawn(async move {
                            finish(&call).await;
                            say(id, json!({}));
                        });
                    }
                    (Some(call), "cancel" | "leave") => {
                        lock(&call).cancel();
                        say(id, json!({}));
                    }
                    _ => say(id, json!({"broken": format!("{other} is not possible here")})),
                }
            }
        }
    }

    fn keep(&self, id: u64, call: Call) -> Json {
        lock(&self.calls).insert(id, call);
        json!({})
    }

    async fn open_channel(&self, command: &Json) -> Result<Json, Error> {
        let on = if command["do"] == "pool" {
            let number = |key: &str| usize::try_from(command[key].as_u64().unwrap_or(1));
            let argv = list(command, "command");
            let mut builder = Pool::command(argv.iter().filter_map(Json::as_str))
                .workers(number("workers").unwrap_or(1))
                .queue(number("queue").unwrap_or(1))
                .show_output(false);
            for (name, value) in command["env"].as_object().into_iter().flatten() {
                builder = builder.env(name, value.as_str().unwrap_or_default());
            }
            let pool = builder.start().await?;
            On { channel: pool.as_channel(), _pool: Some(pool) }
        } else if command["target"] == "mem:" {
            let options = LinkOptions::default();
            let (ours, theirs) =
                mem::pair(&options).map_err(|error| Error::invalid(error.to_string()))?;
            crate::worker::service().serve_link(Box::new(theirs))?;
            On { channel: Client::over(Box::new(ours)).await?.as_channel(), _pool: None }
        } else {
            let patience = Duration::from_millis(command["timeout_ms"].as_u64().unwrap_or(20_000));
            let client = Client::connect_within(text(command, "target"), patience).await?;
            On { channel: client.as_channel(), _pool: None }
        };
        lock(&self.channels).insert(text(command, "as").to_owned(), on);
        Ok(json!({}))
    }

    fn request(&self, command: &Json, streams: bool) -> Result<(On, Vec<u8>, CallOptions), Error> {
        let on = lock(&self.channels).get(text(command, "on")).cloned();
        let on = on.ok_or_else(|| Error::invalid("there is no such channel"))?;
        let params = match &command["params"] {
            Json::Null => Value::Array(Vec::new()),
            params => read(params),
        };
        let deadline = match (command.get("deadline_ms"), streams) {
            (None, _) => Deadline::Default,
            (Some(Json::Null), _) => Deadline::Never,
            (Some(ms), _) => Deadline::After(Duration::from_millis(ms.as_u64().unwrap_or(0))),
        };
        let optional = |key: &str| command[key].as_str().map(Arc::from);
        let meta = match command.get("meta") {
            Some(meta) => read(meta).to_msgpack()?,
            None => Vec::new(),
        };
        let options = CallOptions {
            deadline,
            idempotent: command["idempotent"] == true,
            meta,
            items_in: command["sends"] == true || command.get("items").is_some(),
            items_out: streams,
            key: optional("key"),
            to: optional("to"),
            wait: command["wait"] == true,
            ..CallOptions::default()
        };
        Ok((on, params.to_msgpack()?, options))
    }

    fn start(&self, command: &Json, streams: bool) -> Result<Call, Error> {
        let (on, params, options) = self.request(command, streams)?;
        let request = Request::new(text(command, "method"), Encoding::Msgpack, &params);
        let started = start_retrying(&on.channel, request.with_options(options))?;
        Ok(Arc::new(Mutex::new(started)))
    }
}

fn text<'a>(command: &'a Json, key: &str) -> &'a str {
    command[key].as_str().unwrap_or_default()
}

fn list<'a>(command: &'a Json, key: &str) -> &'a [Json] {
    command[key].as_array().map_or(&[], Vec::as_slice)
}

/// The outcome of a call with one value, and what was reported of it.
async fn result(call: &Call, command: &Json) -> Result<Json, Error> {
    if command.get("items").is_some() {
        send(call, command).await?;
        finish(call).await;
    }
    let mut reports = Vec::new();
    let reply = std::future::poll_fn(|cx| {
        let mut started = lock(call);
        if command["progress"] == true {
            while let Poll::Ready(Some(progress)) = started.poll_progress(cx.waker()) {
                reports.push(json!([progress.done, progress.total, progress.text]));
            }
        }
        started.poll_reply(cx.waker())
    })
    .await?;
    let mut answer = json!({"result": value_of(&reply)?});
    if command["progress"] == true {
        answer["progress"] = Json::Array(reports);
    }
    Ok(answer)
}

async fn send(call: &Call, command: &Json) -> Result<(), Error> {
    for item in list(command, "items") {
        let item = read(item).to_msgpack()?;
        let sent =
            std::future::poll_fn(|cx| lock(call).poll_send(Encoding::Msgpack, &item, cx.waker()));
        if sent.await.is_err() {
            // The call is over, and its outcome says why.
            break;
        }
    }
    Ok(())
}

async fn finish(call: &Call) {
    std::future::poll_fn(|cx| lock(call).poll_end_items(cx.waker())).await;
}

async fn next(call: &Call, command: &Json) -> Json {
    let count = command["count"].as_u64().unwrap_or(u64::MAX);
    let mut items = Vec::new();
    while (items.len() as u64) < count {
        let item = std::future::poll_fn(|cx| lock(call).poll_item(cx.waker())).await;
        match item.map(|item| item.and_then(|item| value_of(&item))) {
            Some(Ok(item)) => items.push(item),
            Some(Err(error)) => {
                let mut answer = failed(&error);
                answer["items"] = Json::Array(items);
                return answer;
            }
            None => return json!({"items": items, "end": true}),
        }
    }
    json!({"items": items})
}
