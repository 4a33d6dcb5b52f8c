//! What `run` and `serve` print: the workers' lines, and what happens to them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use procall_engine::workers::Seen;
use procall_engine::{ServiceNews, ServiceState};
use procall_pool::{Event, Happening, Outlet, OutputLine};
use serde_json::{Value, json};

use super::site::Site;
use crate::directory::counted;
use crate::duration;
use crate::failure::Failure;
use crate::plain;
use crate::schema;
use crate::style::Style;
use crate::verbs::dev::names;

/// Files whose workers have colours of their own before they come round again.
const COLOURS_A_FILE: usize = 2;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    style: Style,
    raw: bool,
}

impl Console {
    pub(crate) fn new(style: &Style, raw: bool) -> Self {
        Self { style: *style, raw }
    }

    /// Prints the lines of a file's workers, each where the worker printed it.
    pub(super) fn on_output(
        &self,
        file: usize,
        seen: Seen,
    ) -> impl FnMut(&OutputLine) + Send + 'static {
        let console = *self;
        move |line| {
            seen.hear_line(line);
            console.line(file, line);
        }
    }

    /// Prints one line of the workers of a file, or of a service, by its place.
    pub(crate) fn line(&self, file: usize, line: &OutputLine) {
        if self.style.json {
            let outlet = match line.outlet {
                Outlet::Stdout => "stdout",
                Outlet::Stderr => "stderr",
            };
            return print(&json!({
                "event": "line", "worker": &*line.worker, "pid": line.pid,
                "outlet": outlet, "text": line.text, "unfinished": line.unfinished,
                "call": line.call, "method": line.method.as_deref(), "engine_call": line.engine_call,
            }));
        }
        let paint = match line.outlet {
            Outlet::Stdout => self.style.out,
            Outlet::Stderr => self.style.err,
        };
        let number = line.worker.rsplit('/').next().and_then(|text| text.parse().ok());
        let colour = file * COLOURS_A_FILE + number.unwrap_or(1_usize) - 1;
        let call = match (line.engine_call.or(line.call), &line.method) {
            (Some(call), Some(method)) if self.style.verbose => {
                format!(" #{call} {}", plain::line(method))
            }
            _ => String::new(),
        };
        let prefix = match self.raw {
            true => String::new(),
            false => format!("{} ", paint.worker(colour, &format!("{}{call} |", line.worker))),
        };
        let text = if self.raw { line.text.as_str().into() } else { plain::output(&line.text) };
        // A terminal that is gone takes no line; the workers go on.
        let _ = match line.outlet {
            Outlet::Stdout => writeln!(std::io::stdout().lock(), "{prefix}{text}"),
            Outlet::Stderr => writeln!(std::io::stderr().lock(), "{prefix}{text}"),
        };
    }

    /// Tells what happens to a file's workers.
    pub(super) fn on_event(&self, seen: Seen) -> impl FnMut(&Event) + Send + 'static {
        let console = *self;
        move |event| {
            seen.hear(event);
            console.event(event);
        }
    }

    /// Tells what happened to a worker.
    pub(crate) fn event(&self, event: &Event) {
        let (name, detail) = match &event.happening {
            Happening::Started => ("started", None),
            Happening::Ready => ("ready", None),
            Happening::Suspected => ("suspected", None),
            Happening::Recovered => ("recovered", None),
            Happening::Draining => ("draining", None),
            Happening::Replacing { reason } => ("replacing", Some(reason.clone())),
            Happening::Exited { reason } => ("exited", Some(reason.clone())),
            Happening::Restarting { pause } => ("restarting", Some(duration::short(*pause))),
            Happening::Failed { reason } => ("failed", Some(reason.clone())),
            Happening::Stopped => ("stopped", None),
            _ => ("other", None),
        };
        if self.style.json {
            return print(&json!({
                "event": name, "worker": &*event.worker, "pid": event.pid, "detail": detail,
            }));
        }
        let minor = matches!(name, "started" | "draining" | "stopped" | "other");
        if minor && !self.style.verbose {
            return;
        }
        let paint = self.style.err;
        let text = match &event.happening {
            Happening::Restarting { pause } => {
                format!("{} will be started again in {}", event.worker, duration::short(*pause))
            }
            _ => event.to_string(),
        };
        let text = plain::text(&text);
        self.style.say(&match name {
            "exited" | "failed" | "suspected" => paint.bad(&text),
            _ => paint.dim(&text),
        });
    }

    /// Tells what a service that the engine starts does from now on.
    pub(crate) fn service(&self, news: &ServiceNews<'_>) {
        let (state, detail) = match news.state {
            ServiceState::Starting => ("starting", None),
            ServiceState::Running { methods, workers } => {
                let all = [counted(*workers, "worker"), counted(methods.len(), "method")];
                ("running", Some(all.join(", ")))
            }
            ServiceState::Failed { why, again } => {
                let again = format!("; again in {} at the earliest", duration::short(*again));
                ("failed", Some(format!("{}{again}", why.message())))
            }
            ServiceState::Stopping { why } => ("stopping", Some((*why).to_owned())),
            ServiceState::Asleep => ("asleep", Some("a call starts it".to_owned())),
            _ => ("other", None),
        };
        if self.style.json {
            return print(&json!({
                "event": "service", "service": news.service, "state": state, "detail": detail,
            }));
        }
        let minor = !matches!(state, "running" | "failed" | "stopping");
        if minor && !self.style.verbose {
            return;
        }
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        let does = match state {
            "running" => "runs",
            "failed" => "has failed",
            "stopping" => "stops",
            "asleep" => "sleeps",
            state => state,
        };
        let text = plain::text(&format!("{} {does}{detail}", news.service)).into_owned();
        let paint = self.style.err;
        self.style.say(&if state == "failed" { paint.bad(&text) } else { paint.dim(&text) });
    }

    /// Says that a service can be called, and what it has.
    pub(super) fn serving(&self, site: &Site) {
        let methods = site.methods();
        let workers = site.pool().workers().len();
        if self.style.json {
            return print(&json!({
                "event": "serving", "service": site.name, "file": site.file.display().to_string(),
                "address": site.address().to_string(), "workers": workers,
                "pid": std::process::id(), "methods": methods,
            }));
        }
        let paint = self.style.err;
        self.style.say(&format!(
            "{}  {} of {}, {}",
            paint.bold(&site.name),
            counted(workers, "worker"),
            site.file.display(),
            counted(methods.len(), "method")
        ));
        for method in &methods {
            let what = plain::line(method.description.lines().next().unwrap_or_default());
            let signature = schema::signature(method);
            let line = format!("  {}  {}", plain::line(&signature), paint.dim(&what));
            self.style.say(line.trim_end());
        }
    }

    /// Says that sources of a service have changed, and that new workers are started for it.
    pub(crate) fn changed(&self, site: &Site, changed: &BTreeSet<PathBuf>) {
        if self.style.json {
            let files: Vec<String> =
                changed.iter().map(|path| path.display().to_string()).collect();
            return print(&json!({ "event": "changed", "service": site.name, "files": files }));
        }
        let text = format!("{} has changed: starting {} anew", names(changed), site.name);
        self.style.say(&self.style.err.dim(&plain::text(&text)));
    }

    /// Says that the new workers have taken over.
    pub(crate) fn reloaded(&self, site: &Site) {
        let (methods, workers) = (site.methods(), site.pool().workers().len());
        if self.style.json {
            return print(&json!({
                "event": "reloaded", "service": site.name, "workers": workers, "methods": methods,
            }));
        }
        let all = [counted(workers, "worker"), counted(methods.len(), "method")].join(", ");
        self.style.say(&format!("{}  reloaded: {all}", self.style.err.bold(&site.name)));
    }

    /// Says why new workers did not come up, with their last words.
    pub(crate) fn not_reloaded(&self, site: &Site, failure: &Failure) {
        let detail = "the workers from before serve on";
        if self.style.json {
            let error = failure.to_json()["error"].take();
            return print(&json!({
                "event": "not_reloaded", "service": site.name, "detail": detail, "error": error,
            }));
        }
        failure.print(&self.style);
        let text = format!("{} was not reloaded: {detail}", site.name);
        self.style.say(&self.style.err.bad(&plain::text(&text)));
    }

    /// Says what to do next.
    pub(super) fn next(&self, sites: &[Site]) {
        let first = sites.iter().find_map(|site| site.methods().into_iter().next());
        if let (Some(method), false) = (first, self.style.json) {
            self.style.hint(&schema::example(&method));
        }
    }

    pub(crate) fn say(&self, text: &str) {
        if self.style.json {
            print(&json!({ "event": "run", "detail": text }));
        } else {
            self.style.say(text);
        }
    }
}

/// One line of NDJSON on standard output.
pub(crate) fn print(value: &Value) {
    // With nobody to read it there is nobody to tell either.
    let text = value.to_string();
    let _ = writeln!(std::io::stdout().lock(), "{}", plain::text(&text));
}
