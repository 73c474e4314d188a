//! Debian's `docker-registry`, on a port of its own, with what a test wants in its
//! configuration.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;

use dockster_tests::{Failed, Need, Run, TempDir, find_program};

/// What tests with a real registry need.
pub const REGISTRY: [Need; 3] =
    [Need::Program("docker-registry"), Need::Program("skopeo"), Need::Program("umoci")];

/// A registry that runs; dropped, it ends.
pub struct Server {
    child: Child,
    pub address: String,
    _dir: TempDir,
}

impl Server {
    /// Without any guard.
    pub fn plain() -> Result<Server, Failed> {
        Server::new("")
    }

    /// With more in its configuration: `{DIR}` is a directory that `furnish` has filled.
    pub fn new(more: &str) -> Result<Server, Failed> {
        let dir = TempDir::new();
        let at = dir.path().to_str().expect("a path in UTF-8");
        let http = if more.starts_with("http:") { "" } else { "http: {addr: '127.0.0.1:0'}\n" };
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {at}/store}}}}\n\
             {http}{more}\n"
        );
        fs::write(dir.join("config.yml"), config)?;
        let program = find_program("docker-registry").ok_or("no docker-registry")?;
        let mut command = Run::new(program).arg("serve").arg(dir.join("config.yml")).into_command();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
        // It says which port the kernel has given it.
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("docker-registry has ended:\n{said}").into());
            };
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find(['"', ',']).unwrap_or(rest.len());
                break rest[..end].trim().to_owned();
            }
            said += &line;
        };
        thread::spawn(move || lines.for_each(drop));
        Ok(Server { child, address, _dir: dir })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
