//! Exit codes: what a script learns from the way a command ended.

use procall::ErrorCode;

/// Done.
pub(crate) const OK: u8 = 0;
/// Wrong usage, or a wrong argument of a method.
pub(crate) const USAGE: u8 = 2;
/// There is no engine to ask.
pub(crate) const NO_ENGINE: u8 = 3;
/// Something that was looked at is wrong.
pub(crate) const FOUND_WRONG: u8 = 1;
/// Ctrl-C, or a call that somebody cancelled.
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit code of a command that ended with this error. A code that is new is a fault, until it has a row here.
pub(crate) fn of(code: ErrorCode) -> u8 {
    use ErrorCode as E;
    match code {
        E::HandlerError | E::InvalidResult | E::ResultTooLarge => 1,
        E::InvalidArgument => USAGE,
        E::NameTaken => 3,
        E::NotFound | E::NoWorker => 4,
        E::Unavailable | E::Overloaded | E::Ejected | E::Poison | E::Deadlock => 5,
        E::WorkerLost | E::ConnectionLost | E::Closed | E::SpawnFailed => 5,
        E::DeadlineExceeded => 6,
        E::Unauthenticated | E::PermissionDenied => 7,
        E::Cancelled => INTERRUPTED,
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
            let code = ErrorCode::from_name(&name).expect("it is a code");
            assert_eq!(of(code), exit, "{name}");
        }
    }
}
