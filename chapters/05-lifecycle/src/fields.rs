//! Catalogue: not needed to understand the chapter.
//!
//! Every field that a config.json may have on Linux, by the runtime
//! specification 1.3.0, and what becomes of it. The book's page `oci-fields.md`
//! is made from this table, and the tests in `tests/oci` follow it.

use ch01_clone::{Error, Result};
use oci_spec::runtime::Capability;
use serde_json::Value;

/// A field of config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its path. `[]` stands for each item of an array, `*` for each key of an object.
    pub path: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done as the specification says.
    Honoured,
    /// A configuration that asks for it is refused, by name: why, and what to do instead.
    Refused(&'static str),
    /// It changes nothing, as the specification has it: why.
    Ignored(&'static str),
}

use Verdict::{Honoured, Ignored, Refused};

const NO_RESCTRL: &str = "Dockster does not use resctrl. Leave it out, and move the processes by \
                          /sys/fs/resctrl yourself";
const NO_KERNEL_MEMORY: &str =
    "the kernel has no such limit any more. `memory.limit` counts kernel memory as well";
const NO_CFQ: &str = "the scheduler CFQ has gone from the kernel. Use `weight`";
const NO_NET_CLS: &str =
    "it takes version 1 controllers that most kernels lack. Use a rule of nftables on the cgroup";
const OTHER_PLATFORM: &str = "a section of another platform";

const fn honoured(path: &'static str) -> Field {
    Field { path, verdict: Honoured }
}

const fn refused(path: &'static str, why: &'static str) -> Field {
    Field { path, verdict: Refused(why) }
}

const fn ignored(path: &'static str, why: &'static str) -> Field {
    Field { path, verdict: Ignored(why) }
}

/// All of them, in the specification's order.
pub const FIELDS: &[Field] = &[
    honoured("ociVersion"),
    honoured("root.path"),
    honoured("root.readonly"),
    honoured("mounts[].destination"),
    honoured("mounts[].source"),
    honoured("mounts[].type"),
    honoured("mounts[].options"),
    honoured("mounts[].uidMappings[].containerID"),
    honoured("mounts[].uidMappings[].hostID"),
    honoured("mounts[].uidMappings[].size"),
    honoured("mounts[].gidMappings[].containerID"),
    honoured("mounts[].gidMappings[].hostID"),
    honoured("mounts[].gidMappings[].size"),
    honoured("process.terminal"),
    honoured("process.consoleSize.height"),
    honoured("process.consoleSize.width"),
    honoured("process.cwd"),
    honoured("process.env"),
    honoured("process.args"),
    ignored("process.commandLine", "it is read on Windows only"),
    honoured("process.rlimits[].type"),
    honoured("process.rlimits[].soft"),
    honoured("process.rlimits[].hard"),
    honoured("process.apparmorProfile"),
    honoured("process.capabilities.bounding"),
    honoured("process.capabilities.effective"),
    honoured("process.capabilities.inheritable"),
    honoured("process.capabilities.permitted"),
    honoured("process.capabilities.ambient"),
    honoured("process.noNewPrivileges"),
    honoured("process.oomScoreAdj"),
    honoured("process.scheduler.policy"),
    honoured("process.scheduler.nice"),
    honoured("process.scheduler.priority"),
    honoured("process.scheduler.flags"),
    honoured("process.scheduler.runtime"),
    honoured("process.scheduler.deadline"),
    honoured("process.scheduler.period"),
    honoured("process.selinuxLabel"),
    honoured("process.ioPriority.class"),
    honoured("process.ioPriority.priority"),
    honoured("process.execCPUAffinity.initial"),
    honoured("process.execCPUAffinity.final"),
    honoured("process.user.uid"),
    honoured("process.user.gid"),
    honoured("process.user.umask"),
    honoured("process.user.additionalGids"),
    ignored("process.user.username", "it is read on Windows only"),
    honoured("hostname"),
    honoured("domainname"),
    honoured("hooks.prestart[].path"),
    honoured("hooks.prestart[].args"),
    honoured("hooks.prestart[].env"),
    honoured("hooks.prestart[].timeout"),
    honoured("hooks.createRuntime[].path"),
    honoured("hooks.createRuntime[].args"),
    honoured("hooks.createRuntime[].env"),
    honoured("hooks.createRuntime[].timeout"),
    honoured("hooks.createContainer[].path"),
    honoured("hooks.createContainer[].args"),
    honoured("hooks.createContainer[].env"),
    honoured("hooks.createContainer[].timeout"),
    honoured("hooks.startContainer[].path"),
    honoured("hooks.startContainer[].args"),
    honoured("hooks.startContainer[].env"),
    honoured("hooks.startContainer[].timeout"),
    honoured("hooks.poststart[].path"),
    honoured("hooks.poststart[].args"),
    honoured("hooks.poststart[].env"),
    honoured("hooks.poststart[].timeout"),
    honoured("hooks.poststop[].path"),
    honoured("hooks.poststop[].args"),
    honoured("hooks.poststop[].env"),
    honoured("hooks.poststop[].timeout"),
    honoured("annotations.*"),
    honoured("linux.namespaces[].type"),
    honoured("linux.namespaces[].path"),
    honoured("linux.uidMappings[].containerID"),
    honoured("linux.uidMappings[].hostID"),
    honoured("linux.uidMappings[].size"),
    honoured("linux.gidMappings[].containerID"),
    honoured("linux.gidMappings[].hostID"),
    honoured("linux.gidMappings[].size"),
    honoured("linux.timeOffsets.*.secs"),
    honoured("linux.timeOffsets.*.nanosecs"),
    honoured("linux.devices[].type"),
    honoured("linux.devices[].path"),
    honoured("linux.devices[].major"),
    honoured("linux.devices[].minor"),
    honoured("linux.devices[].fileMode"),
    honoured("linux.devices[].uid"),
    honoured("linux.devices[].gid"),
    refused(
        "linux.netDevices.*",
        "no device is moved. Make a network namespace with the device in it, and name it by \
         `linux.namespaces[].path`",
    ),
    honoured("linux.cgroupsPath"),
    honoured("linux.resources.devices[].allow"),
    honoured("linux.resources.devices[].type"),
    honoured("linux.resources.devices[].major"),
    honoured("linux.resources.devices[].minor"),
    honoured("linux.resources.devices[].access"),
    honoured("linux.resources.memory.limit"),
    honoured("linux.resources.memory.reservation"),
    honoured("linux.resources.memory.swap"),
    refused("linux.resources.memory.kernel", NO_KERNEL_MEMORY),
    refused("linux.resources.memory.kernelTCP", NO_KERNEL_MEMORY),
    honoured("linux.resources.memory.swappiness"),
    honoured("linux.resources.memory.disableOOMKiller"),
    ignored("linux.resources.memory.useHierarchy", "the kernel always counts so"),
    honoured("linux.resources.memory.checkBeforeUpdate"),
    honoured("linux.resources.cpu.shares"),
    honoured("linux.resources.cpu.quota"),
    honoured("linux.resources.cpu.burst"),
    honoured("linux.resources.cpu.period"),
    honoured("linux.resources.cpu.realtimeRuntime"),
    honoured("linux.resources.cpu.realtimePeriod"),
    honoured("linux.resources.cpu.cpus"),
    honoured("linux.resources.cpu.mems"),
    honoured("linux.resources.cpu.idle"),
    honoured("linux.resources.blockIO.weight"),
    refused("linux.resources.blockIO.leafWeight", NO_CFQ),
    honoured("linux.resources.blockIO.weightDevice[].major"),
    honoured("linux.resources.blockIO.weightDevice[].minor"),
    honoured("linux.resources.blockIO.weightDevice[].weight"),
    refused("linux.resources.blockIO.weightDevice[].leafWeight", NO_CFQ),
    honoured("linux.resources.blockIO.throttleReadBpsDevice[].major"),
    honoured("linux.resources.blockIO.throttleReadBpsDevice[].minor"),
    honoured("linux.resources.blockIO.throttleReadBpsDevice[].rate"),
    honoured("linux.resources.blockIO.throttleWriteBpsDevice[].major"),
    honoured("linux.resources.blockIO.throttleWriteBpsDevice[].minor"),
    honoured("linux.resources.blockIO.throttleWriteBpsDevice[].rate"),
    honoured("linux.resources.blockIO.throttleReadIOPSDevice[].major"),
    honoured("linux.resources.blockIO.throttleReadIOPSDevice[].minor"),
    honoured("linux.resources.blockIO.throttleReadIOPSDevice[].rate"),
    honoured("linux.resources.blockIO.throttleWriteIOPSDevice[].major"),
    honoured("linux.resources.blockIO.throttleWriteIOPSDevice[].minor"),
    honoured("linux.resources.blockIO.throttleWriteIOPSDevice[].rate"),
    honoured("linux.resources.hugepageLimits[].pageSize"),
    honoured("linux.resources.hugepageLimits[].limit"),
    refused("linux.resources.network.classID", NO_NET_CLS),
    refused("linux.resources.network.priorities[].name", NO_NET_CLS),
    refused("linux.resources.network.priorities[].priority", NO_NET_CLS),
    honoured("linux.resources.pids.limit"),
    honoured("linux.resources.rdma.*.hcaHandles"),
    honoured("linux.resources.rdma.*.hcaObjects"),
    honoured("linux.resources.unified.*"),
    refused("linux.intelRdt.closID", NO_RESCTRL),
    refused("linux.intelRdt.schemata", NO_RESCTRL),
    refused("linux.intelRdt.l3CacheSchema", NO_RESCTRL),
    refused("linux.intelRdt.memBwSchema", NO_RESCTRL),
    refused("linux.intelRdt.enableCMT", NO_RESCTRL),
    refused("linux.intelRdt.enableMBM", NO_RESCTRL),
    refused("linux.intelRdt.enableMonitoring", NO_RESCTRL),
    honoured("linux.memoryPolicy.mode"),
    honoured("linux.memoryPolicy.nodes"),
    honoured("linux.memoryPolicy.flags"),
    honoured("linux.sysctl.*"),
    honoured("linux.seccomp.defaultAction"),
    honoured("linux.seccomp.defaultErrnoRet"),
    honoured("linux.seccomp.architectures"),
    honoured("linux.seccomp.flags"),
    honoured("linux.seccomp.listenerPath"),
    honoured("linux.seccomp.listenerMetadata"),
    honoured("linux.seccomp.syscalls[].names"),
    honoured("linux.seccomp.syscalls[].action"),
    honoured("linux.seccomp.syscalls[].errnoRet"),
    honoured("linux.seccomp.syscalls[].args[].index"),
    honoured("linux.seccomp.syscalls[].args[].value"),
    honoured("linux.seccomp.syscalls[].args[].valueTwo"),
    honoured("linux.seccomp.syscalls[].args[].op"),
    honoured("linux.rootfsPropagation"),
    honoured("linux.maskedPaths"),
    honoured("linux.readonlyPaths"),
    honoured("linux.mountLabel"),
    honoured("linux.personality.domain"),
    honoured("linux.personality.flags"),
    ignored("solaris", OTHER_PLATFORM),
    ignored("windows", OTHER_PLATFORM),
    ignored("vm", OTHER_PLATFORM),
    ignored("zos", OTHER_PLATFORM),
    ignored("freebsd", OTHER_PLATFORM),
];

/// Refuses a configuration that asks for what is not honoured: an error that names the
/// field. What the specification does not know is no error: "MUST ignore unknown properties"
/// (config.md, "Extensibility"). The types of oci-spec drop what they do not know, so this
/// looks at the text of the configuration itself.
pub fn refuse(config: &Value) -> Result<()> {
    for field in FIELDS {
        if let Refused(why) = field.verdict
            && asks(config, field.path)
        {
            let error = Error::new(format!("config.json: {} is not supported", field.path));
            return Err(error.hint(why));
        }
    }
    Ok(())
}

/// Whether there is something at this path in any item of the arrays and objects on the way.
fn asks(value: &Value, path: &str) -> bool {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let further = |value: &Value| rest.map_or_else(|| wants(value), |rest| asks(value, rest));
    if step == "*" {
        return value.as_object().is_some_and(|all| all.values().any(further));
    }
    match step.strip_suffix("[]") {
        Some(name) => {
            value.get(name).and_then(Value::as_array).is_some_and(|all| all.iter().any(further))
        }
        None => value.get(step).is_some_and(further),
    }
}

/// Whether a value asks for anything. Programs written in Go often write out what is
/// empty; 0 and -1 are "not set" and "no limit" for all fields that are refused.
fn wants(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => !matches!(number.as_i64(), Some(0 | -1)),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        // Empty, too, is what is asked for by its key (netDevices: {"eth0": {}}).
        Value::Object(_) => true,
    }
}

/// Spells what oci-spec's types know by another name, or not at all, as they know it.
/// Capabilities that are not known are left out with a warning (config.md, "Process").
pub fn respell(config: &mut Value) {
    config.get_mut("process").map(respell_process);
}

/// The same for a process alone, as `exec` reads it.
pub fn respell_process(process: &mut Value) {
    let flags = process.pointer_mut("/scheduler/flags").and_then(Value::as_array_mut);
    for flag in flags.into_iter().flatten() {
        match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => *flag = "SCHED_RESET_ON_FORK".into(),
            Some("SCHED_FLAG_DL_OVERRUN") => *flag = "SCHED_FLAG_D_L_OVERRUN".into(),
            _ => {}
        }
    }
    let sets = process.get_mut("capabilities").and_then(Value::as_object_mut);
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()) {
        let known = |name: &Value| serde_json::from_value::<Capability>(name.clone()).is_ok();
        if let Some(names) = set.as_array_mut() {
            for name in names.iter().filter(|name| !known(name)) {
                eprintln!("warning: ignoring unknown capability {name}");
            }
            names.retain(known);
        }
    }
}
