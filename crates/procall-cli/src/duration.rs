//! Durations as people write them.

use std::time::Duration;

/// `500ms`, `5s`, `2m`, `1h`, `1.5s`; a bare number is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    procall_engine::config::parse_duration(text).map_err(|error| error.message().to_owned())
}

/// Short, for tables: `1.4ms`, `3.2s`, `5m`, `2h`.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.001 => format!("{}us", duration.as_micros()),
        s if s < 1.0 => format!("{:.1}ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.1}s"),
        s if s < 3600.0 => format!("{:.0}m", (s / 60.0).floor()),
        s => format!("{:.0}h", (s / 3600.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        for (text, millis) in [("500ms", 500), ("5s", 5000), ("2m", 120_000), ("1.5", 1500)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "s", "5 apples", "-1s", "0s", "1e400", "inf", "nan"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn short_ones_fit_a_column() {
        let shown =
            [3_u64, 1400, 3_200_000, 330_000_000].map(|us| short(Duration::from_micros(us)));
        assert_eq!(shown, ["3us", "1.4ms", "3.2s", "5m"]);
    }
}
