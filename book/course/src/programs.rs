//! The chapters, their programs, and where these are once they are built.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use ch01_clone::Error;

use crate::cargo::cargo;
use crate::tree;

/// The directory with built programs, where somebody has built them already and
/// there may be no cargo: `DOCKSTER_PROGRAMS`.
pub fn programs() -> Option<PathBuf> {
    std::env::var_os("DOCKSTER_PROGRAMS").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// What the course has chapters about; the last ones are still to come.
const LAST: u32 = 7;

/// A chapter that has a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// `01-clone`: its folder, and its program.
    pub name: String,
    /// `01`.
    pub number: String,
    /// Whether it has a program already.
    pub has_program: bool,
}

/// All chapters that have a folder, in order.
pub fn chapters(tree: &Path) -> Vec<Chapter> {
    let folders = std::fs::read_dir(tree.join("chapters")).into_iter().flatten().flatten();
    let chapter = |folder: PathBuf| {
        let name = folder.file_name()?.to_str()?.to_owned();
        let (number, _) = name.split_once('-')?;
        Some(Chapter {
            number: number.to_owned(),
            has_program: folder.join("src/main.rs").is_file(),
            name,
        })
    };
    let mut all: Vec<_> = folders.filter_map(|entry| chapter(entry.path())).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// `2`, `02` or `02-chroot`: `02`. It need not have a folder: chapter 0 has none.
pub fn number(text: &str) -> Result<String> {
    let digits = text.split('-').next().unwrap_or(text);
    match digits.parse::<u32>() {
        Ok(number) if number <= LAST => Ok(format!("{number:02}")),
        _ => Err(Error::new(format!("there is no chapter {text:?}"))
            .hint(format!("chapters are 00 to {LAST:02}"))
            .into()),
    }
}

/// The chapter of this number that has a program; else, said kindly, which ones have.
pub fn with_program(tree: &Path, text: &str) -> Result<Chapter> {
    let all = chapters(tree);
    let have: Vec<_> = all.iter().filter(|c| c.has_program).map(|c| c.name.as_str()).collect();
    let hint = format!("programs there are: {}", have.join(", "));
    let number = number(text)?;
    let what = match all.iter().find(|chapter| chapter.number == number) {
        Some(chapter) if chapter.has_program => return Ok(chapter.clone()),
        Some(chapter) => format!("{} is a library so far, and has no program yet", chapter.name),
        None if number == "00" => "chapter 00 has no program: it looks at the machine's own".into(),
        None => format!("chapter {number} is still to be written"),
    };
    Err(Error::new(what).hint(hint).into())
}

/// Builds these chapters' programs, as whoever runs this; the directory with them.
pub fn build(tree: &Path, chapters: &[&Chapter]) -> Result<PathBuf> {
    if let Some(dir) = programs() {
        return Ok(dir);
    }
    if chapters.is_empty() {
        return Ok(target(tree).join("debug"));
    }
    let packages = chapters.iter().flat_map(|c| ["-p".to_owned(), format!("ch{}", c.name)]);
    let mut args = vec!["build".to_owned(), "--quiet".to_owned()];
    args.extend(packages);
    let target = target(tree);
    let built = cargo(tree, Some(&target), &args)?;
    eprint!("{}", String::from_utf8_lossy(&built.stderr));
    match built.status.success() {
        true => Ok(target.join("debug")),
        false => bail!("it does not compile: the compiler says where"),
    }
}

/// Where cargo puts what it builds: where it has put this program.
pub fn target(tree: &Path) -> PathBuf {
    let told = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let around_us = || {
        let exe = std::env::current_exe().ok()?;
        let debug = exe.parent().filter(|dir| dir.ends_with("debug"))?;
        debug.parent().map(Path::to_owned)
    };
    told.or_else(around_us).unwrap_or_else(|| tree.join("target"))
}

/// One of the built programs, as an absolute path.
pub fn program(dir: &Path, name: &str) -> Result<PathBuf> {
    let file = std::path::absolute(dir.join(name))?;
    match file.is_file() {
        true => Ok(file),
        false => Err(Error::new(format!("no program {}", file.display()))
            .hint("DOCKSTER_PROGRAMS says where built programs are: without it, x builds them")
            .into()),
    }
}

/// All that have one, built; where they are.
pub fn build_all() -> Result<PathBuf> {
    build_up_to(&format!("{LAST:02}"))
}

/// Those of this chapter (`02`) and of the chapters before it, built, for a lab's PATH; where
/// they are. Later ones have more to build than a reader of this one wants to wait for.
pub fn build_up_to(chapter: &str) -> Result<PathBuf> {
    let tree = tree();
    let all = chapters(&tree);
    let known = |c: &&Chapter| c.has_program && c.number.as_str() <= chapter;
    build(&tree, &all.iter().filter(known).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_number_as_people_write_it() {
        assert_eq!(number("1").unwrap(), "01");
        assert_eq!(number("02-chroot").unwrap(), "02");
        assert_eq!(number("00").unwrap(), "00");
        assert!(number("8").is_err() && number("clone").is_err() && number("-1").is_err());
    }

    #[test]
    fn says_kindly_what_there_is_not() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_eq!(with_program(&tree, "1").unwrap().name, "01-clone");
        let none = with_program(&tree, "07").unwrap_err().to_string();
        assert!(none.contains("no program yet"), "{none}");
        assert!(with_program(&tree, "0").unwrap_err().to_string().contains("machine's own"));
    }
}
