//! Catalogue: not needed to understand the chapter.
//!
//! The file system of an OCI configuration, as chapter 2 makes it.
//!
//! Specification: config.md "Mounts", config-linux.md "Devices", "Masked
//! Paths", "Readonly Paths", "Rootfs Mount Propagation", "Mount Label". Where it
//! is silent, runc is the model.

use std::path::{Path, PathBuf};

use ch01_clone::{Error, IdMaps, IdRange, Result};
use ch02_chroot::extra::{self, Extra, Flags, Propagation};
use ch02_chroot::nodes::Device;
use ch02_chroot::{Attributes, Mount, Rootfs, Source, Tree};
use nix::libc;
use nix::sys::stat::SFlag;
use oci_spec::runtime::{
    self, Linux, LinuxDevice, LinuxDeviceType, LinuxIdMapping, LinuxNamespaceType, Spec,
};

/// The root that a configuration describes.
pub(crate) fn rootfs(spec: &Spec, tree: Tree) -> Result<Rootfs> {
    let none = Linux::default();
    let linux = spec.linux().as_ref().unwrap_or(&none);
    let around = Around::of(linux)?;
    let mut rootfs = Rootfs::bare(tree);
    for one in spec.mounts().iter().flatten() {
        let mut mount = mount(one, &around)?;
        // Devices are still to be made in it.
        if mount.attributes.read_only && mount.target == Path::new("/dev") {
            mount.attributes.read_only = false;
            rootfs.more.frozen.push(mount.target.clone());
        }
        rootfs.mounts.push(mount);
    }
    rootfs.masked = paths("linux.maskedPaths", linux.masked_paths())?;
    rootfs.read_only_paths = paths("linux.readonlyPaths", linux.readonly_paths())?;
    rootfs.read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
    rootfs.more.devices =
        Some(linux.devices().iter().flatten().map(device).collect::<Result<_>>()?);
    rootfs.more.propagation = around.propagation;
    rootfs.more.early = around.user_namespace || around.propagation.is_some_and(slave);
    Ok(rootfs)
}

/// What the whole configuration says that matters for each mount.
#[derive(Default)]
struct Around {
    user_namespace: bool,
    ids: IdMaps,
    propagation: Option<Propagation>,
    label: Option<String>,
}

impl Around {
    fn of(linux: &Linux) -> Result<Self> {
        let namespaces = linux.namespaces().iter().flatten();
        let propagation = match linux.rootfs_propagation().as_deref() {
            None | Some("") => None,
            Some(name) => Some(Propagation::parse(name).ok_or_else(|| {
                Error::new(format!("linux.rootfsPropagation: {name:?} is not known"))
            })?),
        };
        let label = linux.mount_label().clone().filter(|label| !label.is_empty());
        if label.is_some() && !Path::new("/sys/fs/selinux/enforce").exists() {
            return Err(Error::new(
                "linux.mountLabel: selinux label is specified in config, but selinux is disabled \
                 or not supported",
            ));
        }
        Ok(Self {
            user_namespace: namespaces.into_iter().any(|n| n.typ() == LinuxNamespaceType::User),
            ids: IdMaps { uids: ranges(linux.uid_mappings()), gids: ranges(linux.gid_mappings()) },
            propagation,
            label,
        })
    }
}

fn slave(propagation: Propagation) -> bool {
    [Propagation::SLAVE, Propagation::SLAVES].contains(&propagation)
}

fn ranges(list: &Option<Vec<LinuxIdMapping>>) -> Vec<IdRange> {
    let range = |m: &LinuxIdMapping| IdRange {
        inside: m.container_id(),
        outside: m.host_id(),
        count: m.size(),
    };
    list.iter().flatten().map(range).collect()
}

fn paths(field: &str, list: &Option<Vec<String>>) -> Result<Vec<PathBuf>> {
    let path = |path: &String| match path.starts_with('/') {
        true => Ok(PathBuf::from(path)),
        false => Err(Error::new(format!("{field}: {path:?} is not an absolute path"))),
    };
    list.iter().flatten().map(path).collect()
}

fn device(device: &LinuxDevice) -> Result<Device> {
    let path = device.path();
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
        LinuxDeviceType::B => SFlag::S_IFBLK,
        LinuxDeviceType::P => SFlag::S_IFIFO,
        LinuxDeviceType::A => {
            return Err(Error::new(format!("linux.devices: {path:?} has no type of its own")));
        }
    };
    let number = |number: i64, name: &str| match u32::try_from(number) {
        Ok(number) => Ok(u64::from(number)),
        Err(_) => Err(Error::new(format!("linux.devices: {path:?}: the {name} is {number}"))),
    };
    Ok(Device {
        path: path.clone(),
        kind,
        number: match kind {
            SFlag::S_IFIFO => (0, 0),
            _ => (number(device.major(), "major")?, number(device.minor(), "minor")?),
        },
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// One mount.
fn mount(mount: &runtime::Mount, around: &Around) -> Result<Mount> {
    let options = Options::read(mount, around)?;
    let kind = mount.typ().as_deref().unwrap_or("");
    let source = mount.source().clone().unwrap_or_default();
    // As runc, a relative destination is one from the root.
    let target = Path::new("/").join(mount.destination());
    let Options { bind, mut attributes, mut extra, mut own } = options;
    if extra.ids.is_some() && !bind {
        return Err(refused(mount, "only the owners of a bind can be mapped"));
    }
    if bind {
        // A copy has the flags of its source. As runc, what is said is said of it alone.
        extra.top = with(extra.top, attributes);
        attributes = Attributes::default();
        extra.early |= around.user_namespace;
        // mount(2) would pass it over in silence.
        let off = ["async", "nomand", "nolazytime", "noiversion", "noacl"];
        if let Some(unknown) = own.iter().find(|option| !off.contains(&&***option)) {
            return Err(refused(mount, &format!("a bind has no option {unknown:?}")));
        }
        let source = Source::Bind(source);
        return Ok(Mount { target, source, attributes, extra: boxed(extra) });
    }
    if kind.is_empty() && !extra.remount {
        return Err(refused(mount, "a mount without a type"));
    }
    if let Some(label) = &around.label
        && !["proc", "sysfs", "cgroup"].contains(&kind)
    {
        own.push(format!("context={label}"));
    }
    if source.as_os_str() != kind && !source.as_os_str().is_empty() && !extra.remount {
        own.push(format!("source={}", source.display()));
    }
    extra.same_mode = kind == "tmpfs" && !own.iter().any(|option| option.starts_with("mode="));
    if extra.copy_up && kind != "tmpfs" {
        return Err(refused(mount, "tmpcopyup is for a tmpfs"));
    }
    let special = kind == "cgroup" || own.iter().any(|option| extra::too_long(option));
    let extra = if special { Some(Box::new(extra)) } else { boxed(extra) };
    let source = Source::New { kind: kind.to_owned(), options: own };
    Ok(Mount { target, source, attributes, extra })
}

fn refused(mount: &runtime::Mount, what: &str) -> Error {
    Error::new(format!("mounts: {:?}: {what}", mount.destination()))
}

/// What is not said takes the chapter's own road.
fn boxed(extra: Extra) -> Option<Box<Extra>> {
    (!extra.is_default()).then(|| Box::new(extra))
}

fn with(mut flags: Flags, attributes: Attributes) -> Flags {
    let set = [
        (attributes.read_only, libc::MOUNT_ATTR_RDONLY),
        (attributes.nosuid, libc::MOUNT_ATTR_NOSUID),
        (attributes.nodev, libc::MOUNT_ATTR_NODEV),
        (attributes.noexec, libc::MOUNT_ATTR_NOEXEC),
    ];
    set.into_iter().filter(|(on, _)| *on).for_each(|(_, flag)| flags.on(flag));
    flags
}

/// The options of a mount, sorted.
struct Options {
    bind: bool,
    attributes: Attributes,
    extra: Extra,
    /// What is for the file system.
    own: Vec<String>,
}

impl Options {
    fn read(mount: &runtime::Mount, around: &Around) -> Result<Self> {
        let list = || mount.options().iter().flatten().map(String::as_str);
        let has = |name: &str| list().any(|option| option == name);
        let bind = mount.typ().as_deref() == Some("bind") || has("bind") || has("rbind");
        let mut all = Self {
            bind,
            attributes: Attributes::default(),
            extra: Extra::default(),
            own: Vec::new(),
        };
        all.extra.flat = bind && !has("rbind");
        list().for_each(|option| all.add(option));
        all.map_owners(mount, around, has("ridmap"), has("idmap"))?;
        let wanted = &mut all.extra.propagation;
        all.extra.early = all.extra.ids.is_some() || wanted.iter().any(|how| how.needs_the_host());
        if wanted.iter().all(|how| how.is_private()) {
            // What every mount is, in a namespace that is cut off from the host's.
            wanted.clear();
        }
        // As runc: what is mounted inside shows on the host only if the root is shared, too.
        let open = around.propagation.is_some_and(Propagation::is_shared);
        if bind && !open && wanted.iter().any(|how| how.is_shared()) {
            wanted.insert(0, Propagation::SLAVES);
        }
        Ok(all)
    }

    fn add(&mut self, option: &str) {
        if let Some(how) = Propagation::parse(option) {
            return self.extra.propagation.push(how);
        }
        if self.attribute(option) {
            return;
        }
        let recursive = option.strip_prefix('r').filter(|name| is_flag(name));
        match (option, recursive) {
            (_, Some(name)) => flag(&mut self.extra.all, name),
            _ if is_flag(option) => flag(&mut self.extra.top, option),
            ("bind" | "rbind" | "defaults" | "silent" | "loud" | "idmap" | "ridmap", _) => {}
            ("remount", _) => self.extra.remount = true,
            ("tmpcopyup", _) => self.extra.copy_up = true,
            ("acl" | "noacl" | "iversion" | "noiversion", _) => {
                self.extra.optional.push(option.to_owned());
            }
            _ => self.own.push(option.to_owned()),
        }
    }

    /// The four that chapter 2 knows by itself; a bind may also be freed of one.
    fn attribute(&mut self, option: &str) -> bool {
        let all = &mut self.attributes;
        let (field, on, bit) = match option {
            "ro" | "rw" => (&mut all.read_only, option == "ro", libc::MOUNT_ATTR_RDONLY),
            "nosuid" | "suid" => (&mut all.nosuid, option == "nosuid", libc::MOUNT_ATTR_NOSUID),
            "nodev" | "dev" => (&mut all.nodev, option == "nodev", libc::MOUNT_ATTR_NODEV),
            "noexec" | "exec" => (&mut all.noexec, option == "noexec", libc::MOUNT_ATTR_NOEXEC),
            _ => return false,
        };
        *field = on;
        if !on && (self.bind || self.extra.remount) {
            self.extra.top.off(bit);
        }
        true
    }

    fn map_owners(
        &mut self,
        mount: &runtime::Mount,
        around: &Around,
        below: bool,
        top: bool,
    ) -> Result<()> {
        let own = IdMaps { uids: ranges(mount.uid_mappings()), gids: ranges(mount.gid_mappings()) };
        let maps = match (own.uids.is_empty(), own.gids.is_empty()) {
            (false, false) => own,
            (true, true) if !(below || top) => return Ok(()),
            // As runc: without maps of its own those of the container.
            (true, true) if !around.ids.uids.is_empty() && !around.ids.gids.is_empty() => {
                around.ids.clone()
            }
            (true, true) => return Err(refused(mount, "idmap takes uidMappings and gidMappings")),
            _ => return Err(refused(mount, "uidMappings and gidMappings go together")),
        };
        self.extra.ids = Some((maps, below));
        Ok(())
    }
}

/// Flags of a mount beside the four, and all of them after an `r`.
fn is_flag(name: &str) -> bool {
    flag_of(name).is_some()
}

/// The flag, and whether the name sets it. Of the times of last access one is set.
fn flag_of(name: &str) -> Option<(u64, bool)> {
    Some(match name {
        "ro" => (libc::MOUNT_ATTR_RDONLY, true),
        "rw" => (libc::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (libc::MOUNT_ATTR_NOSUID, true),
        "suid" => (libc::MOUNT_ATTR_NOSUID, false),
        "nodev" => (libc::MOUNT_ATTR_NODEV, true),
        "dev" => (libc::MOUNT_ATTR_NODEV, false),
        "noexec" => (libc::MOUNT_ATTR_NOEXEC, true),
        "exec" => (libc::MOUNT_ATTR_NOEXEC, false),
        "nosymfollow" => (libc::MOUNT_ATTR_NOSYMFOLLOW, true),
        "symfollow" => (libc::MOUNT_ATTR_NOSYMFOLLOW, false),
        "nodiratime" => (libc::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (libc::MOUNT_ATTR_NODIRATIME, false),
        "noatime" => (libc::MOUNT_ATTR_NOATIME, true),
        "strictatime" => (libc::MOUNT_ATTR_STRICTATIME, true),
        // What the kernel does unless told otherwise.
        "relatime" | "norelatime" | "atime" | "nostrictatime" => (Flags::ATIME, false),
        _ => return None,
    })
}

fn flag(flags: &mut Flags, name: &str) {
    match flag_of(name) {
        Some((bits, true)) => flags.on(bits),
        Some((bits, false)) => flags.off(bits),
        None => {}
    }
}

/// The other way round: a mount of chapter 2 as a configuration names it.
pub fn describe(mount: &Mount) -> runtime::Mount {
    let flags = mount.attributes;
    let flags = [
        (flags.read_only, "ro"),
        (flags.nosuid, "nosuid"),
        (flags.nodev, "nodev"),
        (flags.noexec, "noexec"),
    ];
    let mut options: Vec<_> =
        flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned()).collect();
    let (kind, source) = match &mount.source {
        Source::Bind(path) => {
            // In chapter 2 they hold for all that is mounted below, too.
            options.iter_mut().for_each(|option| option.insert(0, 'r'));
            options.push("rbind".to_owned());
            ("bind".to_owned(), path.clone())
        }
        Source::New { kind, options: own } => {
            options.extend(own.iter().cloned());
            (kind.clone(), kind.into())
        }
    };
    let mut described = runtime::Mount::default();
    described.set_destination(mount.target.clone());
    described.set_typ(Some(kind));
    described.set_source(Some(source));
    described.set_options(Some(options));
    described
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(config: Value) -> Result<Rootfs> {
        let mut all = json!({ "ociVersion": "1.2.0", "root": { "path": "rootfs" } });
        let more = config.as_object().cloned().unwrap_or_default();
        all.as_object_mut().expect("an object").extend(more);
        rootfs(&serde_json::from_value(all).expect("a config"), Tree::Directory("/x".into()))
    }

    fn one(mount: Value) -> Result<Mount> {
        read(json!({ "mounts": [mount] })).map(|mut rootfs| rootfs.mounts.remove(0))
    }

    fn with_options(options: &[&str]) -> Mount {
        let bind = json!({ "destination": "/d", "source": "s", "options": options });
        one(bind).expect("a mount")
    }

    fn words(result: Result<impl std::fmt::Debug>) -> String {
        result.expect_err("it is refused").to_string()
    }

    #[test]
    fn the_usual_mounts_take_the_short_road() {
        let proc = one(json!({ "destination": "/proc", "type": "proc", "source": "proc" }));
        assert!(proc.is_ok_and(|mount| mount.extra.is_none()));
        let shm = one(json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] }))
        .expect("a mount");
        assert!(shm.extra.is_none() && shm.attributes == Attributes::DATA);
        let Source::New { options, .. } = shm.source else { panic!("it is new") };
        assert_eq!(options, ["mode=1777", "size=65536k", "source=shm"]);
        let volume = with_options(&["rbind", "rprivate", "rw"]);
        assert!(volume.extra.is_some_and(|extra| !extra.early && !extra.flat));
    }

    #[test]
    fn a_bind_is_read_only_at_its_top_unless_it_says_rro() {
        let top = with_options(&["rbind", "ro"]).extra.expect("more");
        assert_eq!((top.top.set, top.all.set, top.flat), (libc::MOUNT_ATTR_RDONLY, 0, false));
        let all = with_options(&["bind", "rro"]).extra.expect("more");
        assert_eq!((all.top.set, all.all.set, all.flat), (0, libc::MOUNT_ATTR_RDONLY, true));
        let again = with_options(&["bind", "ro", "rw"]).extra.expect("more");
        assert_eq!((again.top.set, again.top.clear), (0, libc::MOUNT_ATTR_RDONLY));
    }

    #[test]
    fn of_the_times_of_last_access_the_last_one_counts() {
        let flags = |options: &[&str]| with_options(options).extra.expect("more").top;
        let atime = flags(&["bind", "noatime", "strictatime"]);
        assert_eq!((atime.set, atime.clear), (libc::MOUNT_ATTR_STRICTATIME, Flags::ATIME));
        let atime = flags(&["bind", "noatime", "nodiratime", "relatime"]);
        assert_eq!((atime.set, atime.clear), (libc::MOUNT_ATTR_NODIRATIME, Flags::ATIME));
    }

    #[test]
    fn what_is_described_is_read_back() {
        let mut volume = Mount::bind("/s", "/d");
        volume.attributes.read_only = true;
        let described = describe(&volume);
        let back = mount(&described, &Around::default()).expect("a mount");
        let extra = back.extra.expect("more");
        assert_eq!((extra.all.set, extra.flat), (libc::MOUNT_ATTR_RDONLY, false));
        let pts = Mount::new("devpts", "/dev/pts", &["mode=620"], Attributes::DATA);
        let back = mount(&describe(&pts), &Around::default()).expect("a mount");
        assert!(back.extra.is_none() && back.attributes == pts.attributes);
    }

    #[test]
    fn what_the_host_is_asked_for_is_opened_early() {
        let early = |options: &[&str]| with_options(options).extra.is_some_and(|e| e.early);
        assert!(early(&["rbind", "rslave"]) && early(&["rbind", "shared"]));
        assert!(!early(&["rbind", "rprivate"]) && !early(&["rbind", "unbindable"]));
        let rootfs = read(json!({
            "mounts": [{ "destination": "/d", "source": "s", "options": ["bind"] }],
            "linux": { "namespaces": [{ "type": "user" }] },
        }))
        .expect("a root");
        assert!(rootfs.more.early && rootfs.mounts[0].extra.as_ref().is_some_and(|e| e.early));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let untyped = words(one(json!({ "destination": "/d", "source": "s" })));
        assert!(untyped.contains("\"/d\": a mount without a type"), "{untyped}");
        let half = json!({ "destination": "/d", "source": "s", "options": ["bind", "idmap"] });
        assert!(words(one(half)).contains("idmap takes uidMappings and gidMappings"));
        let linux = |linux: Value| words(read(json!({ "linux": linux })));
        assert!(linux(json!({ "maskedPaths": ["proc/kcore"] })).contains("linux.maskedPaths"));
        assert!(linux(json!({ "rootfsPropagation": "often" })).contains("rootfsPropagation"));
        let device = json!({ "devices": [{ "path": "/dev/x", "type": "c", "major": -1 }] });
        assert!(linux(device).contains("the major is -1"));
    }

    #[test]
    fn a_read_only_dev_becomes_so_at_the_end() {
        let dev = json!({ "destination": "/dev", "type": "tmpfs", "options": ["ro", "mode=755"] });
        let rootfs = read(json!({ "mounts": [dev] })).expect("a root");
        assert!(!rootfs.mounts[0].attributes.read_only);
        assert_eq!(rootfs.more.frozen, [PathBuf::from("/dev")]);
    }
}
