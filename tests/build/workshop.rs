//! A root with an image, and a directory to build in.

use std::fs;
use std::path::{Path, PathBuf};

use dockster_tests::{Done, Failed, Run};
use serde_json::Value;

use crate::tools::House;

pub struct Workshop {
    pub house: House,
}

impl Workshop {
    /// With the image `busybox` and these files, by name and content.
    pub fn new(files: &[(&str, &str)]) -> Result<Workshop, Failed> {
        Workshop::in_house(House::new()?, files)
    }

    pub fn in_house(house: House, files: &[(&str, &str)]) -> Result<Workshop, Failed> {
        fs::create_dir(house.join("context"))?;
        let workshop = Workshop { house };
        files.iter().try_for_each(|(name, content)| workshop.write(name, content))?;
        Ok(workshop)
    }

    pub fn context(&self) -> PathBuf {
        self.house.join("context")
    }

    /// Writes a file of the context.
    pub fn write(&self, name: &str, content: &str) -> Result<(), Failed> {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(fs::write(path, content)?)
    }

    /// `dockster build WORDS context`.
    pub fn build<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        self.house.dockster(["build"]).args(words).arg(self.context())
    }

    /// Builds the image `it` of a Dockerfile.
    pub fn image(&self, dockerfile: &str) -> Result<Done, Failed> {
        self.write("Dockerfile", dockerfile)?;
        self.build(["-t", "it"]).success()
    }

    /// What a shell script says in a container of the image `it`.
    pub fn says(&self, script: &str) -> Result<String, Failed> {
        Ok(self.house.run(["it", "sh", "-c", script]).success()?.stdout)
    }

    /// What is known of the image `it`.
    pub fn inspect(&self) -> Result<Value, Failed> {
        let said = self.house.dockster(["image", "inspect", "it"]).success()?.stdout;
        Ok(serde_json::from_str::<Value>(&said)?[0].take())
    }

    /// The error of a Dockerfile that cannot be built; the exit status is 1.
    pub fn fails(&self, dockerfile: &str) -> Result<Done, Failed> {
        self.write("Dockerfile", dockerfile)?;
        self.build(["-t", "it"]).code(1)
    }
}
