//! `procall config`: what an engine that is started here would be.

use clap::Args;
use procall::surroundings;
use procall_engine::config::ServiceConfig;
use procall_engine::{Program, ServiceSpec, StartWhen};
use serde_json::{Map, Value as Json, json};

use crate::failure::Failure;
use crate::log::Form;
use crate::output;
use crate::plain;
use crate::settings::{Effective, Options, Origin};
use crate::style::Style;

const EXAMPLES: &str = "Examples:
  procall config                     what holds here: flags, variables, procall.toml, defaults
  procall config --explain           the same, and where each value comes from
  procall config --state /srv/state --json";

/// Show the settings that an engine started here would have.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Config {
    #[command(flatten)]
    options: Options,

    /// Say where each value comes from: a flag, a variable, a line of a file, or nobody.
    #[arg(long)]
    explain: bool,
}

/// One value: its table, its name there, and who said so.
struct Row {
    table: String,
    key: &'static str,
    value: Json,
    origin: Origin,
}

impl Config {
    pub(crate) fn run(&self, style: &Style) -> Result<(), Failure> {
        let effective = self.options.effective()?;
        let rows = rows(&effective);
        let always = surroundings::address_of(procall_engine::NAME)?.to_string();
        match style.json {
            true => output::json(&self.json(&effective, &rows, &always).to_string(), style),
            false => self
                .lines(&effective, &rows, &always)
                .iter()
                .try_for_each(|line| output::line(line)),
        }
    }

    /// A `procall.toml` that would say the same.
    fn lines(&self, effective: &Effective, rows: &[Row], always: &str) -> Vec<String> {
        let mut lines = Vec::new();
        match &effective.config.value {
            Some(path) => lines.push(format!("# {}", plain::line(&path.display().to_string()))),
            None => lines.push("# no procall.toml here or above".to_owned()),
        }
        lines.push(plain::line(&format!("# it always listens at {always} too")).into_owned());
        let shown: Vec<String> =
            rows.iter().map(|row| format!("{} = {}", row.key, toml(&row.value))).collect();
        let width = shown.iter().map(|text| text.chars().count()).max().unwrap_or(0).min(48);
        let mut table = "";
        for (row, text) in rows.iter().zip(&shown) {
            if row.table != table {
                lines.push(String::new());
                lines.push(plain::line(&format!("[{}]", row.table)).into_owned());
                table = &row.table;
            }
            // What is not said has no text of its own.
            let text = match row.value.is_null() {
                true => format!("# {} is not set", row.key),
                false => text.clone(),
            };
            let text = plain::line(&text).into_owned();
            lines.push(match self.explain {
                true => format!("{text:<width$}  # {}", plain::line(&row.origin.to_string())),
                false => text,
            });
        }
        lines
    }

    fn json(&self, effective: &Effective, rows: &[Row], always: &str) -> Json {
        let mut engine = Map::new();
        let mut services = Map::new();
        for service in &effective.services {
            services.insert(service.spec.name.clone(), json!({}));
        }
        for row in rows {
            let value = match self.explain {
                true => json!({ "value": row.value, "origin": row.origin.to_string() }),
                false => row.value.clone(),
            };
            let name = row.table.strip_prefix("service.").map(unquoted);
            match name.and_then(|name| services.get_mut(&name)) {
                Some(Json::Object(service)) => service.insert(row.key.to_owned(), value),
                _ => engine.insert(row.key.to_owned(), value),
            };
        }
        let config = effective.config.value.as_ref().map(|path| path.display().to_string());
        json!({ "config": config, "always_listens": always, "engine": engine, "service": services })
    }
}

fn rows(effective: &Effective) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut engine = |key, value: Json, origin: &Origin| {
        rows.push(Row { table: "engine".to_owned(), key, value, origin: origin.clone() });
    };
    let listen: Vec<String> = effective.listen.value.iter().map(ToString::to_string).collect();
    engine("listen", json!(listen), &effective.listen.origin);
    for (key, file) in [
        ("tls_cert", &effective.tls_cert),
        ("tls_key", &effective.tls_key),
        ("tls_client_ca", &effective.tls_client_ca),
        ("state", &effective.state),
    ] {
        let path = file.value.as_ref().map(|path| path.display().to_string());
        engine(key, json!(path), &file.origin);
    }
    engine("drain", seconds(effective.drain.value), &effective.drain.origin);
    engine("policy", json!(effective.policy.value.name()), &effective.policy.origin);
    engine("queue", json!(effective.queue.value), &effective.queue.origin);
    engine("validate", json!(effective.validate.value), &effective.validate.origin);
    let log = effective.log.value.map(Form::name);
    engine("log", json!(log), &effective.log.origin);
    let level = effective.log_level.value.as_str().to_lowercase();
    engine("log_level", json!(level), &effective.log_level.origin);
    let otlp = &effective.otlp_endpoint;
    engine("otlp_endpoint", json!(otlp.value), &otlp.origin);
    for service in &effective.services {
        let path = effective.config.value.clone().unwrap_or_default();
        let table = format!("service.{}", quoted(&service.spec.name));
        for (key, value) in service_values(service) {
            let origin = match service.lines.get(key) {
                Some(&line) => Origin::File(path.clone(), line),
                None => Origin::Default,
            };
            rows.push(Row { table: table.clone(), key, value, origin });
        }
    }
    rows
}

fn service_values(service: &ServiceConfig) -> Vec<(&'static str, Json)> {
    let ServiceSpec {
        program,
        args,
        interpreter,
        env,
        cwd,
        workers,
        min_workers,
        memory,
        max_calls,
        concurrency,
        hang_timeout,
        on_cancel,
        cancel_grace,
        restart,
        start,
        description,
        methods,
        idle_timeout,
        ..
    } = &service.spec;
    let every = std::thread::available_parallelism().map_or(1, Into::into);
    let command = match program {
        Program::File(file) => json!(file.display().to_string()),
        Program::Command(argv) => json!(argv),
    };
    let start = match start {
        StartWhen::Boot => "boot",
        StartWhen::Call => "call",
    };
    let env: Map<String, Json> =
        env.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let description = Some(description).filter(|text| !text.is_empty());
    vec![
        ("command", command),
        ("args", json!(args)),
        ("interpreter", json!(interpreter)),
        ("env", Json::Object(env)),
        ("cwd", json!(cwd.as_ref().map(|path| path.display().to_string()))),
        ("workers", json!(workers.unwrap_or(every))),
        ("min_workers", json!(min_workers.or(*workers).unwrap_or(every))),
        ("memory", json!(memory)),
        ("max_calls", json!(max_calls)),
        ("concurrency", json!(concurrency)),
        ("hang_timeout", hang_timeout.map_or(Json::Null, seconds)),
        ("on_cancel", json!(on_cancel.name())),
        ("cancel_grace", seconds(*cancel_grace)),
        ("start", json!(start)),
        ("description", json!(description)),
        ("methods", json!(methods)),
        ("idle_timeout", idle_timeout.map_or(Json::Null, seconds)),
        ("restart.backoff", seconds(restart.backoff)),
        ("restart.max_backoff", seconds(restart.max_backoff)),
        ("restart.jitter", json!(restart.jitter)),
        ("restart.max_restarts", json!(restart.max_restarts)),
        ("restart.window", seconds(restart.window)),
        ("restart.max_unready", json!(restart.max_unready)),
    ]
}

fn seconds(duration: std::time::Duration) -> Json {
    json!(format!("{}s", duration.as_secs_f64()))
}

/// A name as it stands in a table's header.
fn quoted(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match name.chars().all(bare) {
        true => name.to_owned(),
        false => Json::from(name).to_string(),
    }
}

fn unquoted(name: &str) -> String {
    serde_json::from_str(name).unwrap_or_else(|_| name.to_owned())
}

/// A value as it stands in a file: as JSON, but for tables.
fn toml(value: &Json) -> String {
    match value {
        Json::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(name, value)| format!("{} = {value}", quoted(name))).collect();
            match entries.is_empty() {
                true => "{}".to_owned(),
                false => format!("{{ {} }}", entries.join(", ")),
            }
        }
        other => other.to_string(),
    }
}
