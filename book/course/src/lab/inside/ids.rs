//! Ranges of ids for the containers that are made inside a lab.
//!
//! Root in here reads /etc/subuid as root anywhere does, and finds no line for it. So a
//! line is put there, in the lab's own mounts: every id that the lab itself has.

use std::fs;
use std::path::Path;

use ch01_clone::{Context, IdMaps, Plan, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Binds files of our own over /etc/subuid and /etc/subgid; nothing without ranges.
pub(super) fn grant(plan: &Plan<'_>) -> Result<()> {
    let Some(ids) = plan.ids.as_ref().filter(|ids| ids.users() > 1) else { return Ok(()) };
    // A file has to lie somewhere to be bound: on a file system that is gone after.
    let workshop = Path::new("/proc");
    super::mount_over("tmpfs", workshop, "mode=755")?;
    let done = bind_both(workshop, ids);
    umount2(workshop, MntFlags::MNT_DETACH).call(|| "umount2(tmpfs)")?;
    done
}

fn bind_both(workshop: &Path, ids: &IdMaps) -> Result<()> {
    for (name, count) in [("subuid", count(&ids.uids)), ("subgid", count(&ids.gids))] {
        let (file, place) = (workshop.join(name), Path::new("/etc").join(name));
        fs::write(&file, format!("root:1:{count}\n")).call(|| format!("write({file:?})"))?;
        mount(Some(&file), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .call(|| format!("mount({file:?}, {place:?}, MS_BIND)"))?;
    }
    Ok(())
}

/// All but root itself.
fn count(ranges: &[ch01_clone::IdRange]) -> u32 {
    ranges.iter().filter(|range| range.inside != 0).map(|range| range.count).sum()
}
