//! Catalogue: not needed to understand the chapter.
//!
//! Sizes and processor counts as docker writes them: `64m`, `1.5g`, `0.5`.

use ch01_clone::{Error, Result};

/// The period in which `--cpus` is counted, in microseconds; docker's and the kernel's.
pub const PERIOD: u64 = 100_000;

/// Bytes from a number and a unit, each a 1024 of the one before: `b` (or
/// nothing), `k`, `m`, `g`, `t`, `p`, in either case, also as `kb` or `kib`.
///
/// ```
/// use ch03_cgroups::sizes::size;
/// assert_eq!(size("64m"), Ok(67_108_864));
/// assert_eq!(size("1.5g"), Ok(1_610_612_736));
/// assert_eq!(size("12q").unwrap_err().to_string(), "\"12q\" is not a size: \"q\" is not a unit");
/// ```
pub fn size(text: &str) -> Result<u64> {
    let refuse = |why: &str| {
        Error::new(format!("{text:?} is not a size: {why}"))
            .hint("a number and a unit of b, k, m or g: 64m, 1.5g")
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let lower = unit.to_ascii_lowercase();
    let bare = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let shift = match bare {
        "" if lower != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ if number.is_empty() => return Err(refuse("it does not start with a number")),
        _ => return Err(refuse(&format!("{unit:?} is not a unit"))),
    };
    // Whole numbers stay exact; fractions are rounded down to whole bytes.
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(1 << shift),
        Err(_) => {
            let value: f64 =
                number.parse().map_err(|_| refuse("the number is missing or malformed"))?;
            let bytes = value * (1u64 << shift) as f64;
            (bytes < i64::MAX as f64).then_some(bytes as u64)
        }
    };
    bytes.filter(|&bytes| bytes <= i64::MAX as u64).ok_or_else(|| refuse("it is too large"))
}

/// The same, and `-1` for no limit.
pub fn size_or_unlimited(text: &str) -> Result<i64> {
    if text == "-1" { Ok(-1) } else { size(text).map(|bytes| bytes as i64) }
}

/// Microseconds in a [`PERIOD`] from a number of processors: `0.5`, `2`.
///
/// ```
/// assert_eq!(ch03_cgroups::sizes::cpus("0.5"), Ok(50_000));
/// ```
pub fn cpus(text: &str) -> Result<i64> {
    let refuse = |why: &str| {
        Error::new(format!("{text:?} is not a number of processors: {why}"))
            .hint("0.5 is half of one, 2 is two")
    };
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: f64 = text
        .parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| refuse("it wants digits and at most one point"))?;
    match (value * PERIOD as f64).round() {
        // The kernel gives no less than a millisecond a period.
        quota if quota < 1000.0 => Err(refuse("0.01 is the least")),
        quota if quota > 1e12 => Err(refuse("it is too large")),
        quota => Ok(quota as i64),
    }
}
