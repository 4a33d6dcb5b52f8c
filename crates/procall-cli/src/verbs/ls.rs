//! `procall ls`: what can be called.

use clap::Args;
use serde_json::{Value, json};

use crate::directory::{Directory, Service};
use crate::failure::Failure;
use crate::style::Style;
use crate::table::Table;
use crate::{output, schema};

const EXAMPLES: &str = "Examples:
  procall ls                         every method of every service that runs
  procall ls calc                    those whose name contains calc
  procall ls 'calc.*'                those that match
  procall ls --json";

/// List the methods that can be called.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Ls {
    /// Part of a method's name, or a pattern with * and ?.
    pattern: Option<String>,

    /// Ask only the service at this address, such as tcp:127.0.0.1:9000.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Ls {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let directory = Directory::survey(self.at.as_deref()).await?;
        if let (Some(_), Some((_, error))) = (&self.at, directory.silent.first()) {
            return Err(error.clone().into());
        }
        let wanted =
            |name: &str| self.pattern.as_deref().is_none_or(|pattern| matches(pattern, name));
        if style.json {
            return output::json(&listed(&directory, wanted).to_string(), style);
        }
        if directory.services.is_empty() && directory.silent.is_empty() {
            style.hint(match directory.engines.is_empty() {
                true => "nothing runs here; start something: procall run calc.py",
                false => {
                    "nobody has registered with the engine yet; start something: python calc.py"
                }
            });
            return Ok(());
        }
        let mut table = Table::new(&["METHOD", "PARAMS", "RESULT", "WORKERS", "DESCRIPTION"]);
        let mut first = None;
        for service in directory.called() {
            for method in service.methods().filter(|method| wanted(&method.name)) {
                first = first.or(Some(method));
                table.row(vec![
                    method.name.clone(),
                    schema::parameter_list(method),
                    schema::result(method),
                    workers(service, &method.name),
                    method.description.lines().next().unwrap_or_default().to_owned(),
                ]);
            }
        }
        for (name, error) in &directory.silent {
            let dash = || "-".to_owned();
            let says = format!("({})", error.message());
            table.row(vec![format!("{name}.?"), dash(), dash(), dash(), says]);
        }
        table.lines(style).iter().try_for_each(|line| output::line(line))?;
        match (first, &self.pattern) {
            (Some(method), _) => style.hint(&schema::example(method)),
            (None, Some(pattern)) => style.hint(&format!("no method matches {pattern}")),
            (None, None) => {}
        }
        Ok(())
    }
}

fn workers(service: &Service, method: &str) -> String {
    match service.workers_of(method) {
        Some(0) if service.through.is_some() => "away".to_owned(),
        Some(workers) => workers.to_string(),
        None => "-".to_owned(),
    }
}

/// The object of `--json`.
fn listed(directory: &Directory, wanted: impl Fn(&str) -> bool) -> Value {
    let services: Vec<Value> = directory
        .called()
        .map(|service| {
            let peers = service.through.as_ref().map(|through| &through.peers);
            let peers = peers.map(|peers| peers.iter().map(|peer| &*peer.name).collect::<Vec<_>>());
            let away = service.methods().filter(|method| {
                service.through.is_some() && service.workers_of(&method.name) == Some(0)
            });
            let away: Vec<&str> = away.map(|method| &*method.name).collect();
            let workers = match &peers {
                Some(peers) => Some(peers.len()),
                None => service.workers.as_ref().map(Vec::len),
            };
            let methods: Vec<_> = service.methods().filter(|method| wanted(&method.name)).collect();
            json!({
                "service": service.name,
                "version": service.registration.version,
                "description": service.registration.description,
                "pid": service.pid,
                "workers": workers,
                "peers": peers,
                "away": away,
                "methods": methods,
            })
        })
        .collect();
    let silent: Vec<Value> = directory
        .silent
        .iter()
        .map(|(name, error)| {
            json!({ "service": name, "code": error.code().name(), "message": error.message() })
        })
        .collect();
    json!({ "services": services, "silent": silent })
}

/// Whether a name has a pattern in it, or is what a pattern with `*` and `?` says.
fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return name.contains(pattern);
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where to go on when the text after a star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&c) if c == '?' || c == name[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((star_at, begun)) => {
                    at = star_at + 1;
                    from = begun + 1;
                    star = Some((star_at, begun + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("ad", "calc.add"), ("calc.*", "calc.add"), ("*", ""), ("c*d?", "calc.add1")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("sub", "calc.add"), ("calc.?", "calc.add"), ("*x", "calc.add")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
