//! Catalogue: not needed to understand the chapter.
//!
//! Cgroups that a container has made below its own.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use ch01_clone::{Error, Result};

use crate::Cgroup;

impl Cgroup {
    /// The cgroup below this one at a path by controller, or at one path for all of them,
    /// whose controller is `""`. It has to be there already; a controller that is not named
    /// stays where it is. Version 2 has one hierarchy, so only `""`.
    pub fn below(&self, paths: &BTreeMap<String, PathBuf>) -> Result<Self> {
        let mut dirs = self.paths();
        for (controller, path) in paths {
            let has = |names: &str| names.split(',').any(|name| name == controller);
            let mut found = false;
            for (_, dir) in dirs.iter_mut().filter(|(names, _)| controller.is_empty() || has(names))
            {
                *dir = under(dir, path)?;
                found = true;
            }
            if !found {
                return Err(Error::new(format!("unknown controller {controller}")));
            }
        }
        Self::from_paths(dirs)
    }
}

/// A path below a directory, and not beside it.
fn under(dir: &Path, path: &Path) -> Result<PathBuf> {
    let mut below = PathBuf::new();
    for component in path.components() {
        let stays = match component {
            Component::ParentDir => below.pop(),
            Component::Normal(name) => {
                below.push(name);
                true
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => true,
        };
        if !stays {
            return Err(Error::new(format!("{} is not a sub cgroup path", path.display())));
        }
    }
    Ok(dir.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(own: &[(&str, &str)], paths: &[(&str, &str)]) -> Result<BTreeMap<String, PathBuf>> {
        let map = |list: &[(&str, &str)]| -> BTreeMap<String, PathBuf> {
            list.iter().map(|(name, path)| ((*name).to_owned(), path.into())).collect()
        };
        Cgroup::from_paths(map(own))?.below(&map(paths)).map(|cgroup| cgroup.paths())
    }

    #[test]
    fn a_path_leads_below() {
        let own = [("", "/c/x")];
        for (path, dir) in [("a", "/c/x/a"), ("/a/./b", "/c/x/a/b"), ("a/../b", "/c/x/b")] {
            assert_eq!(below(&own, &[("", path)]).unwrap()[""], Path::new(dir));
        }
        for path in ["..", "a/../..", "../x2", "/.."] {
            let error = below(&own, &[("", path)]).unwrap_err();
            assert_eq!(error.call, format!("{path} is not a sub cgroup path"));
        }
        assert_eq!(below(&own, &[("memory", "a")]).unwrap_err().call, "unknown controller memory");
    }

    #[test]
    fn controllers_have_paths_of_their_own() {
        let own = [("", "/u/x"), ("cpu,cpuacct", "/cpu/x"), ("memory", "/m/x")];
        let all = below(&own, &[("", "a")]).unwrap();
        assert_eq!(all["memory"], Path::new("/m/x/a"));
        assert_eq!(all[""], Path::new("/u/x/a"));
        let some = below(&own, &[("cpuacct", "a")]).unwrap();
        assert_eq!(some["cpu,cpuacct"], Path::new("/cpu/x/a"));
        assert_eq!((&*some["memory"], &*some[""]), (Path::new("/m/x"), Path::new("/u/x")));
    }
}
