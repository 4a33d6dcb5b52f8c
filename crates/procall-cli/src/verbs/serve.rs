//! `procall serve`: the engine in the foreground.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use procall::transport::Address;
use procall::{Error, ErrorCode, TlsServing, surroundings};
use procall_engine::{CallRecord, Engine, EngineBuilder};

use super::run::console::Console;
use crate::directory::counted;
use crate::failure::Failure;
use crate::log;
use crate::settings::{Effective, Options};
use crate::signals::Signals;
use crate::style::{Style, complain};
use crate::{duration, plain};

/// Where it answers HTTP unless told otherwise.
const HTTP: &str = "127.0.0.1:8081";

/// Least length in bytes of the token for HTTP, as of the engine's own tokens.
const MIN_TOKEN: usize = 16;

const EXAMPLES: &str = "Examples:
  procall serve                                 in the runtime directory, at 127.0.0.1:8080, and HTTP at 127.0.0.1:8081
  procall serve --listen tcp:127.0.0.1:9000     another port
  procall serve --state ~/.procall/state        a new engine knows at once who served what
  procall serve --log json --log-level warn     a line for what fails; text, or info, for more
  procall serve --listen unix:/run/hub.sock     another socket; peers say PROCALL_ENGINE=unix:/run/hub.sock
  procall serve --token-file ~/.procall/tokens  peers over TCP show a token; they say PROCALL_ENGINE_TOKEN_FILE=FILE
  procall serve --listen tls:0.0.0.0:8443 --tls-cert engine.pem --tls-key engine.key --token-file ~/.procall/tokens
                                                for other machines; they say PROCALL_ENGINE=tls:HOST:8443 and PROCALL_TLS_CA=FILE";

/// Run the engine: services register with it, and everybody calls them by name.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: Options,

    /// Where to answer HTTP and WebSocket; over TLS with `tls:` before it. 127.0.0.1:8081 without it, if nobody else is there.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<Http>,

    /// Do not answer HTTP.
    #[arg(long, conflicts_with_all = ["http", "http_host", "http_origin", "http_token_file"])]
    no_http: bool,

    /// Another name by which HTTP requests may ask for this engine, besides localhost; several are allowed.
    #[arg(long, value_name = "NAME")]
    http_host: Vec<String>,

    /// Another origin whose web pages may call, such as `https://app.example`; several are allowed.
    #[arg(long, value_name = "ORIGIN")]
    http_origin: Vec<String>,

    /// A file with a token that HTTP requests may bring, as `Authorization: Bearer TOKEN`, instead of one of --token-file; they must bring one
    /// or the other.
    #[arg(long, value_name = "FILE")]
    http_token_file: Option<PathBuf>,

    /// Listen outside this machine without TLS, or without --token-file: without TLS what goes over it can be read, tokens too, and without
    /// tokens anybody may call.
    #[arg(long)]
    insecure_listen: bool,

    /// Let peers over TCP, TLS and HTTP in only with a token of this file: a line each, `name secret rights…`; rights are call=PATTERN, register=PATTERN,
    /// broadcast, administer, or all. Nobody but you may be able to read the file.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Treat peers over TCP as guests although their process is one of yours. Say so where something of yours lets others in through that port:
    /// a proxy, or a tunnel.
    #[arg(long)]
    tcp_guests: bool,

    /// Compress long messages to and from peers that want it too, as those do that say PROCALL_COMPRESSION=1. For slow networks.
    #[arg(long)]
    compression: bool,

    /// Print what the workers of its services print as it is, without their names before it.
    #[arg(long)]
    raw: bool,
}

impl Serve {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let mut signals = Signals::new()?;
        let effective = self.options.effective()?;
        if let Some(form) = effective.log.value {
            log::begin(form, effective.log_level.value)?;
        }
        let engine = self.start(&effective, style)?;
        for warning in engine.warnings() {
            style.say(&format!("procall: {}", plain::text(warning)));
        }
        for address in engine.addresses() {
            style.say(&format!("procall: listening at {address}"));
        }
        match engine.http_url() {
            Some(url) => style.say(&format!("procall: http at {url}")),
            None if self.no_http => {}
            None => style.say(&format!(
                "procall: no http, because another process listens at {HTTP}; --http 127.0.0.1:0 takes any free port"
            )),
        }
        if let (Some(file), false) = (&effective.config.value, effective.services.is_empty()) {
            let services = counted(effective.services.len(), "service");
            style.say(&format!("procall: {services} of {}", file.display()));
        }
        style.hint("next: python calc.py, then procall ls in another terminal; Ctrl-C stops");
        tokio::select! {
            () = signals.next() => {}
            () = engine.asked_to_stop() => {}
        }
        style.say("procall: stopping; calls in flight may finish, Ctrl-C again ends them");
        tokio::select! {
            () = engine.stop() => Ok(()),
            () = signals.next() => Ok(()),
        }
    }

    fn start(&self, effective: &Effective, style: &Style) -> Result<Engine, Failure> {
        let console = Console::new(style, self.raw);
        let mut builder = Engine::builder()
            .policy(effective.policy.value)
            .drain(effective.drain.value)
            .queue(effective.queue.value)
            .validate(effective.validate.value)
            .own_user_over_tcp(!self.tcp_guests)
            .compression(self.compression || surroundings::compression())
            .listen(surroundings::address_of(procall_engine::NAME)?)
            .on_output(move |service, line| console.line(service, line))
            .on_worker_event(move |_, event| console.event(event))
            .on_service(move |news| console.service(news));
        if let Some(path) = &self.token_file {
            builder = builder.token_file(path)?;
        }
        if let Some(tls) = self.tls(effective)? {
            builder = builder.tls(tls);
        }
        for address in &effective.listen.value {
            self.check(address, self.token_file.is_some())?;
            builder = builder.listen(address.clone());
        }
        if let Some(state) = &effective.state.value {
            builder = builder.state(state);
        }
        for service in &effective.services {
            builder = builder.service(service.spec.clone());
        }
        if let Some(endpoint) = &effective.otlp_endpoint.value {
            builder = builder.otlp(endpoint)?;
        }
        if style.verbose && effective.log.value.is_none() {
            let style = *style;
            builder = builder.on_call(move |call| tell(style, call));
        }
        let builder = self.http(builder)?;
        self.start_with_http(builder).map_err(|error| match error.code() {
            ErrorCode::NameTaken => Failure::from(error)
                .fix("procall ps shows what runs; --listen tcp:127.0.0.1:0 --http 127.0.0.1:0 takes any free ports, --state another directory"),
            _ => error.into(),
        })
    }

    fn http(&self, mut builder: EngineBuilder) -> Result<EngineBuilder, Failure> {
        if let Some(http) = &self.http {
            let token = self.token_file.is_some() || self.http_token_file.is_some();
            self.check(&http.address(), token)?;
        }
        for host in &self.http_host {
            builder = builder.http_host(host);
        }
        for origin in &self.http_origin {
            builder = builder.http_origin(origin.trim_end_matches('/'));
        }
        if let Some(path) = &self.http_token_file {
            let secret = surroundings::read_secret(path)?;
            let text = String::from_utf8_lossy(&secret);
            let token = text.trim();
            if token.is_empty() {
                return Err(Failure::usage(format!("{} has no token", path.display()))
                    .fix("write one into it: openssl rand -hex 32 > FILE"));
            }
            if token.len() < MIN_TOKEN {
                let message = format!(
                    "the token in {} has {} bytes; it needs {MIN_TOKEN} or more",
                    path.display(),
                    token.len()
                );
                return Err(Failure::usage(message).fix("openssl rand -hex 32 > FILE"));
            }
            builder = builder.http_token(token);
        }
        Ok(builder)
    }

    /// The address that nobody asked for need not be free.
    fn start_with_http(&self, builder: EngineBuilder) -> Result<Engine, Error> {
        match self.http {
            _ if self.no_http => builder.start(),
            Some(Http { secure: true, socket }) => builder.https(socket).start(),
            Some(Http { secure: false, socket }) => builder.http(socket).start(),
            None => {
                let usual = HTTP.parse().map_err(|error| Error::invalid(format!("{error}")))?;
                match builder.clone().http(usual).start() {
                    Err(error) if error.code() == ErrorCode::NameTaken => builder.start(),
                    started => started,
                }
            }
        }
    }

    /// What is not this machine alone needs more than a port.
    fn check(&self, address: &Address, token: bool) -> Result<(), Failure> {
        let (loopback, secure) = match address {
            Address::Tcp(socket) => (socket.ip().is_loopback(), false),
            // The name of a host is refused when it is listened at.
            Address::Tls { host, .. } => {
                (host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()), true)
            }
            _ => (true, true),
        };
        if loopback || self.insecure_listen || (secure && token) {
            return Ok(());
        }
        let (why, fix) = match secure {
            false => (
                "nothing there is encrypted",
                "listen with tls: instead of tcp:, with --tls-cert, --tls-key and --token-file; or at 127.0.0.1; or say --insecure-listen if \
                 that is what you want",
            ),
            true => (
                "anybody there may call",
                "say who may, with --token-file; or listen at 127.0.0.1; or say --insecure-listen if that is what you want",
            ),
        };
        Err(Failure::usage(format!("{address} can be reached from other machines, and {why}"))
            .fix(fix))
    }

    /// Who the engine is over TLS, if it is spoken anywhere.
    fn tls(&self, effective: &Effective) -> Result<Option<TlsServing>, Failure> {
        let spoken = |address: &Address| matches!(address, Address::Tls { .. });
        let spoken = effective.listen.value.iter().any(spoken)
            || self.http.as_ref().is_some_and(|http| http.secure);
        let Effective { tls_cert, tls_key, tls_client_ca, .. } = effective;
        match (&tls_cert.value, &tls_key.value) {
            (Some(cert), Some(key)) if spoken => Ok(Some(TlsServing {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: tls_client_ca.value.clone(),
            })),
            // Whoever gives a certificate believes that something is encrypted.
            _ if !spoken => match [tls_cert, tls_key, tls_client_ca]
                .into_iter()
                .find(|file| file.value.is_some())
            {
                None => Ok(None),
                Some(given) => Err(Failure::usage(format!(
                    "there is a file for TLS ({}), and nothing listens for TLS",
                    given.origin
                ))
                .fix("say where: --listen tls:127.0.0.1:8443, or --http tls:127.0.0.1:8444")),
            },
            _ => Err(Failure::usage("TLS needs a certificate and its key".to_owned())
                .fix("give both: --tls-cert FILE --tls-key FILE")),
        }
    }
}

/// Where HTTP is answered.
#[derive(Debug, Clone, Copy)]
struct Http {
    secure: bool,
    socket: SocketAddr,
}

impl Http {
    fn address(self) -> Address {
        match self.secure {
            true => Address::Tls { host: self.socket.ip().to_string(), port: self.socket.port() },
            false => Address::Tcp(self.socket),
        }
    }
}

impl FromStr for Http {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (secure, rest) = match (text.strip_prefix("tls:"), text.strip_prefix("tcp:")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => (false, text),
        };
        let socket = rest.parse().map_err(|_| {
            "it is an IP address and a port, such as 127.0.0.1:8081, or tls:127.0.0.1:8081 for https"
                .to_owned()
        })?;
        Ok(Self { secure, socket })
    }
}

/// One line for a call that is over.
fn tell(style: Style, call: &CallRecord) {
    if style.json {
        return complain(&call.to_json().to_string());
    }
    let outcome = match call.failure {
        None => "ok".to_owned(),
        Some((code, executed)) => style.err.bad(&format!("{code} (executed: {executed})")),
    };
    let worker = call.worker.as_deref().unwrap_or("nobody");
    // Names are free of control characters: the session and the directory see to that.
    complain(&format!(
        "#{} {} by {worker}: {outcome}  queued {}  worked {}  {} in flight",
        call.call,
        call.method,
        duration::short(call.queued),
        duration::short(call.worked),
        call.in_flight,
    ));
}
