//! `procall.toml`: what an engine is to be, and the services that it starts.

mod place;
mod reader;
mod service;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procall::Error;
use procall::transport::Address;

pub use units::parse_duration;

use crate::activation::ServiceSpec;
use crate::settings::Policy;
use reader::{Reader, Table};

/// The file's name where it is looked for.
pub const FILE: &str = "procall.toml";

/// Longest file that is read, in bytes.
const MAX_LEN: u64 = 1 << 20;
const TABLES: &[&str] = &["engine", "service"];
const ENGINE: &[&str] = &[
    "listen",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "state",
    "drain",
    "policy",
    "queue",
    "validate",
    "log",
    "log_level",
    "otlp_endpoint",
];

/// A value, and the line where it stands, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// What it says.
    pub value: T,
    /// Where.
    pub line: usize,
}

/// What `[engine]` says; whatever it does not say is `None`.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// Where to listen.
    pub listen: Option<Placed<Vec<Address>>>,
    /// The certificate for addresses with `tls:`; a full path, as those of the next two.
    pub tls_cert: Option<Placed<PathBuf>>,
    /// The key that belongs to it.
    pub tls_key: Option<Placed<PathBuf>>,
    /// The authorities of those who may connect.
    pub tls_client_ca: Option<Placed<PathBuf>>,
    /// The directory of the state; a full path.
    pub state: Option<Placed<PathBuf>>,
    /// How long calls in flight may take when the engine stops.
    pub drain: Option<Placed<Duration>>,
    /// Which of several free workers gets a call.
    pub policy: Option<Placed<Policy>>,
    /// Calls that may wait for each worker of a method.
    pub queue: Option<Placed<usize>>,
    /// Whether params and results are checked against their schemas.
    pub validate: Option<Placed<bool>>,
    /// The form of the log; which ones there are, its writer knows.
    pub log: Option<Placed<String>>,
    /// The least level of what is in it.
    pub log_level: Option<Placed<String>>,
    /// The collector that spans are sent to.
    pub otlp_endpoint: Option<Placed<String>>,
}

/// What a `[service.NAME]` says.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// The service; its paths are full ones.
    pub spec: ServiceSpec,
    /// The line of its name.
    pub line: usize,
    /// The lines of those keys that stand there, by name; a key of `restart` as `restart.backoff`.
    pub lines: BTreeMap<&'static str, usize>,
}

/// A file that was read, and found to be sound.
///
/// ```
/// use procall_engine::config::ConfigFile;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("procall.toml");
/// std::fs::write(&path, "[service.calc]\ncommand = \"calc.py\"\nworker = 4\n")?;
/// let error = ConfigFile::read(&path).unwrap_err();
/// assert!(error.message().ends_with("procall.toml:3: [service.calc] has no key \"worker\"; did you mean workers?"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// Its full path.
    pub path: PathBuf,
    /// What it says of the engine.
    pub engine: EngineConfig,
    /// The services, in the order in which they stand there.
    pub services: Vec<ServiceConfig>,
}

impl ConfigFile {
    /// The `procall.toml` in a folder or the nearest one above it; `None` when there is none.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED when the one that is found belongs to another user than this one and root, or others can write to it: it says what is
    /// run, and nobody asked for it by its name.
    pub fn find(folder: &Path) -> Result<Option<PathBuf>, Error> {
        place::find(folder)
    }

    /// Reads a file. Paths in it count from the file's own folder.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT with every mistake and its line, each on a line of its own.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let text = place::text(&path, MAX_LEN)?;
        let mut reader = Reader::new(&path, &text);
        let mut engine = EngineConfig::default();
        let mut services = Vec::new();
        if let Some(document) = reader.document() {
            for (key, value) in reader.in_order(&document) {
                match key.get_ref().as_ref() {
                    "engine" => {
                        if let Some(table) = reader.table("[engine]", value) {
                            engine = read_engine(&mut reader, &table);
                        }
                    }
                    "service" => {
                        if let Some(table) = reader.table("[service]", value) {
                            services = service::read_all(&mut reader, &table);
                        }
                    }
                    _ => reader.unknown("the file", key, TABLES),
                }
            }
        }
        reader.end()?;
        Ok(Self { path, engine, services })
    }
}

fn read_engine(reader: &mut Reader<'_>, table: &Table<'_>) -> EngineConfig {
    let mut engine = EngineConfig::default();
    for (key, value) in reader.in_order(table.entries) {
        let line = reader.line(key.span().start);
        match key.get_ref().as_ref() {
            "listen" => {
                engine.listen = reader
                    .texts("listen", value, "addresses such as [\"tcp:127.0.0.1:9000\"]")
                    .and_then(|texts| reader.addresses(value, &texts))
                    .map(|value| Placed { value, line });
            }
            key @ ("tls_cert" | "tls_key" | "tls_client_ca") => {
                let file = reader.path(key, value).map(|value| Placed { value, line });
                *match key {
                    "tls_cert" => &mut engine.tls_cert,
                    "tls_key" => &mut engine.tls_key,
                    _ => &mut engine.tls_client_ca,
                } = file;
            }
            "state" => {
                engine.state = reader.path("state", value).map(|value| Placed { value, line });
            }
            "drain" => {
                engine.drain = reader.duration("drain", value).map(|value| Placed { value, line });
            }
            "policy" => {
                let policy = reader.text("policy", value, "the name of a policy");
                engine.policy = policy
                    .and_then(|text| reader.checked(value, text.parse()))
                    .map(|value| Placed { value, line });
            }
            "queue" => {
                engine.queue = reader.count("queue", value, 1).map(|value| Placed { value, line });
            }
            "validate" => {
                engine.validate =
                    reader.truth("validate", value).map(|value| Placed { value, line });
            }
            "log" => {
                let form = reader.text("log", value, "text or json");
                engine.log = form.map(|value| Placed { value, line });
            }
            "log_level" => {
                let level = reader.text("log_level", value, "a level such as info");
                engine.log_level = level.map(|value| Placed { value, line });
            }
            "otlp_endpoint" => {
                let url =
                    reader.text("otlp_endpoint", value, "a URL such as http://127.0.0.1:4318");
                engine.otlp_endpoint = url.map(|value| Placed { value, line });
            }
            _ => reader.unknown(&table.name, key, ENGINE),
        }
    }
    engine
}

#[cfg(test)]
mod tests;
