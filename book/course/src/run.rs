//! A chapter's program: built as whoever runs this, and then this process becomes it.
//!
//! Signals, the terminal and the exit status are the program's own that way.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use ch01_clone::Error;
use ch01_clone::error::Context;
use nix::unistd::{Uid, User, geteuid};

use crate::programs;
use crate::tree;

/// How to run it.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The chapter: `01`.
    pub chapter: String,
    /// Whether it shall be root.
    pub root: bool,
    /// Whether it is the learner's own.
    pub mine: bool,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Run {
    /// Becomes the program; returns only if that fails.
    pub fn exec(self) -> Result<u8> {
        let tree = tree();
        let chapter = programs::with_program(&tree, &self.chapter)?;
        refuse_to_build_as_root(&tree, &format!("cargo x run {} --root -- …", chapter.number))?;
        let program = match self.mine {
            true => crate::mine::program(&tree, &chapter.number)?,
            false => programs::program(&programs::build(&tree, &[&chapter])?, &chapter.name)?,
        };
        let mut command = match self.root {
            true => as_root(&program)?,
            false => Command::new(&program),
        };
        let failed = command.args(words(&chapter.number, self.arguments)).exec();
        Err(failed).call(|| format!("execve({:?})", command.get_program())).map_err(Into::into)
    }
}

/// The arguments as the program takes them. Chapter 1's takes nothing but a command, and
/// `cargo x run 01 -- id` shall be enough for it: the second `--` is ours.
fn words(chapter: &str, mut arguments: Vec<OsString>) -> Vec<OsString> {
    let first = arguments.first().and_then(|word| word.to_str());
    if chapter == "01" && first.is_some_and(|word| !word.starts_with('-') && word != "join") {
        arguments.insert(0, "--".into());
    }
    arguments
}

/// The program, started as root: only it, so that nothing that cargo makes is root's.
fn as_root(program: &Path) -> Result<Command> {
    if geteuid().is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = doctor::changes::elevator() else {
        return Err(Error::new("--root: neither sudo nor doas is installed")
            .hint(
                "as root: `apt install sudo`, `adduser YOU sudo`, and log in anew (elsewhere: the \
                 packages sudo or doas, the group wheel). Or leave --root out: most of \
                 the book works without",
            )
            .into());
    };
    let mut command = Command::new(sudo);
    command.arg("--").arg(program);
    Ok(command)
}

/// `sudo cargo x …`: what cargo builds would be root's, in a tree that is not. `instead`
/// is what to type.
pub fn refuse_to_build_as_root(tree: &Path, instead: &str) -> Result<()> {
    let Ok(meta) = std::fs::metadata(tree) else { return Ok(()) };
    if !geteuid().is_root() || meta.uid() == 0 || programs::programs().is_some() {
        return Ok(());
    }
    let user = User::from_uid(Uid::from_raw(meta.uid())).ok().flatten();
    let user = user.map_or_else(|| meta.uid().to_string(), |user| user.name);
    Err(Error::new(format!("you are root here, and these sources are {user}'s"))
        .hint(format!(
            "what is built now would be root's, and stand in {user}'s way. As {user}, without \
             sudo: {instead} (it builds as you; with --root it starts only the program as \
             root). If there are files of root's already: sudo chown -R {user} target"
        ))
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_alone_is_enough_for_chapter_1() {
        let said = |chapter: &str, text: &str| {
            let words = words(chapter, text.split(' ').map(OsString::from).collect());
            words.into_iter().map(|w| w.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(said("01", "id -un"), "-- id -un");
        assert_eq!(said("01", "-- id"), "-- id");
        assert_eq!(said("01", "--explain -- id"), "--explain -- id");
        assert_eq!(said("01", "join 7 -- sh"), "join 7 -- sh");
        assert_eq!(said("02", "target/rootfs -- sh"), "target/rootfs -- sh");
    }
}
