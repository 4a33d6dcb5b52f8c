//! Method names: which method a call means, and what to say when it means none.

use std::sync::Arc;

use hashbrown::HashMap;
use procall_proto::ErrorCode;

use crate::error::Error;
use crate::registration::{Registration, Shape};

/// Methods every service has.
const RESERVED: &str = "procall.";

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The method at this place of the registration.
    Method(usize),
    /// `procall.methods`: what is served here.
    Methods,
    /// `procall.ping`: an empty answer.
    Ping,
}

/// Finds methods by name, exactly as `spec/protocol.md` section 7 says; used by every language.
///
/// ```
/// use procall::{MethodInfo, MethodTable, Registration, Target};
///
/// let method = MethodInfo { name: "calc.add".into(), ..MethodInfo::default() };
/// let table = MethodTable::new(Registration { name: "calc".into(), methods: vec![method], ..Default::default() });
/// assert_eq!(table.resolve("calc.add", false, false).unwrap(), Target::Method(0));
/// assert_eq!(table.resolve("add", false, false).unwrap(), Target::Method(0));
///
/// let error = table.resolve("ad", false, false).unwrap_err();
/// assert_eq!(error.candidates(), ["calc.add"]);
/// ```
#[derive(Debug, Clone)]
pub struct MethodTable {
    registration: Arc<Registration>,
    exact: HashMap<String, usize>,
    /// Last part of the name to the methods that have it.
    bare: HashMap<String, Vec<usize>>,
}

impl MethodTable {
    /// The table for what a service registers.
    pub fn new(registration: Registration) -> Self {
        let mut exact = HashMap::new();
        let mut bare: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, method) in registration.methods.iter().enumerate() {
            exact.insert(method.name.clone(), at);
            // What every service may have is asked for by its full name, so that it stands in nobody's way.
            if method.name.starts_with(RESERVED) {
                continue;
            }
            bare.entry(last_part(&method.name).to_owned()).or_default().push(at);
        }
        Self { registration: Arc::new(registration), exact, bare }
    }

    /// What is registered.
    pub fn registration(&self) -> &Arc<Registration> {
        &self.registration
    }

    /// The method a call means: the one of exactly that name, else the only one whose last part it is.
    /// The streams of the call must be those of the method.
    pub fn resolve(&self, name: &str, items_in: bool, items_out: bool) -> Result<Target, Error> {
        let at = match self.exact.get(name) {
            Some(&at) => at,
            None => match name.strip_prefix(RESERVED) {
                Some("methods") => return Ok(Target::Methods),
                Some("ping") => return Ok(Target::Ping),
                _ => self.resolve_bare(name)?,
            },
        };
        let method = &self.registration.methods[at];
        let asked = Shape::new(items_in, items_out);
        if asked != method.shape {
            let message = format!(
                "{} {}, but it was called as if it {}",
                method.name,
                method.shape.says(),
                asked.says()
            );
            return Err(Error::invalid(message));
        }
        Ok(Target::Method(at))
    }

    fn resolve_bare(&self, name: &str) -> Result<usize, Error> {
        let methods = &self.registration.methods;
        match self.bare.get(name).map(Vec::as_slice) {
            Some(&[at]) => Ok(at),
            Some(several) => Err(Error::new(
                ErrorCode::NotFound,
                format!("\"{name}\" could be one of {} methods; use a full name", several.len()),
            )
            .with_candidates(several.iter().map(|&at| methods[at].name.clone()).collect())),
            None => {
                let names = methods.iter().map(|method| &*method.name);
                let candidates = similar(name, names);
                let hint = match &*candidates {
                    [] => String::new(),
                    names => format!("; did you mean {}?", names.join(" or ")),
                };
                Err(Error::new(
                    ErrorCode::NotFound,
                    format!(
                        "service \"{}\" has no method \"{name}\"{hint}",
                        self.registration.name
                    ),
                )
                .with_candidates(candidates))
            }
        }
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Up to three names that somebody who wrote `wrong` may have meant, best first.
///
/// ```
/// assert_eq!(procall::similar("math.ad", ["math.add", "math.mul"]), ["math.add"]);
/// ```
pub fn similar<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut ranked: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let whole = distance(wrong, name);
            let part = distance(last_part(wrong), last_part(name));
            let best = whole.min(part);
            (best <= 1 + wrong.len().min(24) / 4).then_some((best, name))
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) from one text to the other: the restricted Damerau-Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut current = vec![i];
        for j in 1..=b.len() {
            let replace = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(previous[j] + 1).min(current[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::MethodInfo;

    fn table(methods: &[(&str, Shape)]) -> MethodTable {
        let methods = methods
            .iter()
            .map(|&(name, shape)| MethodInfo {
                name: name.to_owned(),
                shape,
                ..MethodInfo::default()
            })
            .collect();
        MethodTable::new(Registration { name: "calc".into(), methods, ..Registration::default() })
    }

    #[test]
    fn a_bare_name_finds_the_only_method_that_ends_with_it() {
        let table =
            table(&[("a.add", Shape::Unary), ("b.add", Shape::Unary), ("b.mul", Shape::Unary)]);
        assert_eq!(table.resolve("mul", false, false).unwrap(), Target::Method(2));
        let error = table.resolve("add", false, false).unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
        assert_eq!(error.candidates(), ["a.add", "b.add"]);
    }

    #[test]
    fn an_exact_name_wins_over_the_last_part_of_another() {
        let table = table(&[("x.add", Shape::Unary), ("add", Shape::Unary)]);
        assert_eq!(table.resolve("add", false, false).unwrap(), Target::Method(1));
    }

    #[test]
    fn a_stream_called_as_a_value_is_refused_by_name() {
        let table = table(&[("calc.count", Shape::ItemsOut)]);
        let error = table.resolve("count", false, false).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("calc.count returns a stream"), "{error}");
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("add", "add"), 0);
        assert_eq!(distance("ad", "add"), 1);
        assert_eq!(distance("dad", "add"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
