//! Workers' lines on this process's standard error.

use std::io::{IsTerminal as _, Write as _};

use super::OutputLine;

/// Those of `procall run`, which stay apart for people who do not tell red from green.
const COLOURS: [u8; 6] = [36, 33, 35, 34, 32, 31];

/// What prints each line with the name of its worker before it, which has a colour of its own where standard error is a terminal whose user
/// wants colours: `NO_COLOR` and `TERM=dumb` say no.
pub(crate) fn show() -> impl FnMut(&OutputLine) + Send + 'static {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stderr().is_terminal() && !plain;
    move |line| {
        let text = if colour { coloured(line) } else { line.to_string() };
        // Nobody may read it any more, which must not end the pool's thread.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

fn coloured(line: &OutputLine) -> String {
    let number = line.worker.rsplit('/').next().and_then(|number| number.parse().ok());
    let code = COLOURS[number.unwrap_or(0_usize) % COLOURS.len()];
    format!("\x1b[{code}m{} |\x1b[0m {}", line.worker, line.text)
}

#[cfg(test)]
mod tests {
    use super::super::Outlet;
    use super::*;

    #[test]
    fn each_worker_has_a_colour_and_the_line_has_its_own() {
        let line = |worker: &str| OutputLine {
            worker: worker.into(),
            pid: 1,
            outlet: Outlet::Stdout,
            text: "hello".to_owned(),
            unfinished: false,
            call: None,
            method: None,
            engine_call: None,
        };
        assert_eq!(coloured(&line("calc/1")), "\x1b[33mcalc/1 |\x1b[0m hello");
        assert_eq!(coloured(&line("calc/7")), coloured(&line("calc/1")).replace("/1", "/7"));
    }
}
