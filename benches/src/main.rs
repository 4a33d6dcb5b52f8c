//! Procall side by side with its floors and peers.
//!
//! `make bench` runs every cell in fresh processes, several rounds, cells interleaved, in two placements:
//! `one core` (everything pinned to CPU 0: the length of the path) and `free` (what a user gets).
//! It prints medians with their spread and ratios to the floor of the same round.
//!
//! ```text
//! procall-bench [--rounds N] [--window MS] [--only TEXT] [--placement one|free]
//! ```

mod cells;
mod check;
mod crowd;
mod floor;
mod load;
mod placement;
mod report;
mod routed;
mod servers;
mod spawn;

use std::process::ExitCode;

use cells::Options;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if let Some(role) =
        args.next().filter(|role| role.starts_with("serve-") || role.starts_with("call-"))
    {
        let rest: Vec<String> = args.collect();
        return match servers::run(&role, &rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{role}: {error:?}");
                ExitCode::FAILURE
            }
        };
    }
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => {
            let results = cells::run(&options);
            report::print(&results, &options);
            let rest = [("validation", check::print()), ("memory", crowd::print())];
            let rest = rest.into_iter().chain([("spawn", spawn::print())]);
            let wrong = rest.filter_map(|(what, printed)| printed.err().map(|error| (what, error)));
            let mut code = ExitCode::SUCCESS;
            for (what, error) in wrong {
                eprintln!("{what}: {error:?}");
                code = ExitCode::FAILURE;
            }
            code
        }
        Err(message) => {
            eprintln!(
                "{message}\nusage: procall-bench [--rounds N] [--window MS] [--only TEXT] [--placement one|free]"
            );
            ExitCode::from(2)
        }
    }
}
