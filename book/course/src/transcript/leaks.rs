//! What a session leaves behind.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The processes of a session that are still there after this time, each as a line of
/// text; they are killed. Known by the session of its shells, or by its home.
pub(super) fn end(sessions: &[Pid], home: &Path, patience: Duration) -> Vec<String> {
    let start = Instant::now();
    let mut left = processes(sessions, home);
    while !left.is_empty() && start.elapsed() < patience {
        sleep(Duration::from_millis(10));
        left = processes(sessions, home);
    }
    let told = left.iter().map(|pid| told(*pid)).collect();
    // Until nobody is left who could make more of them.
    let start = Instant::now();
    while !left.is_empty() && start.elapsed() < patience {
        for pid in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        sleep(Duration::from_millis(10));
        left = processes(sessions, home);
    }
    told
}

fn processes(sessions: &[Pid], home: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw)
        .filter(|pid| belongs(*pid, sessions, home))
        .collect()
}

fn belongs(pid: Pid, sessions: &[Pid], home: &Path) -> bool {
    // "4711 (a name) S parent group session …"
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut fields = stat.rsplit(") ").next().unwrap_or("").split(' ');
    let zombie = matches!(fields.next(), Some("Z" | "X"));
    let session = fields.nth(2).and_then(|n| n.parse().ok()).map(Pid::from_raw);
    let in_session = session.is_some_and(|s| sessions.contains(&s));
    !zombie && (in_session || has_home(pid, home))
}

fn has_home(pid: Pid, home: &Path) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let home = format!("HOME={}", home.display());
    environment.split(|b| *b == 0).any(|variable| variable == home.as_bytes())
}

fn told(pid: Pid) -> String {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
    format!("process {pid} ({})", arguments.trim())
}
