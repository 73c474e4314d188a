//! Catalogue: not needed to understand the chapter.
//!
//! Limits that no option of ours sets, and an OCI configuration can ask for:
//! `linux.resources` of the runtime specification (config-linux.md, "Control
//! groups"). What a version of cgroups does not have is refused by its name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ch01_clone::{Error, Result};
use nix::errno::Errno;

use crate::devices::DeviceRule;
use crate::interface::{number, read_if_any, write};
use crate::limits::{Limits, Setting, missing_or_refused};
use crate::scales::io_weight;
use crate::{Cgroup, v1};

/// The rarer limits. What is `None` or empty is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct More {
    /// How willingly the kernel swaps: 0 to 100. Version 1 only.
    pub swappiness: Option<u64>,
    /// Kernel memory in bytes. Version 1 only, and no more in Linux 5.16.
    pub kernel: Option<i64>,
    /// Memory of TCP buffers in bytes. Version 1 only.
    pub kernel_tcp: Option<i64>,
    /// Above the memory limit processes wait instead of being killed. Version 1 only.
    pub disable_oom_killer: Option<bool>,
    /// Whether what is below counts here, too; version 2 always does that.
    pub use_hierarchy: Option<bool>,
    /// A memory limit below what is in use is refused, not enforced by killing.
    pub check_before_update: bool,
    /// Processor time in microseconds that may be saved up and used above the quota.
    pub cpu_burst: Option<u64>,
    /// 1: they run only when nobody else wants to. 0: as all others.
    pub cpu_idle: Option<i64>,
    /// Microseconds a period for real-time scheduling. Version 1 only.
    pub realtime_runtime: Option<i64>,
    /// The length of that period in microseconds. Version 1 only.
    pub realtime_period: Option<u64>,
    /// The share of a busy disk against the cgroups below: 10 to 1000. Version 1 only.
    pub io_leaf_weight: Option<u16>,
    /// Shares of single disks.
    pub io_weights: Vec<DeviceWeight>,
    /// Bytes in huge pages, by the size of a page (`2MB`).
    pub hugepages: Vec<(String, i64)>,
    /// Handles and objects, by the name of an RDMA device.
    pub rdma: BTreeMap<String, (Option<u32>, Option<u32>)>,
    /// The class of the packets that they send (tc(8)). Version 1 only.
    pub class_id: Option<u32>,
    /// Priorities of what they send, by network interface. Version 1 only.
    pub priorities: Vec<(String, u32)>,
    /// Files and what to write into them. Version 2 only.
    pub unified: BTreeMap<String, String>,
    /// Which devices they may use; what no rule allows is denied.
    pub devices: Option<Vec<DeviceRule>>,
}

/// The share of one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceWeight {
    /// The disk's major device number.
    pub major: u64,
    /// The disk's minor device number.
    pub minor: u64,
    /// From 10 to 1000.
    pub weight: Option<u16>,
    /// The same against the cgroups below. Version 1 only.
    pub leaf_weight: Option<u16>,
}

impl Limits {
    /// Whether anything is limited. Rules for devices do not count: they are
    /// there for every container, and where we may set none, none are needed.
    pub fn asked(&self) -> bool {
        *self
            != Self {
                more: More { devices: self.more.devices.clone(), ..More::default() },
                ..Self::default()
            }
    }
}

impl More {
    /// The v2 files, in this order, after those of [`Limits`].
    pub(crate) fn settings(&self, weight: Option<u16>, all: &mut Vec<Setting>) -> Result<()> {
        if *self == Self::default() && weight.is_none() {
            return Ok(());
        }
        self.refuse_v1_only()?;
        let mut set = |file: Cow<'static, str>, value: String| all.push(Setting::new(file, value));
        for device in &self.io_weights {
            if let Some(weight) = device.weight {
                let DeviceWeight { major, minor, .. } = device;
                set("io.weight".into(), format!("{major}:{minor} {}", io_weight(weight)));
            }
        }
        if let Some(usec) = self.cpu_burst {
            set("cpu.max.burst".into(), usec.to_string());
        }
        if let Some(idle) = self.cpu_idle {
            set("cpu.idle".into(), idle.to_string());
        }
        for (size, bytes) in &self.hugepages {
            set(format!("hugetlb.{size}.max").into(), crate::limits::max(*bytes));
        }
        self.rdma_lines().for_each(|line| set("rdma.max".into(), line));
        for (file, value) in &self.unified {
            check_unified(file)?;
            value.lines().for_each(|line| set(file.clone().into(), line.to_owned()));
        }
        all.extend(self.optional(weight));
        Ok(())
    }

    /// What is set as well where the kernel has it: huge pages that are
    /// reserved and not used yet, and the scheduler that obeys a weight of its own.
    fn optional(&self, weight: Option<u16>) -> Vec<Setting> {
        let mut all = Vec::new();
        let mut set = |file: Cow<'static, str>, value: String| {
            all.push(Setting { optional: true, ..Setting::new(file, value) });
        };
        for (size, bytes) in &self.hugepages {
            set(format!("hugetlb.{size}.rsvd.max").into(), crate::limits::max(*bytes));
        }
        if let Some(weight) = weight {
            set("io.bfq.weight".into(), weight.to_string());
        }
        for device in &self.io_weights {
            if let Some(weight) = device.weight {
                let DeviceWeight { major, minor, .. } = device;
                set("io.bfq.weight".into(), format!("{major}:{minor} {weight}"));
            }
        }
        all
    }

    /// `mlx5_1 hca_handle=3 hca_object=10000`
    pub(crate) fn rdma_lines(&self) -> impl Iterator<Item = String> {
        self.rdma.iter().map(|(device, (handles, objects))| {
            let field = |name: &str, value: &Option<u32>| {
                value.map(|value| format!(" {name}={value}")).unwrap_or_default()
            };
            format!("{device}{}{}", field("hca_handle", handles), field("hca_object", objects))
        })
    }

    fn refuse_v1_only(&self) -> Result<()> {
        let asked = [
            ("memory.kernel", self.kernel.is_some()),
            ("memory.kernelTCP", self.kernel_tcp.is_some()),
            ("memory.swappiness", self.swappiness.is_some()),
            ("memory.disableOOMKiller", self.disable_oom_killer == Some(true)),
            ("memory.useHierarchy: false", self.use_hierarchy == Some(false)),
            ("cpu.realtimeRuntime", self.realtime_runtime.is_some()),
            ("cpu.realtimePeriod", self.realtime_period.is_some()),
            ("blockIO.leafWeight", self.io_leaf_weight.is_some()),
            (
                "blockIO.weightDevice.leafWeight",
                self.io_weights.iter().any(|device| device.leaf_weight.is_some()),
            ),
            ("network.classID", self.class_id.is_some()),
            ("network.priorities", !self.priorities.is_empty()),
        ];
        match asked.iter().find(|(_, asked)| *asked) {
            Some((field, _)) => {
                Err(Error::new(format!("linux.resources.{field} is not supported with cgroups v2")))
            }
            None => Ok(()),
        }
    }

    /// The v1 files, in this order, after those of [`Limits`].
    pub(crate) fn v1_settings(&self) -> Result<Vec<Setting>> {
        let mut all = Vec::new();
        if *self == Self::default() {
            return Ok(all);
        }
        if !self.unified.is_empty() {
            return Err(Error::new("invalid configuration: cannot use unified on cgroup v1"));
        }
        if let Some(value) = self.swappiness.filter(|&value| value > 100) {
            return Err(Error::new(format!(
                "invalid memory swappiness value: {value} (valid range is 0-100)"
            )));
        }
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        let flag = |value: Option<bool>| value.map(|value| i32::from(value).to_string());
        let values = [
            ("memory.kmem.limit_in_bytes", number(self.kernel)),
            ("memory.kmem.tcp.limit_in_bytes", number(self.kernel_tcp)),
            ("memory.use_hierarchy", flag(self.use_hierarchy)),
            ("memory.swappiness", self.swappiness.map(|value| value.to_string())),
            ("memory.oom_control", flag(self.disable_oom_killer)),
            ("cpu.rt_period_us", self.realtime_period.map(|value| value.to_string())),
            ("cpu.rt_runtime_us", number(self.realtime_runtime)),
            ("cpu.cfs_burst_us", self.cpu_burst.map(|value| value.to_string())),
            ("cpu.idle", number(self.cpu_idle)),
            ("net_cls.classid", self.class_id.map(|value| value.to_string())),
        ];
        let given = values.into_iter().filter_map(|(file, value)| value.map(|v| (file, v)));
        all.extend(given.map(|(file, value)| Setting::new(file, value)));
        all.extend(
            self.priorities
                .iter()
                .map(|(name, value)| Setting::new("net_prio.ifpriomap", format!("{name} {value}"))),
        );
        for (size, bytes) in &self.hugepages {
            all.push(Setting::new(format!("hugetlb.{size}.limit_in_bytes"), bytes));
            let reserved = Setting::new(format!("hugetlb.{size}.rsvd.limit_in_bytes"), bytes);
            all.push(Setting { optional: true, ..reserved });
        }
        all.extend(self.rdma_lines().map(|line| Setting::new("rdma.max", line)));
        Ok(all)
    }
}

/// It is written as it is given, but into this cgroup's files only.
fn check_unified(file: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(format!("unified resource {file:?} must be {why}")));
    const CONTROLLERS: [&str; 9] =
        ["cgroup", "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"];
    let controller = file.split('.').next().unwrap_or_default();
    match file {
        _ if file.contains('/') => refuse("a file name (no slashes)"),
        _ if !file.contains('.') => refuse("in the form CONTROLLER.PARAMETER"),
        _ if !CONTROLLERS.contains(&controller) => refuse("of a controller that exists"),
        _ => Ok(()),
    }
}

impl Cgroup {
    /// The values by the names of version 2, for the narration.
    pub(crate) fn described(&self, limits: &Limits) -> Result<String> {
        let settings = match &self.v1 {
            None => limits.settings()?,
            // It may have what version 2 has not.
            Some(_) => limits.settings().unwrap_or_default(),
        };
        let values = settings.iter().map(|s| format!("{}: {}", s.file, s.value));
        Ok(values.collect::<Vec<_>>().join(", "))
    }

    /// The same limits with what they need to know of those that are set
    /// already: swap is counted beside memory, a quota with its period.
    pub(crate) fn completed<'a>(&self, limits: &'a Limits) -> Result<Cow<'a, Limits>> {
        let mut limits = Cow::Borrowed(limits);
        if limits.memory.is_none() && limits.memory_swap.is_some_and(|total| total > 0) {
            let now = self.file_of("memory", "memory.max", "memory.limit_in_bytes")?;
            let now = now.as_deref().and_then(number).filter(|&bytes| bytes < v1::UNLIMITED);
            limits.to_mut().memory = now.map(|bytes| bytes as i64);
        }
        if self.v1.is_none() && limits.cpu_quota.is_none() && limits.cpu_period.is_some() {
            let now = read_if_any(&self.dir, "cpu.max")?.unwrap_or_default();
            limits.to_mut().cpu_quota = now.split(' ').next().and_then(|quota| quota.parse().ok());
        }
        self.check_usage(&limits)?;
        self.make_way(&limits)?;
        Ok(limits)
    }

    /// Refuses what would kill at once, for those who asked for this check.
    fn check_usage(&self, limits: &Limits) -> Result<()> {
        if !limits.more.check_before_update {
            return Ok(());
        }
        let usage = self.file_of("memory", "memory.current", "memory.usage_in_bytes")?;
        let Some(usage) = usage.as_deref().and_then(number) else { return Ok(()) };
        let rejects = |limit: Option<i64>| limit.filter(|&l| l > 0 && l as u64 <= usage);
        let checked = [("memory+swap", limits.memory_swap), ("memory", limits.memory)];
        match checked.iter().find_map(|(what, limit)| rejects(*limit).map(|limit| (what, limit))) {
            Some((what, limit)) => {
                Err(Error::new(format!("rejecting {what} limit {limit} <= usage {usage}")))
            }
            None => Ok(()),
        }
    }

    /// An idle cgroup takes no shares, and a quota must not be below the burst:
    /// these two come first when they make way, and after it otherwise.
    fn make_way(&self, limits: &Limits) -> Result<()> {
        let dir = match &self.v1 {
            None => &self.dir,
            Some(v1) if limits.more != More::default() => match v1.dir("cpu") {
                Ok(dir) => dir,
                Err(_) => return Ok(()),
            },
            Some(_) => return Ok(()),
        };
        if limits.more.cpu_idle == Some(0) && limits.cpu_shares.is_some() {
            write(dir, "cpu.idle", "0")?;
        }
        if let (Some(usec), Some(_)) = (limits.more.cpu_burst, limits.cpu_quota) {
            let file = if self.v1.is_some() { "cpu.cfs_burst_us" } else { "cpu.max.burst" };
            match write(dir, file, &usec.to_string()) {
                Err(error) if error.errno == Some(Errno::EINVAL) => {}
                done => {
                    done.or_else(|error| missing_or_refused(dir, &Setting::new(file, usec), error))?
                }
            }
        }
        Ok(())
    }

    pub(crate) fn limit_v1(&self, v1: &v1::Cgroup, limits: &Limits) -> Result<()> {
        v1.limit(limits)?;
        v1.limit_more(&limits.more, (!v1.alone).then_some(&self.dir))
    }

    /// Devices are no numbers, and where we may set no rules none are needed.
    pub(crate) fn limit_devices(&self, limits: &Limits) -> Result<()> {
        limits.more.devices.as_ref().map_or(Ok(()), |rules| self.allow_devices(rules))
    }

    /// Whether it is one of version 2 alone.
    pub fn unified(&self) -> bool {
        self.v1.is_none()
    }

    /// The text of a controller's file, by its name in each version; `None` where
    /// this host or this cgroup has no such file.
    pub fn file_of(&self, controller: &str, v2: &str, v1: &str) -> Result<Option<String>> {
        match &self.v1 {
            None => read_if_any(&self.dir, v2),
            Some(dirs) => match dirs.dir(controller) {
                Ok(dir) => read_if_any(dir, v1),
                Err(_) => Ok(None),
            },
        }
    }
}
