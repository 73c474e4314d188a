//! Rung 1: a limit for what is already in use.
//! Needs: root
//! Shows: 48 MiB in use, 0 MiB counted, limit 16 MiB
use std::{fs, path::Path, process::id};

fn main() -> std::io::Result<()> {
    let v1 = Path::new("/sys/fs/cgroup/memory");
    let (top, max, now) = match v1.exists() {
        true => (v1, "memory.limit_in_bytes", "memory.usage_in_bytes"),
        false => (Path::new("/sys/fs/cgroup"), "memory.max", "memory.current"),
    };
    let eaten = vec![1u8; 48 << 20]; // touched: charged to where we are now
    let cgroup = top.join(format!("dockster-rung-{}", id()));
    fs::create_dir(&cgroup)?;
    fs::write(cgroup.join(max), (16 << 20).to_string())?;
    fs::write(cgroup.join("cgroup.procs"), id().to_string())?; // too late
    let counted: usize = fs::read_to_string(cgroup.join(now))?.trim().parse().unwrap_or(0);
    let mib = |bytes: usize| bytes >> 20;
    println!("{} MiB in use, {} MiB counted, limit 16 MiB", mib(eaten.len()), mib(counted));
    fs::write(top.join("cgroup.procs"), id().to_string())?;
    fs::remove_dir(&cgroup)
}
