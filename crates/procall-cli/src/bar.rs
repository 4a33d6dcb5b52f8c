//! Progress, on standard error.

use std::io::Write;

use procall::Progress;

use crate::plain;
use crate::style::{Style, complain};
use crate::table::cut;

/// Columns of the bar itself.
const WIDTH: u64 = 24;

/// A line that is written over on a terminal, lines elsewhere.
#[derive(Debug)]
pub(crate) struct Bar {
    style: Style,
    drawn: bool,
}

impl Bar {
    pub(crate) fn new(style: &Style) -> Self {
        Self { style: *style, drawn: false }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        if self.style.quiet {
            return;
        }
        if !self.style.err.terminal {
            let Progress { done, total, text } = progress;
            let text = plain::line(text);
            return complain(format!("progress {} {text}", fraction(*done, *total)).trim_end());
        }
        // One column is left free: a terminal that has to wrap the line cannot take it away again.
        let line = cut(&drawn(progress), self.style.err_columns().map(|columns| columns - 1));
        self.drawn = true;
        let mut err = std::io::stderr().lock();
        // A bar that cannot be drawn is no reason to give the call up.
        let _ = write!(err, "\r{line}\x1b[K").and_then(|()| err.flush());
    }

    /// Takes the bar away, before something else is printed.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r\x1b[K").and_then(|()| err.flush());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The bar as a line of any length.
fn drawn(progress: &Progress) -> String {
    let Progress { done, total, text } = progress;
    let text = plain::line(text);
    match total {
        Some(total) if *total > 0 => {
            let done_of = |of: u64| {
                let share = u128::from(*done.min(total)) * u128::from(of) / u128::from(*total);
                u64::try_from(share).unwrap_or(of)
            };
            let full = done_of(WIDTH);
            let bar: String = (0..WIDTH).map(|at| if at < full { '#' } else { '-' }).collect();
            format!("[{bar}] {:>3}%  {}  {text}", done_of(100), fraction(*done, Some(*total)))
        }
        _ => format!("{done}  {text}"),
    }
}

fn fraction(done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{done}/{total}"),
        None => done.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_says_stays_on_the_line() {
        let progress =
            Progress { done: 1, total: Some(2), text: "a\nb\x1b[2J".to_owned() + &"x".repeat(80) };
        let line = drawn(&progress);
        assert!(
            line.starts_with("[############------------]  50%  1/2  a\\u000ab\\u001b[2Jx"),
            "{line}"
        );
        assert_eq!(cut(&line, Some(59)).chars().count(), 59);
    }
}
