//! What an engine is to be, and who said so: a flag, else a variable, else `procall.toml`, else nobody.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use procall::Error;
use procall::transport::Address;
use procall_engine::Policy;
use procall_engine::config::{ConfigFile, Placed, ServiceConfig, parse_duration};

use tracing::Level;

use crate::duration;
use crate::failure::Failure;
use crate::log::{self, Form};

/// Where an engine listens for peers that cannot use a Unix socket.
const LOOPBACK: &str = "tcp:127.0.0.1:8080";
const QUEUE: usize = 256;
const DRAIN: Duration = Duration::from_secs(10);

/// What can be said of an engine on the command line.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Options {
    /// The file with the settings and services; without it, procall.toml here or in the nearest folder above.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where to listen, besides the runtime directory; several are allowed. 127.0.0.1:8080 without it.
    #[arg(short, long, value_name = "ADDRESS")]
    listen: Vec<Address>,

    /// The certificate for addresses with `tls:`, in PEM, with those between it and its authority.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The key that belongs to it, in PEM. Nobody but you may be able to read the file.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Let in over TLS only who shows a certificate that one of the authorities of this file has signed.
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,

    /// Remember in this directory who served what, so that a new engine knows it at once.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Which of several free workers gets a call: idle_first, least_loaded or round_robin.
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    policy: Option<Policy>,

    /// How long calls in flight may take once it is told to stop; 10s without it.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    drain: Option<Duration>,

    /// Calls that may wait for each worker of a method; 256 without it.
    #[arg(long, value_name = "CALLS", value_parser = calls)]
    queue: Option<usize>,

    /// Do not check params and results against their schemas.
    #[arg(long)]
    no_validate: bool,

    /// Write what happens to standard error, a line for each call that is over and whoever comes or goes: text or json.
    #[arg(long, value_name = "FORM", value_parser = form)]
    log: Option<Form>,

    /// The least that is written: info, or warn for what fails only; info without it.
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    log_level: Option<Level>,

    /// Send spans of calls to the collector of traces there, by OTLP over HTTP, such as `http://127.0.0.1:4318`.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
}

fn form(text: &str) -> Result<Form, String> {
    text.parse().map_err(|error: Error| error.message().to_owned())
}

fn level(text: &str) -> Result<Level, String> {
    log::level(text).map_err(|error| error.message().to_owned())
}

fn policy(text: &str) -> Result<Policy, String> {
    text.parse().map_err(|error: Error| error.message().to_owned())
}

fn calls(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(calls) if calls > 0 => Ok(calls),
        _ => Err("it is a whole number from 1 on".to_owned()),
    }
}

/// Who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf, usize),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, and who said so.
#[derive(Debug, Clone)]
pub(crate) struct Value<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// What holds.
#[derive(Debug)]
pub(crate) struct Effective {
    /// The file, if there is one.
    pub(crate) config: Value<Option<PathBuf>>,
    /// Besides the runtime directory.
    pub(crate) listen: Value<Vec<Address>>,
    pub(crate) tls_cert: Value<Option<PathBuf>>,
    pub(crate) tls_key: Value<Option<PathBuf>>,
    pub(crate) tls_client_ca: Value<Option<PathBuf>>,
    pub(crate) state: Value<Option<PathBuf>>,
    pub(crate) policy: Value<Policy>,
    pub(crate) drain: Value<Duration>,
    pub(crate) queue: Value<usize>,
    pub(crate) validate: Value<bool>,
    /// How what happens is written, if at all.
    pub(crate) log: Value<Option<Form>>,
    pub(crate) log_level: Value<Level>,
    /// Where spans go.
    pub(crate) otlp_endpoint: Value<Option<String>>,
    pub(crate) services: Vec<ServiceConfig>,
}

/// The environment, as far as it is asked.
struct Environment<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Environment<'_> {
    /// A variable's value; one that is empty counts as not set.
    fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Error>,
    ) -> Result<Option<Value<T>>, Failure> {
        let Some(text) = (self.0)(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let wrong = |why: &str| {
            Failure::usage(format!("{name}: {why}")).fix(format!("set {name} right, or unset it"))
        };
        let text = text.to_str().ok_or_else(|| wrong("it is no text"))?;
        let value = read(text).map_err(|error| wrong(error.message()))?;
        Ok(Some(Value { value, origin: Origin::Variable(name) }))
    }
}

impl Options {
    /// What holds for an engine that is started here and now.
    pub(crate) fn effective(&self) -> Result<Effective, Failure> {
        let here = std::env::current_dir().map_err(|error| {
            Failure::usage(format!("the working directory cannot be found: {error}"))
        })?;
        self.effective_in(&here, &|name| std::env::var_os(name))
    }

    fn effective_in(
        &self,
        here: &Path,
        variables: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Effective, Failure> {
        let environment = Environment(variables);
        let path = |text: &str| Ok(here.join(text));
        let config = match (&self.config, environment.read("PROCALL_CONFIG", path)?) {
            (Some(file), _) => {
                Value { value: Some(here.join(file)), origin: Origin::Flag("--config") }
            }
            (None, Some(Value { value, origin })) => Value { value: Some(value), origin },
            (None, None) => Value { value: ConfigFile::find(here)?, origin: Origin::Default },
        };
        let file = match &config.value {
            Some(path) => Some(ConfigFile::read(path).map_err(|error| {
                Failure::from(error).fix("repair the file; docs/src/configuration.md has every key")
            })?),
            None => None,
        };
        let said = file.as_ref().map(|file| (file.path.clone(), file.engine.clone()));
        let (file_path, engine) = said.unwrap_or_default();
        let placed = Layers { file: file_path };
        let logged = placed.read(engine.log, |text| text.parse().map(Some))?;
        let least = placed.read(engine.log_level, |text| log::level(&text))?;
        let path_of = |(flag, said): (&'static str, &Option<PathBuf>), variable, file| {
            let file: Option<Placed<PathBuf>> = file;
            Ok::<_, Failure>(placed.pick(
                (flag, said.as_ref().map(|path| Some(here.join(path)))),
                environment.read(variable, |text| Ok(Some(here.join(text))))?,
                file.map(|Placed { value, line }| Placed { value: Some(value), line }),
                None,
            ))
        };
        let fallback = LOOPBACK.parse().map_err(|error| Error::invalid(format!("{error}")))?;
        Ok(Effective {
            listen: placed.pick(
                ("--listen", (!self.listen.is_empty()).then(|| self.listen.clone())),
                environment.read("PROCALL_ENGINE_LISTEN", addresses)?,
                engine.listen,
                vec![fallback],
            ),
            tls_cert: path_of(
                ("--tls-cert", &self.tls_cert),
                "PROCALL_ENGINE_TLS_CERT",
                engine.tls_cert,
            )?,
            tls_key: path_of(
                ("--tls-key", &self.tls_key),
                "PROCALL_ENGINE_TLS_KEY",
                engine.tls_key,
            )?,
            tls_client_ca: path_of(
                ("--tls-client-ca", &self.tls_client_ca),
                "PROCALL_ENGINE_TLS_CLIENT_CA",
                engine.tls_client_ca,
            )?,
            state: path_of(("--state", &self.state), "PROCALL_ENGINE_STATE", engine.state)?,
            policy: placed.pick(
                ("--policy", self.policy),
                environment.read("PROCALL_ENGINE_POLICY", str::parse)?,
                engine.policy,
                Policy::default(),
            ),
            drain: placed.pick(
                ("--drain", self.drain),
                environment.read("PROCALL_ENGINE_DRAIN", parse_duration)?,
                engine.drain,
                DRAIN,
            ),
            queue: placed.pick(
                ("--queue", self.queue),
                environment
                    .read("PROCALL_ENGINE_QUEUE", |text| calls(text).map_err(Error::invalid))?,
                engine.queue,
                QUEUE,
            ),
            validate: placed.pick(
                ("--no-validate", self.no_validate.then_some(false)),
                environment.read("PROCALL_ENGINE_VALIDATE", truth)?,
                engine.validate,
                true,
            ),
            log: placed.pick(
                ("--log", self.log.map(Some)),
                environment.read("PROCALL_ENGINE_LOG", |text| text.parse().map(Some))?,
                logged,
                None,
            ),
            log_level: placed.pick(
                ("--log-level", self.log_level),
                environment.read("PROCALL_ENGINE_LOG_LEVEL", log::level)?,
                least,
                Level::INFO,
            ),
            otlp_endpoint: placed.pick(
                ("--otlp-endpoint", self.otlp_endpoint.clone().map(Some)),
                environment
                    .read("PROCALL_ENGINE_OTLP_ENDPOINT", |text| Ok(Some(text.to_owned())))?,
                engine
                    .otlp_endpoint
                    .map(|Placed { value, line }| Placed { value: Some(value), line }),
                None,
            ),
            services: file.map(|file| file.services).unwrap_or_default(),
            config,
        })
    }
}

/// The layers below flags and variables.
struct Layers {
    file: PathBuf,
}

impl Layers {
    /// What a text of the file means; a usage error with its line when it means nothing.
    fn read<T>(
        &self,
        placed: Option<Placed<String>>,
        read: impl FnOnce(String) -> Result<T, Error>,
    ) -> Result<Option<Placed<T>>, Failure> {
        let Some(Placed { value, line }) = placed else { return Ok(None) };
        let value = read(value).map_err(|error| {
            Failure::usage(format!("{}:{line}: {}", self.file.display(), error.message()))
                .fix("repair the file; docs/src/configuration.md has every key")
        })?;
        Ok(Some(Placed { value, line }))
    }

    fn pick<T>(
        &self,
        (flag, said): (&'static str, Option<T>),
        variable: Option<Value<T>>,
        placed: Option<Placed<T>>,
        default: T,
    ) -> Value<T> {
        if let Some(value) = said {
            return Value { value, origin: Origin::Flag(flag) };
        }
        if let Some(variable) = variable {
            return variable;
        }
        match placed {
            Some(Placed { value, line }) => {
                Value { value, origin: Origin::File(self.file.clone(), line) }
            }
            None => Value { value: default, origin: Origin::Default },
        }
    }
}

/// Several are separated by commas.
fn addresses(text: &str) -> Result<Vec<Address>, Error> {
    text.split(',')
        .map(|one| one.trim().parse().map_err(|error| Error::invalid(format!("{error}"))))
        .collect()
}

fn truth(text: &str) -> Result<bool, Error> {
    match text {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(Error::invalid(format!("\"{text}\" is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effective(
        options: &Options,
        here: &Path,
        variables: &[(&str, &str)],
    ) -> Result<Effective, Failure> {
        options.effective_in(here, &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("procall.toml");
        std::fs::write(&file, "[engine]\nqueue = 1\ndrain = \"1s\"\npolicy = \"round_robin\"\n")
            .unwrap();
        let options = Options { queue: Some(3), ..Options::default() };
        let variables = [
            ("PROCALL_ENGINE_QUEUE", "2"),
            ("PROCALL_ENGINE_DRAIN", "2s"),
            ("PROCALL_ENGINE_STATE", ""),
        ];
        let found = effective(&options, folder.path(), &variables).unwrap();
        assert_eq!((found.queue.value, found.queue.origin), (3, Origin::Flag("--queue")));
        assert_eq!(found.drain.value, Duration::from_secs(2));
        assert_eq!(found.drain.origin.to_string(), "variable PROCALL_ENGINE_DRAIN");
        assert_eq!(found.policy.value, Policy::RoundRobin);
        assert_eq!(found.policy.origin, Origin::File(file.clone(), 4));
        assert_eq!((found.state.value, found.state.origin), (None, Origin::Default));
        assert_eq!(found.config.value, Some(file));
        assert_eq!(found.listen.value[0].to_string(), LOOPBACK);
    }

    #[test]
    fn a_variable_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [
            ("PROCALL_ENGINE_QUEUE", "0"),
            ("PROCALL_ENGINE_DRAIN", "soon"),
            ("PROCALL_ENGINE_POLICY", "random"),
            ("PROCALL_ENGINE_LISTEN", "nowhere:x"),
            ("PROCALL_ENGINE_VALIDATE", "maybe"),
            ("PROCALL_CONFIG", "absent.toml"),
        ] {
            let failure = effective(&Options::default(), folder.path(), &[(name, value)]);
            let failure = failure.unwrap_err();
            assert_eq!(failure.exit_code(), crate::exit::USAGE, "{name}");
        }
    }
}
