//! Catalogue: not needed to understand the chapter.
//!
//! Times and durations as Go writes and reads them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ch01_clone::{Error, Result};

const DAY: i64 = 86_400;

/// RFC 3339 in UTC, to the second: `2026-01-31T12:00:00Z`.
pub(super) fn to_the_second(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let (year, month, day) = date(seconds / DAY);
    let rest = seconds % DAY;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same with nanoseconds, without zeros at the end.
pub(super) fn to_the_nanosecond(time: SystemTime) -> String {
    let nanoseconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let fraction = format!(".{nanoseconds:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    to_the_second(time).replace('Z', &format!("{fraction}Z"))
}

/// Year, month and day from days since 1970 (Howard Hinnant, "chrono-compatible
/// low-level date algorithms").
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// `5s`, `1m30s`, `1.5h`, `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration> {
    let wrong = || Error::new(format!("invalid duration {text:?}: a number and ms, s, m or h"));
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
        rest = &rest[end..];
    }
    match seconds > 0.0 {
        true => Duration::try_from_secs_f64(seconds).map_err(|_| wrong()),
        false => Err(Error::new("duration interval must be greater than 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        let at = |seconds, nanoseconds| UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        assert_eq!(
            to_the_nanosecond(at(1_795_533_991, 327_246_191)),
            "2026-11-24T15:26:31.327246191Z"
        );
        assert_eq!(to_the_nanosecond(at(951_782_400, 480_000_000)), "2000-02-29T00:00:00.48Z");
        assert_eq!(to_the_nanosecond(at(0, 0)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "0s", "5", "s", "5 s", "-1s", "1d"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
