//! `procall`: run workers, list and call their methods, from a terminal or a script.
#![deny(unsafe_code)]

mod arguments;
mod bar;
mod directory;
mod duration;
mod engine;
mod exchange;
mod exit;
mod failure;
mod log;
mod output;
mod plain;
mod process;
mod schema;
mod settings;
mod signals;
mod style;
mod table;
mod target;
mod values;
mod verbs;
mod workers;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use procall::{Error, ErrorCode};

use failure::Failure;
use style::Style;

const EXAMPLES: &str = "Examples:
  procall run calc.py                start workers, and serve their methods
  procall call calc.add a=2 b=3      call one
  procall ls                         what can be called";

/// Call functions in other processes and languages, and run the processes that serve them.
#[derive(Debug, Parser)]
#[command(name = "procall", version, before_help = EXAMPLES, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// Results as JSON on standard output, errors as JSON on standard error.
    #[arg(long, global = true)]
    json: bool,

    /// No messages and no progress; results and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// More: whole traces, schemas, last words.
    #[arg(short, long, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(verbs::serve::Serve),
    Run(verbs::run::Run),
    Dev(verbs::dev::Dev),
    Ls(verbs::ls::Ls),
    Describe(verbs::describe::Describe),
    Call(verbs::call::Call),
    Stream(verbs::stream::Stream),
    Ps(verbs::ps::Ps),
    Calls(verbs::calls::Calls),
    Cancel(verbs::cancel::Cancel),
    Events(verbs::events::Events),
    Logs(verbs::logs::Logs),
    Drain(verbs::drain::Drain),
    Restart(verbs::restart::Restart),
    Stop(verbs::stop::Stop),
    Chaos(verbs::chaos::Chaos),
    Limits(verbs::limits::Limits),
    Doctor(verbs::doctor::Doctor),
    Completions(verbs::completions::Completions),
    Config(verbs::config::Config),
    Explain(verbs::explain::Explain),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output and is no error; the rest does not and is.
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            // With nobody to read it there is nobody to tell either.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let style = Style::new(cli.json, cli.quiet, cli.verbose);
    match start(cli.verb, &style) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(failure) => {
            failure.print(&style);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn start(verb: Verb, style: &Style) -> Result<(), Failure> {
    if let Verb::Explain(explain) = verb {
        return explain.run(style);
    }
    if let Verb::Config(config) = verb {
        return config.run(style);
    }
    // What carries calls for others has threads, the rest needs none.
    let mut builder = match verb {
        Verb::Run(_) | Verb::Dev(_) | Verb::Serve(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build().map_err(|error| {
        Error::new(ErrorCode::Internal, "the runtime cannot be started").with_source(error)
    })?;
    runtime.block_on(async {
        match verb {
            Verb::Serve(serve) => serve.run(style).await,
            Verb::Run(run) => run.run(style).await,
            Verb::Dev(dev) => dev.run(style).await,
            Verb::Ls(ls) => ls.run(style).await,
            Verb::Describe(describe) => describe.run(style).await,
            Verb::Call(call) => call.run(style).await,
            Verb::Stream(stream) => stream.run(style).await,
            Verb::Ps(ps) => ps.run(style).await,
            Verb::Calls(calls) => calls.run(style).await,
            Verb::Cancel(cancel) => cancel.run(style).await,
            Verb::Events(events) => events.run(style).await,
            Verb::Logs(logs) => logs.run(style).await,
            Verb::Drain(drain) => drain.run(style).await,
            Verb::Restart(restart) => restart.run(style).await,
            Verb::Stop(stop) => stop.run(style).await,
            Verb::Chaos(chaos) => chaos.run(style).await,
            Verb::Limits(limits) => limits.run(style),
            Verb::Doctor(doctor) => doctor.run(style).await,
            Verb::Completions(completions) => completions.run(&mut Cli::command()),
            Verb::Config(config) => config.run(style),
            Verb::Explain(explain) => explain.run(style),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_examples_first() {
        for verb in Cli::command().get_subcommands_mut() {
            let help = verb.render_long_help().to_string();
            let name = verb.get_name().to_owned();
            assert!(help.starts_with(&format!("Examples:\n  procall {name}")), "{help}");
        }
    }
}
