//! Reads `spec/errors.toml` and holds it to its own rules.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// Where the registry lies, from the root of the checkout.
pub(crate) const PATH: &str = "spec/errors.toml";

/// The Python builtins that an exception class may derive from.
const PYTHON_BASES: &[&str] = &[
    "ConnectionError",
    "LookupError",
    "PermissionError",
    "RuntimeError",
    "TimeoutError",
    "ValueError",
];

/// The whole registry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registry {
    retired: Vec<u16>,
    #[serde(rename = "code")]
    pub(crate) codes: Vec<Code>,
}

/// One error code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Code {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) retryable: bool,
    pub(crate) executed: Executed,
    pub(crate) python_base: Option<String>,
    /// In the words of the engine dialect.
    pub(crate) engine: Option<String>,
    /// In the words of the roadmap dialect.
    pub(crate) roadmap: Option<String>,
    pub(crate) sentence: String,
    pub(crate) cause: String,
    pub(crate) fix: String,
}

/// Whether the handler ran, when nobody knows better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Executed {
    No,
    Maybe,
    Yes,
}

impl Executed {
    /// As it is written in the registry.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        }
    }
}

impl Registry {
    /// Reads the registry of the checkout at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(root.join(PATH)).map_err(|e| format!("{PATH}: {e}"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let registry: Self = toml::from_str(text).map_err(|e| format!("{PATH}: {e}"))?;
        let complaints = registry.complaints();
        if complaints.is_empty() {
            Ok(registry)
        } else {
            Err(format!("{PATH} breaks its own rules:\n  {}", complaints.join("\n  ")).into())
        }
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = self.number_complaints();
        let mut names = BTreeSet::new();
        for code in &self.codes {
            if !names.insert(&code.name) {
                complaints.push(format!("{} is there twice", code.name));
            }
            complaints.extend(code.complaints());
        }
        complaints
    }

    /// Numbers go up, none stands twice, none is retired, and only retired ones are left out.
    fn number_complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut next = 1;
        for Code { number, name, .. } in &self.codes {
            while next < *number && self.retired.contains(&next) {
                next += 1;
            }
            if self.retired.contains(number) {
                complaints.push(format!("{name} has the retired number {number}; take a new one"));
            } else if *number != next {
                complaints.push(format!(
                    "{name} has the number {number} where {next} is due; sort the codes by number, \
                     and list withdrawn numbers in `retired`"
                ));
            }
            next = number.saturating_add(1);
        }
        complaints
    }
}

impl Code {
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let name = &self.name;
        let screaming = name
            .split('_')
            .all(|word| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase()));
        if !screaming {
            complaints.push(format!("{name} is not written LIKE_THIS"));
        }
        if self.retryable && self.executed != Executed::No {
            complaints.push(format!("{name} is retryable although the handler may have run"));
        }
        if let Some(base) = &self.python_base
            && !PYTHON_BASES.contains(&base.as_str())
        {
            complaints.push(format!("{name} has the unknown Python base {base}"));
        }
        for (field, text) in
            [("sentence", &self.sentence), ("cause", &self.cause), ("fix", &self.fix)]
        {
            if !text.ends_with('.') || text.chars().any(char::is_control) {
                complaints.push(format!(
                    "the {field} of {name} is not one line that ends in a full stop"
                ));
            }
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u16, name: &str, more: &str) -> String {
        format!(
            "[[code]]\nnumber = {number}\nname = \"{name}\"\nretryable = false\nexecuted = \"maybe\"\n\
             sentence = \"S.\"\ncause = \"C.\"\nfix = \"F.\"\n{more}\n"
        )
    }

    fn refusal(text: &str) -> String {
        Registry::parse(text).expect_err("the registry must be refused").to_string()
    }

    #[test]
    fn the_registry_of_the_checkout_is_accepted() {
        Registry::read(crate::root()).expect("spec/errors.toml keeps its rules");
    }

    #[test]
    fn a_gap_must_be_retired() {
        let codes = entry(1, "A", "") + &entry(3, "C", "");
        assert!(refusal(&format!("retired = []\n{codes}")).contains("3 where 2 is due"));
        Registry::parse(&format!("retired = [2]\n{codes}")).expect("2 is retired");
    }

    #[test]
    fn a_retired_number_is_never_reused() {
        let codes = entry(1, "A", "") + &entry(2, "B", "");
        assert!(refusal(&format!("retired = [2]\n{codes}")).contains("retired number 2"));
    }

    #[test]
    fn a_number_or_name_stands_once() {
        let codes = entry(1, "A", "") + &entry(1, "A", "");
        let refusal = refusal(&format!("retired = []\n{codes}"));
        assert!(refusal.contains("1 where 2 is due") && refusal.contains("A is there twice"));
    }

    #[test]
    fn what_may_have_run_is_not_retryable() {
        let code = entry(1, "A", "").replace("retryable = false", "retryable = true");
        assert!(refusal(&format!("retired = []\n{code}")).contains("may have run"));
    }

    #[test]
    fn names_bases_and_sentences_have_a_form() {
        assert!(refusal(&format!("retired = []\n{}", entry(1, "Abc", ""))).contains("LIKE_THIS"));
        let odd_base = entry(1, "A", "python_base = \"Exception\"");
        assert!(refusal(&format!("retired = []\n{odd_base}")).contains("unknown Python base"));
        let open_end = entry(1, "A", "").replace("\"S.\"", "\"S\"");
        assert!(refusal(&format!("retired = []\n{open_end}")).contains("sentence of A"));
        let unknown_field = entry(1, "A", "colour = \"red\"");
        assert!(refusal(&format!("retired = []\n{unknown_field}")).contains("colour"));
    }
}
