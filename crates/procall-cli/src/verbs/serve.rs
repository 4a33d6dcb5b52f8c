//! `procall serve`: the engine in the foreground.

use clap::Args;
use procall::transport::Address;
use procall::{ErrorCode, surroundings};
use procall_engine::Engine;

use super::run::console::Console;
use crate::directory::counted;
use crate::failure::Failure;
use crate::plain;
use crate::settings::{Effective, Options};
use crate::signals::Signals;
use crate::style::Style;

const EXAMPLES: &str = "Examples:
  procall serve                                 in the runtime directory, and at 127.0.0.1:8080
  procall serve --listen tcp:127.0.0.1:9000     another port
  procall serve --state ~/.procall/state        a new engine knows at once who served what
  procall serve --listen unix:/run/hub.sock     another socket; peers say PROCALL_ENGINE=unix:/run/hub.sock";

/// Run the engine: services register with it, and everybody calls them by name.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: Options,

    /// Listen outside this machine although nothing is encrypted and anybody may call.
    #[arg(long)]
    insecure_listen: bool,

    /// Print what the workers of its services print as it is, without their names before it.
    #[arg(long)]
    raw: bool,
}

impl Serve {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let mut signals = Signals::new()?;
        let effective = self.options.effective()?;
        let engine = self.start(&effective, Console::new(style, self.raw))?;
        for warning in engine.warnings() {
            style.say(&format!("procall: {}", plain::text(warning)));
        }
        for address in engine.addresses() {
            style.say(&format!("procall: listening at {address}"));
        }
        if let (Some(file), false) = (&effective.config.value, effective.services.is_empty()) {
            let services = counted(effective.services.len(), "service");
            style.say(&format!("procall: {services} of {}", file.display()));
        }
        style.hint("next: python calc.py, then procall ls in another terminal; Ctrl-C stops");
        signals.next().await;
        style.say("procall: stopping; calls in flight may finish, Ctrl-C again ends them");
        tokio::select! {
            () = engine.stop() => Ok(()),
            () = signals.next() => Ok(()),
        }
    }

    fn start(&self, effective: &Effective, console: Console) -> Result<Engine, Failure> {
        let mut builder = Engine::builder()
            .policy(effective.policy.value)
            .drain(effective.drain.value)
            .queue(effective.queue.value)
            .validate(effective.validate.value)
            .listen(surroundings::address_of(procall_engine::NAME)?)
            .on_output(move |service, line| console.line(service, line))
            .on_worker_event(move |_, event| console.event(event))
            .on_service(move |news| console.service(news));
        for address in &effective.listen.value {
            self.check(address)?;
            builder = builder.listen(address.clone());
        }
        if let Some(state) = &effective.state.value {
            builder = builder.state(state);
        }
        for service in &effective.services {
            builder = builder.service(service.spec.clone());
        }
        builder.start().map_err(|error| match error.code() {
            ErrorCode::NameTaken => Failure::from(error)
                .fix("procall ps shows what runs; --listen tcp:127.0.0.1:0 takes any free port, --state another directory"),
            _ => error.into(),
        })
    }

    /// What is not this machine alone needs more than a port.
    fn check(&self, address: &Address) -> Result<(), Failure> {
        match address {
            Address::Tcp(socket) if !socket.ip().is_loopback() && !self.insecure_listen => {
                Err(Failure::usage(format!(
                    "{address} can be reached from other machines, and nothing there is encrypted"
                ))
                .fix("listen at 127.0.0.1, or say --insecure-listen if that is what you want"))
            }
            _ => Ok(()),
        }
    }
}
