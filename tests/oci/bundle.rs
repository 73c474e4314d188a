//! What all topics share: a bundle of one's own, the runtime's verbs, and that nothing is
//! left of either.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dockster_tests::{
    Cgroups, Done, Failed, Fingerprint, Need, Run, TempDir, Trial, busybox_rootfs, host, trial,
    wait_until,
};
use serde_json::{Value, json};

/// Time enough for anything that ends by itself.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The runtime under test: ours, or another one, to see that a test tests what it should
/// (`DOCKSTER_TEST_RUNTIME=/usr/sbin/runc`).
pub fn runtime() -> OsString {
    std::env::var_os("DOCKSTER_TEST_RUNTIME")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_dockster-oci").into())
}

/// The name of the other runtime, if it is another one.
pub fn other() -> Option<String> {
    let path = std::env::var("DOCKSTER_TEST_RUNTIME").ok()?;
    let name = Path::new(&path).file_name()?.to_string_lossy().into_owned();
    (name != "dockster-oci").then_some(name)
}

type Test = fn(&mut Bundle) -> Result<(), Failed>;

/// A test with a bundle of its own; at its end nothing may be left.
pub fn case(name: &str, needs: &[Need], test: Test) -> Trial {
    trial(name, needs, move || {
        let mut bundle = Bundle::new()?;
        test(&mut bundle)?;
        bundle.nothing_left()
    })
}

/// As [`case`], of something that neither runc 1.1.5 nor crun 1.8.1 has.
pub fn ours(name: &str, needs: &[Need], test: Test) -> Trial {
    let made = case(name, needs, test);
    match other() {
        Some(other) => made.with_kind(format!("{other} does not have it")).with_ignored_flag(true),
        None => made,
    }
}

/// A test that does not run here, with the reason.
pub fn not_here(trial: Trial, reason: Option<&str>) -> Trial {
    match reason {
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        None => trial,
    }
}

/// A container to be, its directory, and the runtime's `--root`.
pub struct Bundle {
    dir: TempDir,
    before: Fingerprint,
    /// Its id.
    pub id: String,
    /// Its config.json; written before each command that reads it.
    pub config: Value,
}

impl Bundle {
    /// With a small root, and a configuration as `runc spec` makes it.
    pub fn new() -> Result<Bundle, Failed> {
        let dir = TempDir::new();
        let name = dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = name.replace("dockster-test", "oci");
        let before = Fingerprint::of(&[&*dir.path().to_string_lossy(), &id]);
        let config = if host().root { base(&id) } else { base_of_a_user() };
        let bundle = Bundle { dir, before, id, config };
        fs::create_dir(bundle.rootfs())?;
        busybox_rootfs(&bundle.rootfs())?;
        Ok(bundle)
    }

    /// The directory of the bundle.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Its root file system, on the host.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// Sets a field: "process.user.uid". A number is the index in a list, or its end.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> &mut Bundle {
        let mut at = &mut self.config;
        for step in path.split('.') {
            at = match step.parse::<usize>() {
                Ok(index) => {
                    if !at.is_array() {
                        *at = json!([]);
                    }
                    let list = at.as_array_mut().expect("it is a list now");
                    if index >= list.len() {
                        list.push(Value::Null);
                    }
                    let last = list.len() - 1;
                    &mut list[index.min(last)]
                }
                Err(_) => {
                    if !at.is_object() {
                        *at = json!({});
                    }
                    &mut at[step]
                }
            };
        }
        *at = value.into();
        self
    }

    /// Adds an item to a list.
    pub fn push(&mut self, path: &str, value: impl Into<Value>) -> &mut Bundle {
        self.set(&format!("{path}.99999"), value)
    }

    /// Takes a field away: the last step of the path.
    pub fn unset(&mut self, path: &str) -> &mut Bundle {
        let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
        let pointer = if parent.is_empty() {
            String::new()
        } else {
            format!("/{}", parent.replace('.', "/"))
        };
        if let Some(object) = self.config.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            object.remove(last);
        }
        self
    }

    /// Takes a namespace out of `linux.namespaces`.
    pub fn without_namespace(&mut self, kind: &str) -> &mut Bundle {
        if let Some(list) = self.config["linux"]["namespaces"].as_array_mut() {
            list.retain(|namespace| namespace["type"] != kind);
        }
        self
    }

    /// Gives a namespace a path.
    pub fn join_namespace(&mut self, kind: &str, path: impl AsRef<Path>) -> &mut Bundle {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.without_namespace(kind).push("linux.namespaces", json!({"type": kind, "path": path}))
    }

    /// A user namespace with this many ids from 100000 on.
    pub fn map_ids(&mut self) -> &mut Bundle {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        self.push("linux.namespaces", json!({"type": "user"}))
            .set("linux.uidMappings", map.clone())
            .set("linux.gidMappings", map)
    }

    /// The program is a shell with this script.
    pub fn script(&mut self, script: &str) -> &mut Bundle {
        self.set("process.args", json!(["sh", "-c", script]))
    }

    /// Writes config.json.
    pub fn write(&self) -> Result<(), Failed> {
        fs::write(self.join("config.json"), serde_json::to_vec_pretty(&self.config)?)?;
        Ok(())
    }

    /// `RUNTIME --root ROOT WORDS`.
    pub fn oci<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        Run::new(runtime()).arg("--root").arg(self.join("state")).args(words)
    }

    /// `RUNTIME run`, in the foreground.
    pub fn run(&self) -> Result<Run, Failed> {
        self.write()?;
        Ok(self.oci(["run", "--bundle"]).arg(self.dir()).arg(&self.id))
    }

    /// Runs a script in it, which must succeed.
    pub fn sh(&mut self, script: &str) -> Result<Done, Failed> {
        self.script(script).run()?.success()
    }

    /// What a script in it prints, without the last newline.
    pub fn says(&mut self, script: &str) -> Result<String, Failed> {
        Ok(self.sh(script)?.stdout.trim_end().to_owned())
    }

    /// Runs a script in it; the words of what has to be a failure.
    pub fn refuses(&mut self, script: &str) -> Result<String, Failed> {
        let done = self.script(script).run()?.done()?;
        if done.status.success() {
            return Err(done.failed("it is not refused"));
        }
        if done.stderr.trim().is_empty() {
            return Err(done.failed("it is refused without a word"));
        }
        Ok(done.stderr)
    }

    /// `RUNTIME create WORDS --bundle DIR ID`. The container's output goes to files, as
    /// does the runtime's.
    pub fn create_with(&self, words: &[&str]) -> Result<Done, Failed> {
        self.write()?;
        let script = r#"cd "$1"; shift; exec "$@" </dev/null >>out 2>>err"#;
        Run::new("sh")
            .args(["-c", script, "sh"])
            .arg(self.dir())
            .arg(runtime())
            .arg("--root")
            .arg(self.join("state"))
            .arg("create")
            .args(words)
            .arg("--bundle")
            .arg(self.dir())
            .arg(&self.id)
            .done()
    }

    /// Creates it.
    pub fn create(&self) -> Result<(), Failed> {
        let done = self.create_with(&[])?;
        match done.status.success() {
            true => Ok(()),
            false => Err(done.failed(&format!("create: {}", self.errors()))),
        }
    }

    /// Creates it, which has to fail; the words of the failure.
    pub fn create_fails(&self) -> Result<String, Failed> {
        let done = self.create_with(&[])?;
        match done.status.success() {
            true => Err(done.failed("create has to fail")),
            false => Ok(self.errors()),
        }
    }

    /// `RUNTIME VERB ID`, which must succeed.
    pub fn verb(&self, verb: &str) -> Result<Done, Failed> {
        self.oci([verb, &self.id]).success()
    }

    /// Creates and starts it.
    pub fn start(&self) -> Result<(), Failed> {
        self.create()?;
        self.verb("start").map(|_| ())
    }

    /// Starts a script, and waits until it has printed the line `ready`.
    pub fn ready(&mut self, script: &str) -> Result<(), Failed> {
        self.script(&format!("{script}\necho ready; exec sleep 1000")).start()?;
        self.wait_for("ready\n")
    }

    /// Waits until it has written this.
    pub fn wait_for(&self, text: &str) -> Result<(), Failed> {
        wait_until(&format!("it says {text:?}"), PATIENCE, || self.output().contains(text)).map_err(
            |failed| {
                let why = failed.message().unwrap_or("").to_owned();
                format!("{why}\n{}\n{}", self.output(), self.errors()).into()
            },
        )
    }

    /// Waits until it has this status.
    pub fn until(&self, status: &str) -> Result<(), Failed> {
        wait_until(&format!("the status is {status}"), PATIENCE, || {
            self.state().is_ok_and(|state| state["status"] == status)
        })
    }

    /// What a created container has written.
    pub fn output(&self) -> String {
        fs::read(self.join("out"))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What it, and `create`, have complained about.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.join("err")).unwrap_or_default()
    }

    /// `RUNTIME state`.
    pub fn state(&self) -> Result<Value, Failed> {
        Ok(serde_json::from_str(&self.verb("state")?.stdout)?)
    }

    /// Its first process, as the host numbers it.
    pub fn pid(&self) -> Result<i32, Failed> {
        let pid = self.state()?["pid"].as_i64().filter(|pid| *pid > 0);
        pid.map(|pid| pid as i32).ok_or_else(|| "it has no pid".into())
    }

    /// A file of its first process in the host's /proc.
    pub fn proc(&self, file: &str) -> Result<String, Failed> {
        let path = format!("/proc/{}/{file}", self.pid()?);
        Ok(fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?)
    }

    /// `RUNTIME exec ID WORDS`, with options before the id.
    pub fn exec(&self, options: &[&str], words: &[&str]) -> Run {
        self.oci(["exec"]).args(options).arg(&self.id).args(words)
    }

    /// Kills and deletes it.
    pub fn end(&self) -> Result<(), Failed> {
        self.oci(["delete", "--force", &self.id]).success().map(|_| ())
    }

    /// The directory of its cgroup for a controller, or of cgroup v2 without one.
    pub fn cgroup(&self, controller: &str) -> Result<PathBuf, Failed> {
        let lines = self.proc("cgroup")?;
        // "4:memory:/path" or "0::/path".
        let found = lines.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let controllers = fields.nth(1)?;
            let path = fields.next()?.trim_start_matches('/');
            match (host().cgroups, controllers) {
                (Cgroups::V2, "") => Some(Path::new("/sys/fs/cgroup").join(path)),
                (_, list) if list.split(',').any(|name| name == controller) => {
                    let dir = if controller.is_empty() { "unified" } else { list };
                    Some(Path::new("/sys/fs/cgroup").join(dir).join(path))
                }
                _ => None,
            }
        });
        found.ok_or_else(|| format!("no {controller} in {lines}").into())
    }

    /// What a file of its cgroup says: by the name of version 1 ("memory/limit_in_bytes"
    /// is memory.limit_in_bytes of the controller memory), or of version 2.
    pub fn limit(&self, v1: &str, v2: &str) -> Result<String, Failed> {
        let (controller, name) = v1.split_once('/').ok_or("CONTROLLER/FILE")?;
        let file = match host().cgroups {
            Cgroups::V2 => self.cgroup("")?.join(v2),
            _ => self.cgroup(controller)?.join(name),
        };
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(text.trim_end().to_owned())
    }

    /// Fails if there is anything left of it, once it was deleted: a process, a cgroup, a
    /// mount, a file of the runtime's.
    pub fn nothing_left(&self) -> Result<(), Failed> {
        self.oci(["delete", "--force", &self.id]).done()?;
        let left: Vec<_> = fs::read_dir(self.join("state"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        if !left.is_empty() {
            return Err(format!("the state directory still holds {left:?}").into());
        }
        self.before.unchanged(Duration::from_secs(5))
    }
}

impl Drop for Bundle {
    /// A test that has failed may leave a container, and above it a cgroup.
    fn drop(&mut self) {
        for entry in fs::read_dir(self.join("state")).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            let _ = self.oci(["delete", "--force", &id]).done();
        }
        let tops = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for top in tops.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]) {
            let own = top.join(&self.id);
            let deep = own.join("deep");
            for dir in [deep.join("er"), deep, own] {
                let _ = fs::remove_dir(dir);
            }
        }
    }
}

/// What docker lets a container do by default, without what needs no test here.
pub const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

fn base(id: &str) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/bin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
            },
            "noNewPrivileges": false,
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "oci",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"},
            ],
        },
    })
}

/// As `runc spec --rootless`: one id, and no cgroup of one's own.
fn base_of_a_user() -> Value {
    let mut config = base("");
    let one = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    let linux = config["linux"].as_object_mut().expect("it is an object");
    linux.remove("cgroupsPath");
    linux.insert("uidMappings".into(), one(nix::unistd::getuid().as_raw()));
    linux.insert("gidMappings".into(), one(nix::unistd::getgid().as_raw()));
    linux["namespaces"].as_array_mut().expect("it is a list").push(json!({"type": "user"}));
    config["mounts"][2]["options"] =
        json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    config
}
