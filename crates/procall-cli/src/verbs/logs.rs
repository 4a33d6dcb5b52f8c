//! `procall logs`: what workers print.

use std::collections::HashMap;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use procall::ErrorCode;
use procall::Stream;

use crate::directory::{Directory, Service};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::style::Style;
use crate::workers::{self, LogLine};
use crate::{output, plain};

const EXAMPLES: &str = "Examples:
  procall logs                       the last lines of all workers
  procall logs -f calc               those of one service, and what comes
  procall logs -f -n 0 calc/2        only what comes, of one worker
  procall logs --json                one object a line";

/// Show what workers print: those of every `procall run`, and of the services that an engine starts.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Logs {
    /// A service, or one worker; all of them without it.
    #[arg(value_name = "SERVICE|WORKER")]
    target: Option<String>,

    /// Go on with what comes, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,

    /// Begin with so many of the last lines of each service; up to 1,000 are kept.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: u32,

    /// Ask only the service at this address, such as unix:/run/calc.sock.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Logs {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let directory = Directory::survey(self.at.as_deref()).await?;
        let asked: Vec<(&Service, Option<&str>)> = directory
            .services
            .iter()
            .filter(|service| service.workers.is_some())
            .filter_map(|service| self.part(service).map(|worker| (service, worker)))
            .collect();
        let engines: Vec<&Engine> =
            directory.engines.iter().filter(|engine| self.of(engine)).collect();
        if asked.is_empty() && engines.is_empty() {
            return Err(self.nobody());
        }
        let mut colours = HashMap::new();
        let mut lines: SelectAll<Stream<LogLine>> = SelectAll::new();
        for (service, worker) in asked {
            let params = (worker, self.lines, self.follow);
            lines.push(service.client.stream(workers::LOGS, params));
        }
        for engine in engines {
            let params = (self.target.as_deref(), self.lines, self.follow);
            lines.push(engine.client.stream("procall.engine.logs", params));
        }
        while let Some(line) = lines.next().await {
            print(&line?, &mut colours, style)?;
        }
        Ok(())
    }

    /// Whether an engine starts what is meant.
    fn of(&self, engine: &Engine) -> bool {
        match self.target.as_deref() {
            None => !engine.started.is_empty(),
            Some(target) => {
                let service = target.rsplit_once('/').map(|(service, _)| service);
                engine.starts(target) || service.is_some_and(|service| engine.starts(service))
            }
        }
    }

    /// Whether a service is meant, and which one of its workers.
    fn part(&self, service: &Service) -> Option<Option<&str>> {
        let Some(target) = self.target.as_deref() else { return Some(None) };
        if target == service.name || target == service.registration.name {
            return Some(None);
        }
        let workers = service.workers.iter().flatten();
        workers.into_iter().any(|worker| worker.name == target).then_some(Some(target))
    }

    fn nobody(&self) -> Failure {
        let fix = "procall ps   shows the workers; only those of a procall run, and of the services in the procall.toml of an engine, have their lines kept";
        let message = match &self.target {
            Some(target) => format!("there is no worker \"{target}\" whose lines are kept"),
            None => "no worker runs here whose lines are kept".to_owned(),
        };
        Failure::new(ErrorCode::NotFound, message).fix(fix)
    }
}

fn print(
    line: &LogLine,
    colours: &mut HashMap<String, usize>,
    style: &Style,
) -> Result<(), Failure> {
    if style.json {
        let text = serde_json::to_string(line)
            .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?;
        return output::json(&text, style);
    }
    if line.missed > 0 {
        style.say(&format!("({} lines were missed: this reader is too slow)", line.missed));
        return Ok(());
    }
    let next = colours.len();
    let colour = *colours.entry(line.worker.clone()).or_insert(next);
    let call = match (line.engine_call.or(line.call), &line.method) {
        (Some(call), Some(method)) if style.verbose => format!(" #{call} {}", plain::line(method)),
        _ => String::new(),
    };
    let prefix = style.out.worker(colour, &format!("{}{call} |", plain::line(&line.worker)));
    output::line(&format!("{prefix} {}", plain::output(&line.text)))
}
