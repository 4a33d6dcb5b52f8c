//! Errors as people and scripts read them.

use procall::{Error, ErrorCode, Executed};
use serde_json::{Value, json};

use crate::exit;
use crate::plain;
use crate::style::{Style, complain};

/// Lines of a stack trace or of last words that are shown without `-v`.
const LINES: usize = 8;

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Error,
    exit: Option<u8>,
    fix: Option<String>,
    /// Names that were perhaps meant, each with what is known of it.
    meant: Vec<(String, String)>,
    /// It is nobody's fault, and nobody is there to read of it.
    silent: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, exit: None, fix: None, meant: Vec::new(), silent: false }
    }
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error::new(code, message).into()
    }

    /// A wrong argument of the command.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// The user said stop.
    pub(crate) fn interrupted(message: impl Into<String>, executed: Executed) -> Self {
        Error::new(ErrorCode::Cancelled, message).with_executed(executed).into()
    }

    /// Whoever read standard output has gone: the command ends, and quietly.
    pub(crate) fn reader_left() -> Self {
        let failure = Self::new(ErrorCode::Closed, "nobody reads standard output any more");
        Self { silent: true, exit: Some(exit::OK), ..failure }
    }

    /// The same with what to do, instead of what the code's entry says.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same with another exit code than its code's.
    pub(crate) fn exit(mut self, exit: u8) -> Self {
        self.exit = Some(exit);
        self
    }

    /// Names that were perhaps meant, each with what is known of it.
    pub(crate) fn meant(mut self, meant: Vec<(String, String)>) -> Self {
        self.meant = meant;
        self
    }

    /// The same with what is known of whether the handler ran.
    pub(crate) fn executed(mut self, executed: Executed) -> Self {
        self.error = self.error.with_executed(executed);
        self
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.error.code()
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit.unwrap_or_else(|| exit::of(self.error.code()))
    }

    fn candidates(&self) -> Vec<(&str, &str)> {
        if self.meant.is_empty() {
            return self.error.candidates().iter().map(|name| (&**name, "")).collect();
        }
        self.meant.iter().map(|(name, known)| (&**name, &**known)).collect()
    }

    /// Prints it on standard error: as text, or as one JSON object.
    pub(crate) fn print(&self, style: &Style) {
        if self.silent {
            return;
        }
        if style.json {
            return complain(&plain::text(&self.to_json().to_string()));
        }
        for line in self.lines(style) {
            complain(&line);
        }
    }

    /// The error object of `--json`.
    pub(crate) fn to_json(&self) -> Value {
        let error = &self.error;
        let mut object = json!({
            "code": error.code().name(),
            "message": error.message(),
            "executed": error.executed().to_string(),
            "retryable": error.is_retryable(),
            "exit": self.exit_code(),
            "fix": self.fix.as_deref().unwrap_or(error.code().fix()),
        });
        let names: Vec<&str> = self.candidates().into_iter().map(|(name, _)| name).collect();
        let optional = [
            ("type", error.remote_type().map(Value::from)),
            ("worker", error.worker().map(Value::from)),
            ("trace", error.trace().map(Value::from)),
            ("retry_after_ms", error.retry_after().map(|pause| json!(pause.as_millis() as u64))),
            ("no_retry", error.no_retry().then_some(Value::Bool(true))),
            ("attempts", (error.attempts() > 1).then(|| error.attempts().into())),
            ("candidates", some(&names).map(|names| json!(names))),
            ("fields", some(error.fields()).map(|fields| json!(fields))),
            ("details", self.details()),
            ("cause", std::error::Error::source(error).map(|cause| cause.to_string().into())),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                object[name] = value;
            }
        }
        json!({ "error": object })
    }

    /// The service's own error value, where JSON can say it.
    fn details(&self) -> Option<Value> {
        let details = self.error.raw_details();
        if details.is_empty() {
            return None;
        }
        procall::json::to_json(details).ok().and_then(|text| serde_json::from_slice(&text).ok())
    }

    fn lines(&self, style: &Style) -> Vec<String> {
        let error = &self.error;
        let paint = style.err;
        let message = match error.remote_type() {
            Some(class) => format!("{class}: {}", error.message()),
            None => error.message().to_owned(),
        };
        let message = plain::text(&message);
        let (first, rest) = message.split_once('\n').unwrap_or((&message, ""));
        let mut rows: Vec<(&str, String)> = Vec::new();
        let candidates = self.candidates();
        if !candidates.is_empty() {
            let shown = candidates.into_iter().map(|(name, known)| match known {
                "" => name.to_owned(),
                known => format!("{name}   ({known})"),
            });
            rows.push(("did you mean", shown.collect::<Vec<_>>().join("\n")));
        }
        for field in error.fields() {
            rows.push(("field", format!("{}: {}", shown_path(&field.path), field.message)));
        }
        if let Some(worker) = error.worker() {
            rows.push(("worker", worker.to_owned()));
        }
        if let Some(cause) = std::error::Error::source(error) {
            rows.push(("cause", cause.to_string()));
        }
        if let Some(details) = self.details() {
            rows.push(("details", details.to_string()));
        }
        if let Some(trace) = error.trace() {
            let label = match error.code() {
                ErrorCode::WorkerLost
                | ErrorCode::SpawnFailed
                | ErrorCode::NoWorker
                | ErrorCode::Closed => "stderr",
                _ => "trace",
            };
            rows.push((label, shown_trace(trace, style.verbose)));
        }
        if let Some(pause) = error.retry_after() {
            rows.push(("again", format!("after {pause:?}")));
        }
        if error.code() != ErrorCode::Cancelled {
            rows.push(("fix", self.fix.clone().unwrap_or_else(|| error.code().fix().to_owned())));
            rows.push(("more", format!("procall explain {}", error.code())));
        }
        let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
        let head = paint.bad(&format!("error[{}]", error.code()));
        let executed = match error.attempts() {
            1 => paint.dim(&format!("executed: {}", error.executed())),
            made => paint.dim(&format!("executed: {}, attempts: {made}", error.executed())),
        };
        let mut lines = vec![format!("{head} {first}   {executed}")];
        lines.extend(rest.lines().map(|line| format!("  {line}")));
        for (label, text) in rows {
            for (at, text) in plain::text(&text).lines().enumerate() {
                let label = if at == 0 { label } else { "" };
                lines.push(format!("  {}  {text}", paint.dim(&format!("{label:<width$}"))));
            }
        }
        lines
    }
}

fn some<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

/// A JSON pointer into the params, as one would call the argument.
fn shown_path(path: &str) -> String {
    match path.strip_prefix('/') {
        None => "the arguments".to_owned(),
        Some(rest) => rest.replace('/', ".").replace("~1", "/").replace("~0", "~"),
    }
}

fn shown_trace(trace: &str, whole: bool) -> String {
    let lines: Vec<&str> = trace.trim_end().lines().collect();
    let from = if whole { 0 } else { lines.len().saturating_sub(LINES) };
    let mut shown = lines[from..].join("\n");
    if from > 0 {
        shown = format!("... {from} more lines with -v\n{shown}");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colourless() -> Style {
        let mut style = Style::new(false, false, false);
        style.err.colour = false;
        style
    }

    #[test]
    fn it_reads_as_the_samples_of_the_book_do() {
        let failure = Failure::new(ErrorCode::NotFound, "no method \"math.ad\"")
            .meant(vec![("math.add".into(), "math, 2 workers".into())])
            .fix("procall ls");
        assert_eq!(
            failure.lines(&colourless()),
            [
                "error[NOT_FOUND] no method \"math.ad\"   executed: no",
                "  did you mean  math.add   (math, 2 workers)",
                "  fix           procall ls",
                "  more          procall explain NOT_FOUND",
            ]
        );
    }

    #[test]
    fn what_others_say_cannot_act_on_the_terminal_or_pass_for_another_error() {
        let error = Error::handler("Bad\x1b[2J", "no\nerror[INTERNAL] forged\r\u{9b}A")
            .with_trace("at\x07 x");
        let lines = Failure::from(error).lines(&colourless());
        assert_eq!(lines[0], "error[HANDLER_ERROR] Bad\\u001b[2J: no   executed: yes");
        assert_eq!(lines[1], "  error[INTERNAL] forged\\u000d\\u009bA");
        assert_eq!(lines[2], "  trace  at\\u0007 x");
    }

    #[test]
    fn the_wrong_field_is_named() {
        let fields = vec![procall::FieldError { path: "/b".into(), message: "not an int".into() }];
        let error = Error::new(ErrorCode::InvalidArgument, "wrong").with_fields(fields);
        let lines = Failure::from(error).lines(&colourless());
        assert_eq!(lines[1], "  field  b: not an int");
    }

    #[test]
    fn a_long_trace_is_shortened_unless_all_is_asked_for() {
        let trace: String = (1..=20).map(|line| format!("line {line}\n")).collect();
        assert_eq!(shown_trace(&trace, false).lines().count(), LINES + 1);
        assert_eq!(shown_trace(&trace, true).lines().count(), 20);
    }

    #[test]
    fn scripts_get_an_object() {
        let failure = Failure::new(ErrorCode::NotFound, "no method")
            .meant(vec![("math.add".into(), "math, 2 workers".into())]);
        assert_eq!(failure.to_json()["error"]["candidates"], json!(["math.add"]));
        let error = Error::handler("ValueError", "no").with_raw_details(vec![0x81, 0xa1, b'n', 7]);
        let object = Failure::from(error).to_json();
        assert_eq!(object["error"]["code"], "HANDLER_ERROR");
        assert_eq!(object["error"]["details"]["n"], 7);
        assert_eq!(object["error"]["exit"], 1);
    }
}
