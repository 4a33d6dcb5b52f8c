//! `procall stream`: the items of an answer as they come, and items to send.

use clap::Args;

use super::call::{Target, line, shown};
use crate::arguments;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::style::Style;
use crate::values::Value;

const EXAMPLES: &str = "Examples:
  procall stream calc.count n=5
  procall stream calc.count n=5 --json              one JSON value a line
  procall stream chat.tokens prompt=@question.txt
  seq 10 | procall stream calc.sum --items -        send a stream";

/// Print the items of a stream as they come; send a stream.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Stream {
    #[command(flatten)]
    target: Target,

    /// Send the lines of standard input as items: each is JSON where it is JSON, else text.
    #[arg(long, value_name = "-", value_parser = ["-"])]
    items: Option<String>,
}

impl Stream {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let directory = self.target.directory().await?;
        let found = directory.method(self.target.name())?;
        let (name, shape) = (&found.method.name, found.method.shape);
        let sends = self.items.is_some();
        if sends != shape.items_in() {
            let (says, fix) = match sends {
                true => ("takes no stream", "leave --items out".to_owned()),
                false => ("takes a stream", crate::schema::example(found.method)),
            };
            return Err(Failure::usage(format!("{name} {says}")).fix(fix));
        }
        if !shape.items_in() && !shape.items_out() {
            return Err(Failure::usage(format!("{name} has no stream"))
                .fix(crate::schema::example(found.method)));
        }
        if sends && self.target.arguments() == ["-"] {
            return Err(Failure::usage(
                "standard input cannot be both the arguments and the items",
            )
            .fix("give the arguments as key=value or @file"));
        }
        let params = arguments::params(self.target.arguments(), found.method)?;
        let mut options = self.target.options(found)?;
        (options.items_in, options.items_out) = (shape.items_in(), shape.items_out());
        let mut exchange = Exchange::start(found, &params, options, sends, style)?;
        if !shape.items_out() {
            let value = Value::new(exchange.reply().await?)?;
            return exchange.print(&shown(&value, name, style)).await;
        }
        while let Some(item) = exchange.next().await {
            let value = Value::new(item?)?;
            let printed = match (style.json, value.bytes()) {
                (true, _) => line(value.compact().to_owned(), style),
                (false, Some(bytes)) if !style.out.terminal => bytes.to_vec(),
                (false, _) => line(value.bare(), style),
            };
            exchange.print(&printed).await?;
        }
        Ok(())
    }
}
