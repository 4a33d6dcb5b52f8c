//! Progress, on standard error.

use std::io::Write;
use std::time::{Duration, Instant};

use procall::Progress;

use crate::plain;
use crate::style::Style;
use crate::table::cut;

/// Columns of the bar itself.
const WIDTH: u64 = 24;

/// A line that is written over on a terminal; nothing elsewhere.
#[derive(Debug)]
pub(crate) struct Bar {
    style: Style,
    begun: Instant,
    drawn: bool,
}

impl Bar {
    /// For a call that begins now.
    pub(crate) fn new(style: &Style) -> Self {
        Self { style: *style, begun: Instant::now(), drawn: false }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        if self.style.quiet || self.style.json || !self.style.err.terminal {
            return;
        }
        // One column is left free: a terminal that has to wrap the line cannot take it away again.
        let line = drawn(progress, self.begun.elapsed());
        let line = cut(&line, self.style.err_columns().map(|columns| columns - 1));
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

/// The bar as a line of any length, so long after the beginning.
fn drawn(progress: &Progress, elapsed: Duration) -> String {
    let Progress { done, total, text } = progress;
    let text = plain::line(text);
    let rate = *done as f64 / elapsed.as_secs_f64();
    let pace = if rate.is_finite() && *done > 0 { format!("{rate:.1}/s  ") } else { String::new() };
    let line = match total {
        Some(total) if *total > 0 => {
            let done_of = |of: u64| {
                let share = u128::from(*done.min(total)) * u128::from(of) / u128::from(*total);
                u64::try_from(share).unwrap_or(of)
            };
            let full = done_of(WIDTH);
            let bar: String = (0..WIDTH).map(|at| if at < full { '#' } else { '-' }).collect();
            let left = total.saturating_sub(*done) as f64 / rate;
            let left = match Duration::try_from_secs_f64(left.ceil()) {
                Ok(left) if *done > 0 && !left.is_zero() => {
                    format!("ETA {}  ", clock(left.as_secs()))
                }
                _ => String::new(),
            };
            format!("[{bar}] {:>3}%  {done}/{total}  {pace}{left}{text}", done_of(100))
        }
        _ => format!("{done}  {pace}{text}"),
    };
    line.trim_end().to_owned()
}

/// As in `45s`, `3m05s`, `2h04m`.
fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, total: Option<u64>, text: &str) -> Progress {
        Progress { done, total, text: text.to_owned() }
    }

    #[test]
    fn it_says_how_fast_and_how_long() {
        let after = |seconds, progress: Progress| drawn(&progress, Duration::from_secs(seconds));
        assert_eq!(
            after(10, progress(25, Some(100), "shards")),
            "[######------------------]  25%  25/100  2.5/s  ETA 30s  shards"
        );
        assert_eq!(
            after(10, progress(100, Some(100), "")),
            "[########################] 100%  100/100  10.0/s"
        );
        assert_eq!(after(0, progress(0, Some(4), "")), "[------------------------]   0%  0/4");
        let line = after(10, progress(1, Some(1000), ""));
        assert!(line.ends_with("0.1/s  ETA 2h46m"), "{line}");
        assert_eq!(after(2, progress(3, None, "lines")), "3  1.5/s  lines");
        assert_eq!(after(2, progress(3, Some(0), "")), "3  1.5/s");
        assert_eq!(
            after(1, progress(u64::MAX, Some(1), "")),
            format!("[{}] 100%  {}/1  18446744073709551616.0/s", "#".repeat(24), u64::MAX)
        );
    }

    #[test]
    fn what_a_handler_says_stays_on_the_line() {
        let progress = progress(1, Some(2), &("a\nb\x1b[2J".to_owned() + &"x".repeat(80)));
        let line = drawn(&progress, Duration::from_secs(1));
        assert!(
            line.starts_with(
                "[############------------]  50%  1/2  1.0/s  ETA 1s  a\\u000ab\\u001b[2Jx"
            ),
            "{line}"
        );
        assert_eq!(cut(&line, Some(59)).chars().count(), 59);
    }
}
