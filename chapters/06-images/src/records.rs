//! Catalogue: not needed to understand the chapter.
//!
//! PAX records: what a header has no room for.
//!
//! Each is cut by the length that it begins with: a value may hold any byte.

use ch01_clone::{Error, Result};
use nix::sys::time::TimeSpec;

/// Keys and values, in order.
pub(crate) type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// `LENGTH KEY=VALUE\n`, again and again.
pub(crate) fn parse(mut bytes: &[u8]) -> Result<Records> {
    let mut records = Vec::new();
    while !bytes.is_empty() && bytes[0] != 0 {
        let cut = || {
            let space = bytes.iter().position(|&byte| byte == b' ')?;
            let length = decimal(&bytes[..space]).ok()? as usize;
            let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            Some((length, record[..equals].to_vec(), record[equals + 1..].to_vec()))
        };
        let (length, key, value) = cut().ok_or_else(|| Error::new("garbled PAX records"))?;
        records.push((key, value));
        bytes = &bytes[length..];
    }
    Ok(records)
}

/// The last one counts; an empty one takes back what was said.
pub(crate) fn find<'a>(records: &'a Records, key: &str) -> Option<&'a [u8]> {
    let found = records.iter().rev().find(|(name, _)| name == key.as_bytes());
    found.map(|(_, value)| &**value).filter(|value| !value.is_empty())
}

pub(crate) fn number(records: &Records, key: &str) -> Result<Option<u64>> {
    find(records, key).map(decimal).transpose()
}

pub(crate) fn decimal(digits: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Error::new("no number in a tar header"))
}

/// Seconds since 1970, with a fraction perhaps, and before 1970 perhaps.
pub(crate) fn seconds(text: &[u8]) -> Option<TimeSpec> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok()?;
    let nine: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i64 = nine.parse::<u32>().ok()?.into();
    Some(match text.starts_with('-') && nanos > 0 {
        true => TimeSpec::new(whole - 1, 1_000_000_000 - nanos),
        false => TimeSpec::new(whole, nanos),
    })
}
