//! Catalogue: not needed to understand the chapter.
//!
//! Weights on the scales of both versions, and caps for single disks.

use std::path::Path;

use crate::limits::Setting;

/// What may go to and from one disk, a second; `None`: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceLimit {
    /// The disk's major device number (`ls -l /dev/sda`).
    pub major: u64,
    /// The disk's minor device number.
    pub minor: u64,
    /// Bytes read a second.
    pub read_bps: Option<u64>,
    /// Bytes written a second.
    pub write_bps: Option<u64>,
    /// Reads a second.
    pub read_iops: Option<u64>,
    /// Writes a second.
    pub write_iops: Option<u64>,
}

/// v2 weighs processors from 1 to 10000 with 100 in the middle, v1 (and so
/// docker and OCI) from 2 to 262144 with 1024. One curve through these three
/// points, in logarithms; runc and crun use the same.
pub(crate) fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// 10 to 1000, linear, onto 1 to 10000.
pub(crate) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

impl DeviceLimit {
    /// `8:0 rbps=1048576 wiops=max`
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{}:{}", self.major, self.minor);
        let fields = [
            ("rbps", self.read_bps),
            ("wbps", self.write_bps),
            ("riops", self.read_iops),
            ("wiops", self.write_iops),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                // As in version 1, 0 is no limit.
                let value = if value == 0 { "max".to_owned() } else { value.to_string() };
                line += &format!(" {name}={value}");
            }
        }
        line
    }
}

/// Whether a disk's weight goes into another file here: the scheduler bfq has its own.
pub(crate) fn other_weight(dir: &Path, setting: &Setting) -> bool {
    setting.file == "io.weight" && dir.join("io.bfq.weight").exists()
}
