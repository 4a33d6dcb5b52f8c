//! Amounts of memory as people write them.

use procall::{Error, ErrorCode};

/// Units by their names in lower case, and how many bytes one has.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// How many bytes a text such as `2GiB`, `1.5 GiB`, `300 MB` or `1048576` means. KiB, MiB, GiB and TiB are powers of 1,024, KB, MB, GB and TB
/// those of 1,000; large and small letters are the same. Whatever else it is ends with INVALID_ARGUMENT.
///
/// ```
/// assert_eq!(procall_pool::parse_bytes("2GiB")?, 2 << 30);
/// assert_eq!(procall_pool::parse_bytes("1.5 kb")?, 1_500);
/// assert!(procall_pool::parse_bytes("2 gigs").is_err());
/// # Ok::<(), procall::Error>(())
/// ```
pub fn parse_bytes(text: &str) -> Result<u64, Error> {
    bytes(text.trim()).ok_or_else(|| {
        Error::new(
            ErrorCode::InvalidArgument,
            format!("\"{text}\" is no amount of memory: give bytes, or a number with a unit, such as 512MiB, 2GiB or 300MB"),
        )
    })
}

fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    match number.parse::<u64>() {
        Ok(number) => number.checked_mul(*size),
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * *size as f64;
            // Whole bytes; above 2^53 a float no longer has them all.
            (number.contains('.') && bytes < (1_u64 << 53) as f64).then_some(bytes as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn amounts_are_read_as_they_are_meant() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512 B", 512),
            (" 2GiB ", 2 << 30),
            ("2gib", 2 << 30),
            ("1.5GiB", 3 << 29),
            ("0.5 KiB", 512),
            ("300MB", 300_000_000),
            ("3 TB", 3_000_000_000_000),
            ("1tib", 1 << 40),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_what_would_be_one() {
        for text in [
            "",
            " ",
            "GiB",
            "2 gigs",
            "-1",
            "1e9",
            "1,5GiB",
            ".",
            "1.2.3MB",
            "2G iB",
            "99999999TiB",
            "∞",
        ] {
            let error = parse_bytes(text).unwrap_err();
            assert!(error.message().contains("2GiB"), "{text}: {error}");
        }
    }
}
