//! Images, as other programs make them.

use std::path::{Path, PathBuf};

use dockster_tests::{Failed, Run};

use crate::tools::House;

/// An OCI layout that umoci has made of a small root: `LAYOUT:app`, three layers, one of
/// which takes a file away; it prints its marker.
pub fn umoci(house: &House) -> Result<PathBuf, Failed> {
    let tree = house.tree()?;
    let script = r#"
        umoci init --layout layout
        umoci new --image layout:app
        unpack="umoci unpack"; [ "$(id -u)" = 0 ] || unpack="umoci unpack --rootless"
        $unpack --image layout:app bundle
        cp -a "$0/." bundle/rootfs/
        echo old >bundle/rootfs/etc/gone
        umoci repack --refresh-bundle --image layout:app bundle
        echo marked >bundle/rootfs/etc/marker
        head -c 300000 /dev/urandom >bundle/rootfs/etc/noise
        umoci repack --refresh-bundle --image layout:app bundle
        rm bundle/rootfs/etc/gone
        umoci repack --refresh-bundle --image layout:app bundle
        umoci config --image layout:app --config.cmd cat --config.cmd /etc/marker
        rm -rf bundle
    "#;
    let run = Run::new("sh").args(["-euc", script]).arg(&tree).dir(house.join(""));
    run.success()?;
    Ok(house.join("layout"))
}

/// Copies with skopeo; registries of tests have no certificates.
pub fn copy(from: &str, to: &str, options: &[&str]) -> Result<(), Failed> {
    let policy = ["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    Run::new("skopeo").args(policy).args(options).args([from, to]).success().map(drop)
}

/// The digest that skopeo sees.
pub fn digest(image: &str, options: &[&str]) -> Result<String, Failed> {
    let inspect = ["inspect", "--no-tags", "--format", "{{.Digest}}"];
    let tls: &[&str] = if image.starts_with("docker:") { &["--tls-verify=false"] } else { &[] };
    let done = Run::new("skopeo").args(inspect).args(tls).args(options).arg(image).success()?;
    Ok(done.stdout.trim().to_owned())
}

/// The layout of a house's own store, as skopeo names it.
pub fn store(house: &House, name: &str) -> String {
    format!("oci:{}:{name}", house.root().join("images").display())
}

/// `oci:LAYOUT:NAME`
pub fn layout(path: &Path, name: &str) -> String {
    format!("oci:{}:{name}", path.display())
}
