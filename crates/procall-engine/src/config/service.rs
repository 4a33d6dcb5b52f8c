//! `[service.NAME]`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::ServiceConfig;
use super::reader::{Item, Reader, Table};
use crate::activation::{Program, ServiceSpec, StartWhen};

pub(super) const KEYS: &[&str] = &[
    "command",
    "args",
    "interpreter",
    "env",
    "cwd",
    "workers",
    "min_workers",
    "memory",
    "max_calls",
    "concurrency",
    "hang_timeout",
    "on_cancel",
    "cancel_grace",
    "restart",
    "start",
    "description",
    "methods",
    "idle_timeout",
];
pub(super) const RESTART: &[&str] =
    &["backoff", "max_backoff", "jitter", "max_restarts", "window", "max_unready"];

pub(super) fn read_all(reader: &mut Reader<'_>, table: &Table<'_>) -> Vec<ServiceConfig> {
    let mut services = Vec::new();
    for (key, value) in reader.in_order(table.entries) {
        let name = key.get_ref();
        let Some(table) = reader.table(&format!("[service.{name}]"), value) else { continue };
        let (at, line) = (key.span().start, reader.line(key.span().start));
        let Some((spec, lines)) = read(reader, name, at, &table) else { continue };
        if let Err(error) = spec.check() {
            reader.complain(at, error.message().to_owned());
        }
        services.push(ServiceConfig { spec, line, lines });
    }
    services
}

type Read = (ServiceSpec, BTreeMap<&'static str, usize>);

fn read(reader: &mut Reader<'_>, name: &str, at: usize, table: &Table<'_>) -> Option<Read> {
    let mut spec = ServiceSpec::new(name, Program::Command(Vec::new()));
    // Paths count from the file, and so does what the workers open.
    spec.cwd = Some(reader.folder().to_owned());
    let mut lines = BTreeMap::new();
    let mut program = None;
    for (key, value) in reader.in_order(table.entries) {
        let Some(&known) = KEYS.iter().find(|&&known| known == key.get_ref()) else {
            reader.unknown(&table.name, key, KEYS);
            continue;
        };
        let line = reader.line(key.span().start);
        lines.insert(known, line);
        match known {
            "command" => program = command(reader, value),
            "restart" => restart(reader, value, &mut spec, &mut lines),
            known => assign(reader, known, value, &mut spec),
        }
    }
    if !lines.contains_key("command") {
        reader.complain(at, format!("{} has no command; say what serves it", table.name));
    }
    spec.program = program?;
    if let (Program::Command(_), Some(&line)) = (&spec.program, lines.get("interpreter")) {
        let message =
            "interpreter is for a command that is one file; a list begins with its program";
        let at = table.entries.iter().find(|(key, _)| key.get_ref() == "interpreter");
        reader.complain(at.map_or(line, |(key, _)| key.span().start), message.to_owned());
    }
    Some((spec, lines))
}

fn assign(reader: &mut Reader<'_>, key: &'static str, value: &Item<'_>, spec: &mut ServiceSpec) {
    match key {
        "args" => {
            spec.args =
                reader.texts(key, value, "arguments such as [\"--fast\"]").unwrap_or_default();
        }
        "interpreter" => {
            let named = reader.text(key, value, "a program");
            // A path counts from the file, a name is looked for on PATH.
            spec.interpreter = named.map(|named| match named.contains('/') {
                true => reader.placed(&named).display().to_string(),
                false => named,
            });
        }
        "env" => spec.env = env(reader, value),
        "cwd" => spec.cwd = reader.path(key, value),
        "workers" => spec.workers = reader.count(key, value, 1),
        "min_workers" => spec.min_workers = reader.count(key, value, 1),
        "memory" => spec.memory = reader.bytes(key, value),
        "max_calls" => spec.max_calls = reader.count(key, value, 1).map(|calls| calls as u64),
        "concurrency" => spec.concurrency = small(reader.count(key, value, 1)),
        "hang_timeout" => spec.hang_timeout = reader.duration(key, value),
        "on_cancel" => {
            let name = reader.text(key, value, "\"abandon\" or \"kill\"");
            let read = name.and_then(|name| reader.checked(value, name.parse()));
            set(&mut spec.on_cancel, read);
        }
        "cancel_grace" => set(&mut spec.cancel_grace, reader.duration(key, value)),
        "start" => spec.start = start(reader, value).unwrap_or_default(),
        "description" => {
            spec.description = reader.text(key, value, "a text").unwrap_or_default();
        }
        "methods" => {
            spec.methods = reader.texts(key, value, "names such as [\"add\"]").unwrap_or_default();
        }
        "idle_timeout" => spec.idle_timeout = reader.duration(key, value),
        // The others have been seen to.
        _ => {}
    }
}

fn command(reader: &mut Reader<'_>, value: &Item<'_>) -> Option<Program> {
    const WANTED: &str = "a file such as \"calc.py\", or a program with its arguments, such as [\"uv\", \"run\", \"calc.py\"]";
    if !matches!(value.get_ref(), DeValue::Array(_)) {
        let text = reader.text("command", value, WANTED)?;
        let file = reader.placed(&text);
        if text.is_empty() || (text.contains(char::is_whitespace) && !file.exists()) {
            let words: Vec<&str> = text.split_whitespace().collect();
            let hint = match words.is_empty() {
                true => String::new(),
                false => format!("; there is no shell, so write {words:?}"),
            };
            let message = format!("command is {WANTED}, not \"{}\"{hint}", text.escape_debug());
            reader.complain(value.span().start, message);
            return None;
        }
        return Some(Program::File(file));
    }
    let mut argv = reader.texts("command", value, WANTED)?;
    match argv.first_mut() {
        None => {
            reader.complain(value.span().start, format!("command is {WANTED}, not an empty list"));
            return None;
        }
        Some(first) if first.contains('/') => *first = reader.placed(first).display().to_string(),
        Some(_) => {}
    }
    Some(Program::Command(argv))
}

fn env(reader: &mut Reader<'_>, value: &Item<'_>) -> Vec<(String, String)> {
    let Some(table) = reader.table("env", value) else { return Vec::new() };
    let mut env = Vec::new();
    for (key, value) in reader.in_order(table.entries) {
        let name = key.get_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("\"{}\" cannot name a variable", name.escape_debug());
            reader.complain(key.span().start, message);
        } else if let Some(text) = reader.text(&format!("env.{name}"), value, "a text") {
            env.push((name.to_string(), text));
        }
    }
    env
}

fn start(reader: &mut Reader<'_>, value: &Item<'_>) -> Option<StartWhen> {
    const WANTED: &str = "\"boot\" (with the engine) or \"call\" (when it is called first)";
    match &*reader.text("start", value, WANTED)? {
        "boot" => Some(StartWhen::Boot),
        "call" => Some(StartWhen::Call),
        other => {
            let message = format!("start is {WANTED}, not \"{}\"", other.escape_debug());
            reader.complain(value.span().start, message);
            None
        }
    }
}

fn restart(
    reader: &mut Reader<'_>,
    value: &Item<'_>,
    spec: &mut ServiceSpec,
    lines: &mut BTreeMap<&'static str, usize>,
) {
    let Some(table) = reader.table("restart", value) else { return };
    let policy = &mut spec.restart;
    for (key, value) in reader.in_order(table.entries) {
        let line = reader.line(key.span().start);
        let known = match key.get_ref().as_ref() {
            "backoff" => {
                set(&mut policy.backoff, reader.duration("backoff", value));
                "restart.backoff"
            }
            "max_backoff" => {
                set(&mut policy.max_backoff, reader.duration("max_backoff", value));
                "restart.max_backoff"
            }
            "jitter" => {
                set(&mut policy.jitter, reader.fraction("jitter", value));
                "restart.jitter"
            }
            "max_restarts" => {
                set(&mut policy.max_restarts, small(reader.count("max_restarts", value, 0)));
                "restart.max_restarts"
            }
            "window" => {
                set(&mut policy.window, reader.duration("window", value));
                "restart.window"
            }
            "max_unready" => {
                set(&mut policy.max_unready, small(reader.count("max_unready", value, 1)));
                "restart.max_unready"
            }
            _ => {
                reader.unknown("restart", key, RESTART);
                continue;
            }
        };
        lines.insert(known, line);
    }
}

fn small(count: Option<usize>) -> Option<u32> {
    count.map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}
