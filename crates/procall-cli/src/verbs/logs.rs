//! `procall logs`: what workers print.

use std::collections::HashMap;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use procall::ErrorCode;
use procall::Stream;

use crate::directory::{Directory, Service};
use crate::failure::Failure;
use crate::style::Style;
use crate::workers::{self, LogLine};
use crate::{output, plain};

const EXAMPLES: &str = "Examples:
  procall logs                       the last lines of all workers
  procall logs -f calc               those of one service, and what comes
  procall logs -f -n 0 calc/2        only what comes, of one worker
  procall logs --json                one object a line";

/// Show what the workers of every `procall run` print.
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
        if asked.is_empty() {
            return Err(self.nobody());
        }
        let mut colours = HashMap::new();
        let mut lines: SelectAll<_> = select_all(asked.into_iter().map(|(service, worker)| {
            let params = (worker, self.lines, self.follow);
            let lines: Stream<LogLine> = service.client.stream(workers::LOGS, params);
            lines
        }));
        while let Some(line) = lines.next().await {
            print(&line?, &mut colours, style)?;
        }
        Ok(())
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
        let fix =
            "procall ps   shows the workers; only those of a procall run have their lines kept";
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
    let call = match (line.call, &line.method) {
        (Some(call), Some(method)) if style.verbose => format!(" #{call} {}", plain::line(method)),
        _ => String::new(),
    };
    let prefix = style.out.worker(colour, &format!("{}{call} |", plain::line(&line.worker)));
    output::line(&format!("{prefix} {}", plain::output(&line.text)))
}
