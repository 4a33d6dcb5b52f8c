//! Exit codes: what a script learns from the way a command ended.

use procall::ErrorCode;

/// Done.
pub(crate) const OK: u8 = 0;
/// Wrong usage, or a wrong argument of a method.
pub(crate) const USAGE: u8 = 2;
/// The name is taken, or there is no engine.
pub(crate) const TAKEN: u8 = 3;
/// Ctrl-C, or a call that somebody cancelled.
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit code of a command that ended with this error. A code of a newer version is a fault, until it has a row here.
pub(crate) fn of(code: ErrorCode) -> u8 {
    of_name(code.name())
}

/// By name, so that a code which this version's library does not have yet can stand here already.
fn of_name(name: &str) -> u8 {
    match name {
        "HANDLER_ERROR" | "INVALID_RESULT" | "RESULT_TOO_LARGE" => 1,
        "INVALID_ARGUMENT" => USAGE,
        "NAME_TAKEN" => TAKEN,
        "NOT_FOUND" | "NO_WORKER" => 4,
        "UNAVAILABLE" | "OVERLOADED" | "EJECTED" | "POISON" | "DEADLOCK" | "WORKER_LOST"
        | "CONNECTION_LOST" | "CLOSED" | "SPAWN_FAILED" => 5,
        "DEADLINE_EXCEEDED" => 6,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => 7,
        "CANCELLED" => INTERRUPTED,
        // PROTOCOL_ERROR, VERSION_MISMATCH, INTERNAL.
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the book: `| 4 | meaning | CODE, CODE |`.
    fn documented() -> Vec<(String, u8)> {
        let page = include_str!("../../../docs/src/cli.md");
        page.lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                let exit: u8 = cells.get(1)?.parse().ok()?;
                Some((exit, cells.get(3)?.replace('`', "")))
            })
            .flat_map(|(exit, codes)| {
                codes.split(',').map(|code| (code.trim().to_owned(), exit)).collect::<Vec<_>>()
            })
            .filter(|(code, _)| !code.is_empty())
            .collect()
    }

    #[test]
    fn every_code_has_the_exit_code_that_the_book_says() {
        let documented = documented();
        for &code in ErrorCode::ALL {
            let found: Vec<u8> = documented
                .iter()
                .filter(|(name, _)| name == code.name())
                .map(|(_, exit)| *exit)
                .collect();
            assert_eq!(found, [of(code)], "{code}: in docs/src/cli.md, and from this function");
        }
    }

    #[test]
    fn no_documented_code_is_made_up() {
        for (name, exit) in documented() {
            assert_eq!(of_name(&name), exit, "{name}");
            let known = ErrorCode::from_name(&name).is_some() || name == "NAME_TAKEN";
            assert!(known, "{name} is no code");
        }
    }
}
