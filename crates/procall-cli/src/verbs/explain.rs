//! `procall explain`: what an error code means.

use clap::Args;
use procall::{ErrorCode, similar};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::style::Style;
use crate::table::Table;
use crate::{exit, output};

const EXAMPLES: &str = "Examples:
  procall explain WORKER_LOST
  procall explain                    all codes";

/// What an error code means, and what to do about it.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Explain {
    /// The code, in capitals or not; all of them without it.
    code: Option<String>,
}

impl Explain {
    pub(crate) fn run(self, style: &Style) -> Result<(), Failure> {
        match self.code {
            Some(name) => explain(find(&name)?, style),
            None => list(style),
        }
    }
}

fn find(name: &str) -> Result<ErrorCode, Failure> {
    let upper = name.to_uppercase().replace('-', "_");
    ErrorCode::from_name(&upper).ok_or_else(|| {
        let names = ErrorCode::ALL.iter().map(|code| code.name());
        Failure::new(ErrorCode::NotFound, format!("there is no error code \"{name}\""))
            .meant(similar(&upper, names).into_iter().map(|name| (name, String::new())).collect())
            .fix("procall explain   lists them all")
    })
}

fn entry(code: ErrorCode) -> Value {
    json!({
        "code": code.name(),
        "number": code.number(),
        "sentence": code.sentence(),
        "retryable": code.retryable(),
        "executed": code.executed().to_string(),
        "cause": code.cause(),
        "fix": code.fix(),
        "exit": exit::of(code),
    })
}

fn explain(code: ErrorCode, style: &Style) -> Result<(), Failure> {
    if style.json {
        return output::line(&entry(code).to_string());
    }
    output::line(&format!("{}  {}", style.out.bold(code.name()), code.sentence()))?;
    let retryable = if code.retryable() {
        "yes: the same call may succeed later"
    } else {
        "no: the same call fails again, or may have run"
    };
    let exit = exit::of(code).to_string();
    let executed = code.executed().to_string();
    let rows = [
        ("executed", executed.as_str()),
        ("retryable", retryable),
        ("cause", code.cause()),
        ("fix", code.fix()),
        ("exit", exit.as_str()),
    ];
    for (label, text) in rows {
        output::line(&format!("  {}  {text}", style.out.dim(&format!("{label:<9}"))))?;
    }
    Ok(())
}

fn list(style: &Style) -> Result<(), Failure> {
    if style.json {
        let codes: Vec<Value> = ErrorCode::ALL.iter().map(|&code| entry(code)).collect();
        return output::line(&json!({ "codes": codes }).to_string());
    }
    let mut table = Table::new(&["CODE", "EXECUTED", "EXIT", "MEANING"]);
    for code in ErrorCode::ALL {
        table.row(vec![
            code.name().to_owned(),
            code.executed().to_string(),
            exit::of(*code).to_string(),
            code.sentence().to_owned(),
        ]);
    }
    table.lines(style).iter().try_for_each(|line| output::line(line))
}
