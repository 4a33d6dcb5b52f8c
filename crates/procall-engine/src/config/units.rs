//! Amounts of time as people write them.

use std::time::Duration;

use procall::Error;

/// How long a text such as `500ms`, `5s`, `2m`, `1h` or `1.5s` means; a bare number is seconds. INVALID_ARGUMENT for whatever else, and for no
/// time at all.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(procall_engine::config::parse_duration("1.5s")?, Duration::from_millis(1500));
/// assert!(procall_engine::config::parse_duration("5 apples").is_err());
/// # Ok::<(), procall::Error>(())
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    let wrong = || Error::invalid(format!("\"{text}\" is no duration: write 500ms, 5s, 2m or 1h"));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(Error::invalid(format!("{text} is no time at all")));
    }
    Ok(duration)
}
