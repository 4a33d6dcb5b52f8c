//! What clients saw and what workers did, and whether the two agree.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procall::{Error, ErrorCode, Executed};
use tempfile::TempDir;

/// The folder in which each worker has a file of its own.
pub(crate) const FOLDER: &str = "CHAOS_LEDGER";

/// One outcome of one call.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) id: u64,
    /// The reply was the answer to this very call.
    pub(crate) result: Result<bool, (ErrorCode, Executed)>,
    pub(crate) took: Duration,
    pub(crate) deadline: Duration,
}

/// Both sides of it.
#[derive(Debug)]
pub(crate) struct Ledger {
    folder: TempDir,
    next: AtomicU64,
    outcomes: Mutex<Vec<Outcome>>,
}

/// One line of a worker's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) id: u64,
    pub(crate) more: Vec<u64>,
}

/// What came of a load.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) calls: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Calls without an outcome, or with two.
    pub(crate) lost: u64,
    /// Calls that were executed more than once.
    pub(crate) twice: u64,
    /// Replies to another call.
    pub(crate) crossed: u64,
    /// Outcomes that said something untrue of whether the handler ran.
    pub(crate) lies: u64,
}

impl Ledger {
    pub(crate) fn new() -> io::Result<Self> {
        let (next, outcomes) = (AtomicU64::new(1), Mutex::default());
        Ok(Self { folder: tempfile::tempdir()?, next, outcomes })
    }

    /// One for calls that are to leave this one alone, although the same workers write them down.
    pub(crate) fn beside(&self) -> io::Result<Self> {
        let next = AtomicU64::new(self.next.load(Ordering::Relaxed) + (1 << 40));
        Ok(Self { folder: tempfile::tempdir()?, next, outcomes: Mutex::default() })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The number of another call.
    pub(crate) fn open(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls so far, which is the number of the last one.
    pub(crate) fn calls(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    /// The numbers of the calls that ended with their own result.
    pub(crate) fn succeeded(&self) -> HashSet<u64> {
        let outcomes = self.outcomes();
        outcomes.iter().filter(|one| one.result == Ok(true)).map(|one| one.id).collect()
    }

    pub(crate) fn close(
        &self,
        id: u64,
        result: Result<bool, &Error>,
        took: Duration,
        deadline: Duration,
    ) {
        let result = result.map_err(|error| (error.code(), error.executed()));
        self.outcomes().push(Outcome { id, result, took, deadline });
    }

    pub(crate) fn outcomes(&self) -> std::sync::MutexGuard<'_, Vec<Outcome>> {
        self.outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Joins the two sides.
    pub(crate) fn verdict(&self) -> io::Result<Verdict> {
        let (started, ended) = self.executions()?;
        let mut outcomes: HashMap<u64, Vec<Outcome>> = HashMap::new();
        for outcome in self.outcomes().iter() {
            outcomes.entry(outcome.id).or_default().push(outcome.clone());
        }
        let calls = self.calls();
        let mut verdict = Verdict { calls, ..Verdict::default() };
        for id in 1..=calls {
            let ran = started.get(&id).copied().unwrap_or(0);
            verdict.twice += u64::from(ran > 1);
            let [outcome] = outcomes.get(&id).map(Vec::as_slice).unwrap_or_default() else {
                verdict.lost += 1;
                continue;
            };
            match outcome.result {
                Ok(own) => {
                    verdict.succeeded += 1;
                    verdict.crossed += u64::from(!own);
                    verdict.lies += u64::from(!ended.contains_key(&id));
                }
                Err((_, executed)) => {
                    verdict.failed += 1;
                    verdict.lies += u64::from(match executed {
                        Executed::No => ran > 0,
                        Executed::Yes => ran == 0,
                        Executed::Maybe => false,
                    });
                }
            }
        }
        Ok(verdict)
    }

    /// All that workers wrote under this letter.
    pub(crate) fn notes(&self, what: &str) -> io::Result<Vec<Note>> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            for line in fs::read_to_string(entry?.path())?.lines() {
                let mut words = line.split(' ');
                if words.next() != Some(what) {
                    continue;
                }
                let mut numbers = words.map(|word| word.parse::<u64>().map_err(io::Error::other));
                let Some(id) = numbers.next() else { continue };
                notes.push(Note { id: id?, more: numbers.collect::<Result<_, _>>()? });
            }
        }
        Ok(notes)
    }

    /// How often each call was begun, and ended, by the workers' own account.
    fn executions(&self) -> io::Result<(HashMap<u64, u32>, HashMap<u64, u32>)> {
        let (mut started, mut ended) = (HashMap::new(), HashMap::new());
        for (what, side) in [("S", &mut started), ("E", &mut ended)] {
            for note in self.notes(what)? {
                *side.entry(note.id).or_insert(0) += 1;
            }
        }
        Ok((started, ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(executed: Executed) -> Error {
        Error::new(ErrorCode::WorkerLost, "gone").with_executed(executed)
    }

    /// One call, what its workers wrote, and what came of it.
    fn verdict(written: &str, outcomes: &[Result<bool, Error>]) -> Verdict {
        let ledger = Ledger::new().unwrap();
        let id = ledger.open();
        fs::write(ledger.folder().join("1"), written).unwrap();
        for outcome in outcomes {
            ledger.close(id, outcome.as_ref().copied(), Duration::ZERO, Duration::ZERO);
        }
        ledger.verdict().unwrap()
    }

    #[test]
    fn it_tells_the_truth_from_what_is_not() {
        let one = Verdict { calls: 1, ..Verdict::default() };
        let failed = Verdict { failed: 1, ..one.clone() };
        let good = Verdict { succeeded: 1, ..one.clone() };
        let cases = [
            ("S 1\nE 1\n", vec![Ok(true)], good.clone()),
            ("S 1\nE 1\n", vec![Ok(false)], Verdict { crossed: 1, ..good.clone() }),
            ("S 1\n", vec![Ok(true)], Verdict { lies: 1, ..good.clone() }),
            ("S 1\nS 1\nE 1\n", vec![Ok(true)], Verdict { twice: 1, ..good }),
            ("", vec![Err(error(Executed::No))], failed.clone()),
            ("S 1\n", vec![Err(error(Executed::Maybe))], failed.clone()),
            ("S 1\n", vec![Err(error(Executed::No))], Verdict { lies: 1, ..failed.clone() }),
            ("", vec![Err(error(Executed::Yes))], Verdict { lies: 1, ..failed }),
            ("S 1\nE 1\n", vec![], Verdict { lost: 1, ..one.clone() }),
            ("S 1\nE 1\n", vec![Ok(true), Ok(true)], Verdict { lost: 1, ..one }),
        ];
        for (written, outcomes, expected) in cases {
            assert_eq!(verdict(written, &outcomes), expected, "{written:?} {outcomes:?}");
        }
    }
}
