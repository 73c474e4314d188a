//! Times: nanoseconds since 1970, and how they are written (RFC 3339).

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// Now, in nanoseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// `2026-01-31T12:00:00.123456789Z`; docker's year 1 for a time that never came.
pub fn text(time: u64) -> String {
    if time == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    let (seconds, nanos) = (time / SECOND, time % SECOND);
    let (year, month, day) = date((seconds / 86_400) as i64);
    let rest = seconds % 86_400;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// The date of a day since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since 1970 of a date.
fn day(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The time that a user means: RFC 3339, seconds since 1970, or how long ago (`10m`).
pub fn parse(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Some((seconds * SECOND as f64) as u64);
    }
    match text.as_bytes().get(4) {
        Some(b'-') => stamp(text),
        _ => Some(now().saturating_sub(duration(text)?)),
    }
}

/// Docker's durations: `1h30m`, `1.5s`, `100ms`; in nanoseconds.
pub fn duration(text: &str) -> Option<u64> {
    let (mut rest, mut total) = (text, 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600e9,
            "m" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    Some(total as u64)
}

/// A duration as Go prints it: `1m30s`, `1.5s`, `200ms`.
pub fn go_duration(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    let part = |number: f64, unit: &str| format!("{}{unit}", (number * 1e6).round() / 1e6);
    match time.as_nanos() {
        0 => "0s".to_owned(),
        nanos @ 1..1_000 => format!("{nanos}ns"),
        nanos @ 1_000..1_000_000 => part(nanos as f64 / 1e3, "µs"),
        nanos @ 1_000_000..1_000_000_000 => part(nanos as f64 / 1e6, "ms"),
        _ => {
            let rest = part((seconds % 60) as f64 + f64::from(time.subsec_nanos()) / 1e9, "s");
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => rest,
                (0, minutes) => format!("{minutes}m{rest}"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
            }
        }
    }
}

/// RFC 3339; a date alone, and a time without a zone (then UTC), as docker.
pub fn stamp(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let day = day(number(0..4)?, number(5..7)?, number(8..10)?);
    let mut seconds = day * 86_400;
    let mut nanos = 0;
    if text.len() > 10 {
        seconds += number(11..13)? * 3600 + number(14..16)? * 60;
        let mut rest = text.get(16..)?;
        if let Some(after) = rest.strip_prefix(':') {
            seconds += after.get(..2)?.parse::<i64>().ok()?;
            rest = &after[2..];
        }
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            nanos = format!("{:0<9.9}", &after[..end]).parse().ok()?;
            rest = &after[end..];
        }
        seconds -= match rest.as_bytes() {
            [] | [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), ..] => {
                let (hours, minutes) = rest[1..].split_once(':')?;
                let offset = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
                if *sign == b'-' { -offset } else { offset }
            }
            _ => return None,
        };
    }
    u64::try_from(seconds).ok().map(|seconds| seconds * SECOND + nanos)
}
