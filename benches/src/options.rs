//! The command line of the benchmark.

use std::path::PathBuf;

use crate::catalogue::{Cell, Kind, Section};
use crate::placement::Placement;

pub(crate) const HELP: &str = "\
Procall side by side with its floors and peers, in one run.

usage: make bench [ARGS='OPTIONS']
       procall-bench [OPTIONS]
       procall-bench readme [FILE]     the table of the README, from bench-results/results.json

which cells (each may be given several times, or as a list with commas):
  --only TEXT         a section: small, large, stream, dispatch, spawn, idle, growth;
                      or a part of a cell's name
  --pair PAIR         floor, rust-rust, rust-python, python-python, rust-node, node-node, routed
  --placement WHERE   1c: all processes on one core; 2c: caller and service on a core each; free
  --kind KIND         ours, floor, peer
  --list              print the cells that are chosen, and run nothing

how:
  --rounds N          how often each cell runs, in fresh processes, interleaved; default 5
  --window MS         how long a cell measures each of its figures; default 300
  --seed N            the order of the cells; default: another each time, told in the results
  --out DIRECTORY     where the results go; default bench-results
  --check             fail unless every chosen cell of ours has figures; nothing is written

  make bench ARGS='--list'
  make bench ARGS='--only small --pair rust-rust --placement 1c --rounds 3'
  make bench ARGS='--only large,stream --kind ours,floor'
  make bench PEERS= ARGS='--only growth'      without building the peers
";

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Help,
    List(Options),
    Run(Options),
    /// Print the README's table from these results.
    Readme(PathBuf),
}

/// What to run, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) window_ms: u64,
    pub(crate) seed: u64,
    pub(crate) out: PathBuf,
    pub(crate) check: bool,
    only: Vec<String>,
    pairs: Vec<String>,
    kinds: Vec<Kind>,
    placements: Vec<Placement>,
}

impl Options {
    fn new(seed: u64) -> Self {
        Self {
            rounds: 5,
            window_ms: 300,
            seed,
            out: PathBuf::from("bench-results"),
            check: false,
            only: Vec::new(),
            pairs: Vec::new(),
            kinds: Vec::new(),
            placements: Vec::new(),
        }
    }

    /// Whether a cell was asked for. A floor comes along with what stands on it.
    pub(crate) fn wants(&self, cell: &Cell) -> bool {
        let only = self.only.is_empty()
            || self.only.iter().any(|text| {
                text.parse::<Section>()
                    .map_or_else(|_| cell.name.contains(text), |section| section == cell.section)
            });
        let any = |list: &[String], own: &str| list.is_empty() || list.iter().any(|one| one == own);
        only && any(&self.pairs, cell.pair)
            && (self.kinds.is_empty() || self.kinds.contains(&cell.kind))
    }

    pub(crate) fn wants_placement(&self, placement: Placement) -> bool {
        self.placements.is_empty() || self.placements.contains(&placement)
    }
}

/// Reads the command line; `seed` is the order of the cells if none is given.
pub(crate) fn parse(args: impl Iterator<Item = String>, seed: u64) -> Result<Action, String> {
    let mut args = args.peekable();
    if args.next_if(|arg| arg == "readme").is_some() {
        let file = args.next().unwrap_or_else(|| "bench-results/results.json".to_owned());
        return match args.next() {
            None => Ok(Action::Readme(file.into())),
            Some(more) => Err(format!("readme takes one file, and then came {more}")),
        };
    }
    let mut options = Options::new(seed);
    let mut list = false;
    while let Some(flag) = args.next() {
        match &*flag {
            "--help" | "-h" => return Ok(Action::Help),
            "--list" => {
                list = true;
                continue;
            }
            "--check" => {
                options.check = true;
                continue;
            }
            _ => {}
        }
        if !flag.starts_with("--") {
            return Err(format!("{flag} is not an option"));
        }
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || {
            value.parse::<u64>().map_err(|_| format!("{flag} takes a number, and {value} is none"))
        };
        match &*flag {
            "--rounds" => options.rounds = number()?.clamp(1, 1_000) as usize,
            "--window" => options.window_ms = number()?.clamp(1, 60_000),
            "--seed" => options.seed = number()?,
            "--out" => options.out = value.into(),
            "--only" => options.only.extend(value.split(',').map(str::to_owned)),
            "--pair" => {
                for pair in value.split(',') {
                    if !crate::catalogue::PAIRS.contains(&pair) {
                        let known = crate::catalogue::PAIRS.join(", ");
                        return Err(format!("there is no pair {pair}; there are {known}"));
                    }
                    options.pairs.push(pair.to_owned());
                }
            }
            "--kind" => options.kinds.extend(each::<Kind>(&value)?),
            "--placement" => options.placements.extend(each::<Placement>(&value)?),
            _ => return Err(format!("there is no option {flag}")),
        }
    }
    Ok(if list { Action::List(options) } else { Action::Run(options) })
}

fn each<T: std::str::FromStr<Err = String>>(value: &str) -> Result<Vec<T>, String> {
    value.split(',').map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Action, String> {
        parse(text.split_whitespace().map(str::to_owned), 1)
    }

    #[test]
    fn the_examples_of_the_help_are_understood() {
        for line in HELP.lines().filter(|line| line.contains("ARGS='--")) {
            let args = line.split('\'').nth(1).expect("the arguments stand in quotes");
            assert!(read(args).is_ok(), "{args}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_what_would_be_right() {
        assert!(read("--pair rust-ruby").unwrap_err().contains("rust-rust"));
        assert!(read("--placement 3c").unwrap_err().contains("1c, 2c, free"));
        assert!(read("--rounds many").unwrap_err().contains("--rounds takes a number"));
        assert!(read("--rounds").unwrap_err().contains("needs a value"));
        assert!(read("small").unwrap_err().contains("is not an option"));
        assert!(read("--fast 1").unwrap_err().contains("no option"));
    }

    #[test]
    fn a_choice_narrows() {
        let Ok(Action::Run(options)) = read("--only small --pair rust-rust --placement 1c,free")
        else {
            panic!("this runs something")
        };
        let chosen: Vec<Cell> =
            crate::catalogue::all().into_iter().filter(|cell| options.wants(cell)).collect();
        assert!(!chosen.is_empty());
        assert!(chosen.iter().all(|cell| cell.pair == "rust-rust" || cell.kind == Kind::Floor));
        assert!(chosen.iter().all(|cell| cell.section == Section::Small));
        assert!(
            options.wants_placement(Placement::One) && !options.wants_placement(Placement::Two)
        );
    }
}
