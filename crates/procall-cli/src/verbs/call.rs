//! `procall call`: one call, one result.

use std::time::Duration;

use clap::Args;
use procall::{CallOptions, Deadline};

use crate::directory::{Directory, Found};
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::style::Style;
use crate::values::Value;
use crate::{arguments, duration, plain};

const EXAMPLES: &str = "Examples:
  procall call calc.add a=2 b=3
  procall call add 2 3                              by position, and without the service
  procall call calc.add '{\"a\": 2, \"b\": 3}'          or '[2, 3]', @file.json, - for standard input
  procall call img.scale image=@cat.png to:=[64,64] a file, and JSON by force
  procall call model.train --deadline 10m --wait 30s
  procall call shop.buy apples --idempotency-key order-7
  procall call calc.add 2 3 --idempotent --retries 5";

/// Call a method and print its result.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Call {
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What is called, with what, and how: the same for calls and streams.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The method, with its service or without.
    #[arg(value_name = "METHOD")]
    name: String,

    /// key=value, key:=json, key=@file, values by position, one JSON object or array, @file, or -.
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    arguments: Vec<String>,

    /// Give up after this long: 500ms, 5s, 2m, 1h. 30 s without it; of a stream, 30 s to the first item.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    deadline: Option<Duration>,

    /// Wait this long for the method to be served, if it is not.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    wait: Option<Duration>,

    /// The call may run more than once without harm.
    #[arg(long)]
    idempotent: bool,

    /// Make the call again up to this often, if it was not executed or is idempotent: 2 without it, 0 is never.
    #[arg(long, value_name = "NUMBER")]
    retries: Option<u32>,

    /// With an engine: a call with the key of an earlier one, of the same method in the last 5 minutes, gets that one's outcome.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// Have this worker take the call, such as calc/2.
    #[arg(long, value_name = "WORKER")]
    to: Option<String>,

    /// Ask only the service at this address, such as tcp:127.0.0.1:9000.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Target {
    /// Where the method is to be found.
    pub(crate) async fn directory(&self) -> Result<Directory, Failure> {
        Directory::with_method(&self.name, self.at.as_deref(), self.wait).await
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    pub(crate) fn options(&self, found: Found<'_>) -> Result<CallOptions, Failure> {
        let meta = match &self.to {
            Some(worker) if found.service.workers.is_none() && found.service.through.is_none() => {
                let name = &found.service.name;
                return Err(Failure::usage(format!(
                    "there is no worker {worker}: {name} has no pool"
                ))
                .fix("leave --to out; procall ps shows the workers"));
            }
            to => {
                let mut wishes = serde_json::Map::new();
                wishes.extend(to.as_ref().map(|worker| ("to".to_owned(), worker.as_str().into())));
                // Its worker may go between the look and the call; only an engine has calls wait for that.
                if self.wait.is_some() && found.service.through.is_some() {
                    wishes.insert("wait".to_owned(), true.into());
                }
                match wishes.is_empty() {
                    true => Vec::new(),
                    false => procall::json::from_json(
                        serde_json::Value::from(wishes).to_string().as_bytes(),
                    )
                    .map_err(|error| Failure::usage(error.to_string()))?,
                }
            }
        };
        Ok(CallOptions {
            deadline: self.deadline.map_or(Deadline::Default, Deadline::After),
            idempotent: self.idempotent,
            retries: self.retries,
            idempotency_key: self.idempotency_key.as_deref().map(Into::into),
            meta,
            ..CallOptions::default()
        })
    }
}

impl Call {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let directory = self.target.directory().await?;
        let found = directory.method(self.target.name())?;
        let (name, shape) = (&found.method.name, found.method.shape);
        if shape.items_out() || shape.items_in() {
            let which = if shape.items_out() { "answers with a stream" } else { "takes a stream" };
            return Err(
                Failure::usage(format!("{name} {which}")).fix(crate::schema::example(found.method))
            );
        }
        let params = arguments::params(self.target.arguments(), found.method)?;
        let options = self.target.options(found)?;
        let mut exchange = Exchange::start(found, &params, options, false, style)?;
        let value = Value::new(exchange.reply().await?)?;
        exchange.print(&shown(&value, name, style)).await
    }
}

/// A result as it is printed: as an object, for people, or as it is.
pub(crate) fn shown(value: &Value, method: &str, style: &Style) -> Vec<u8> {
    let terminal = style.out.terminal;
    let text = match (style.json, value.bytes()) {
        (true, _) => wrapped(value, method),
        (false, Some(bytes)) if !terminal => return bytes.to_vec(),
        (false, Some(bytes)) => {
            style.hint(&format!("{} bytes; send them to a file with > FILE", bytes.len()));
            value.pretty()
        }
        (false, None) if terminal => value.pretty(),
        (false, None) => value.bare(),
    };
    line(text, style)
}

/// A line of an answer.
pub(crate) fn line(text: String, style: &Style) -> Vec<u8> {
    let mut line = if style.out.terminal { plain::text(&text).into_owned() } else { text };
    line.push('\n');
    line.into_bytes()
}

/// The object of `--json`. The result is put in as the text it is, so that no digit is lost.
fn wrapped(value: &Value, method: &str) -> String {
    format!("{{\"method\":{},\"result\":{}}}", serde_json::Value::from(method), value.compact())
}
