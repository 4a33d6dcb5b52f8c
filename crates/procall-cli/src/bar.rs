//! Progress, on standard error.

use std::io::Write;

use procall::Progress;

use crate::style::{Style, complain};

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
        let Progress { done, total, text } = progress;
        if !self.style.err.terminal {
            return complain(format!("progress {} {text}", fraction(*done, *total)).trim_end());
        }
        let line = match total {
            Some(total) if *total > 0 => {
                let done_of_ten = |of: u64| {
                    let share = u128::from(*done.min(total)) * u128::from(of) / u128::from(*total);
                    u64::try_from(share).unwrap_or(of)
                };
                let full = done_of_ten(WIDTH);
                let bar: String = (0..WIDTH).map(|at| if at < full { '#' } else { '-' }).collect();
                format!(
                    "[{bar}] {:>3}%  {}  {text}",
                    done_of_ten(100),
                    fraction(*done, Some(*total))
                )
            }
            _ => format!("{done}  {text}"),
        };
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

fn fraction(done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{done}/{total}"),
        None => done.to_string(),
    }
}
