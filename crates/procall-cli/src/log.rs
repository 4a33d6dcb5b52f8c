//! What happens in an engine as lines on standard error, for people or for programs: events of the crate `tracing`.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use procall::{Error, similar};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::plain;
use crate::style::complain;

/// Those whose events are shown begin so.
const OURS: &str = "procall";

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `2026-11-21T20:15:00.123Z INFO call ended call=7 method=math.add`
    Text,
    /// An object a line.
    Json,
}

impl Form {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for Form {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Error::invalid(format!(
                "\"{text}\" is no form of a log: there are text and json"
            ))),
        }
    }
}

/// Reads a level: `error`, `warn`, `info`, `debug` or `trace`.
pub(crate) fn level(text: &str) -> Result<Level, Error> {
    let names = ["error", "warn", "info", "debug", "trace"];
    if !names.contains(&text) {
        let near = similar(text, names);
        let hint = near.first().map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        let message = format!("\"{text}\" is no level: there are {}{hint}", names.join(", "));
        return Err(Error::invalid(message).with_candidates(near));
    }
    text.parse().map_err(|_| Error::invalid(format!("\"{text}\" is no level")))
}

/// From now on events of at least this level are written. Without this, an event costs one look at a number.
pub(crate) fn begin(form: Form, level: Level) -> Result<(), Error> {
    tracing::subscriber::set_global_default(Log { form, level })
        .map_err(|_| Error::invalid("this process writes a log already"))
}

struct Log {
    form: Form,
    level: Level,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with(OURS)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        complain(&fields.line(self.form, &moment(now), level.as_str(), target));
    }

    // Events tell everything; of spans there are none here.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What an event says, in its order.
#[derive(Default)]
struct Fields {
    message: String,
    entries: Vec<(&'static str, Value)>,
}

impl Fields {
    fn line(&self, form: Form, moment: &str, level: &str, target: &str) -> String {
        match form {
            Form::Json => {
                let mut object = Map::new();
                for (name, text) in [
                    ("time", moment),
                    ("level", level),
                    ("target", target),
                    ("message", &self.message),
                ] {
                    object.insert(name.to_owned(), text.into());
                }
                for (name, value) in &self.entries {
                    object.insert((*name).to_owned(), value.clone());
                }
                Value::Object(object).to_string()
            }
            Form::Text => {
                let mut line = format!("{moment} {level:<5} {}", self.message);
                for (name, value) in &self.entries {
                    let bare = |c: char| !c.is_whitespace() && c != '"' && c != '=';
                    // Writing to a text cannot fail.
                    let _ = match value {
                        Value::String(text) if !text.is_empty() && text.chars().all(bare) => {
                            write!(line, " {name}={text}")
                        }
                        value => write!(line, " {name}={value}"),
                    };
                }
                plain::line(&line).into_owned()
            }
        }
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.entries.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    /// Of times in milliseconds, a thousandth is as good as it gets.
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, ((value * 1e3).round() / 1e3).into());
    }
}

/// `2026-11-21T20:15:00.123Z`
fn moment(since_1970: Duration) -> String {
    let (seconds, millis) = (since_1970.as_secs(), since_1970.subsec_millis());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the day which comes every four years is the last one.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_795_291_200, "2026-11-21T20:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(moment(Duration::from_secs(seconds)), text);
        }
        assert_eq!(moment(Duration::from_millis(1_007)), "1970-01-01T00:00:01.007Z");
    }

    #[test]
    fn a_line_cannot_be_forged_by_what_stands_in_it() {
        let fields = Fields {
            message: "call ended".to_owned(),
            entries: vec![
                ("call", 7.into()),
                ("peer", "calc/1".into()),
                ("why", "a\nb c=\"d\"".into()),
                ("code", "".into()),
            ],
        };
        let text = fields.line(Form::Text, "T", "INFO", "procall.call");
        assert_eq!(text, r#"T INFO  call ended call=7 peer=calc/1 why="a\nb c=\"d\"" code="""#);
        let json = fields.line(Form::Json, "T", "INFO", "procall.call");
        let object: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&object["call"], &object["why"]), (&7.into(), &"a\nb c=\"d\"".into()));
        assert!(!json.contains('\n'));
    }

    #[test]
    fn a_level_that_is_none_is_told_with_those_there_are() {
        assert_eq!(level("warn").unwrap(), Level::WARN);
        let error = level("wran").unwrap_err();
        assert!(error.message().contains("did you mean warn"), "{error}");
        assert!("xml".parse::<Form>().unwrap_err().message().contains("text and json"));
    }
}
