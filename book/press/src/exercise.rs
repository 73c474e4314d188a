//! Exercises, as their README.md tells them.

use std::path::Path;

use crate::html::escape;
use crate::tree::{Page, Tree, entries, shown};

/// An exercise.
#[derive(Debug, Default)]
pub struct Exercise {
    /// `Who is PID 1?`
    pub title: String,
    /// `core`, `stretch` or `design`.
    pub lane: String,
    /// How long it takes.
    pub minutes: u32,
    /// What it needs of the machine.
    pub needs: String,
    /// Whether it is a hole in the chapter's own source.
    pub hole: bool,
    /// The task, as Markdown.
    pub task: String,
    /// The number of the task's first line.
    pub task_line: usize,
}

const LANES: [&str; 3] = ["core", "stretch", "design"];
const NEEDS: [&str; 8] =
    ["user namespaces", "id ranges", "root", "limits", "v2", "iproute2", "nftables", "none"];
/// The most words of a task.
const LONGEST: usize = 200;

impl Exercise {
    /// Reads a README.md; what is wrong with it: the line and what.
    pub fn read(tree: &Tree, text: &str) -> Result<Exercise, Vec<(usize, String)>> {
        let mut lines = text.lines().enumerate().peekable();
        let mut exercise = Exercise::default();
        let mut wrong = Vec::new();
        match lines.next().and_then(|(_, line)| line.strip_prefix("# ")) {
            Some(title) => exercise.title = title.trim().to_owned(),
            None => wrong.push((1, "it begins with `# Title`".to_owned())),
        }
        while lines.next_if(|(_, line)| line.trim().is_empty()).is_some() {}
        let mut last = 1;
        while let Some((number, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            last = number + 1;
            let set = match line.split_once(':') {
                Some((key, value)) => exercise.set(tree, key.trim(), value.trim()),
                None => Err("an empty line stands before the task".to_owned()),
            };
            wrong.extend(set.err().map(|what| (last, what)));
        }
        for (missing, key) in [
            (exercise.lane.is_empty(), "lane"),
            (exercise.minutes == 0, "minutes"),
            (exercise.needs.is_empty(), "needs"),
        ] {
            if missing {
                wrong.push((last, format!("no `{key}:`")));
            }
        }
        while lines.next_if(|(_, line)| line.trim().is_empty()).is_some() {}
        exercise.task_line = lines.peek().map_or(last, |(number, _)| number + 1);
        exercise.task = lines.map(|(_, line)| line).collect::<Vec<_>>().join("\n");
        match crate::prose::words(&exercise.task) {
            0 => wrong.push((last, "no task".to_owned())),
            words if words > LONGEST => {
                wrong.push((exercise.task_line, format!("{words} words, more than {LONGEST}")));
            }
            _ => {}
        }
        if wrong.is_empty() { Ok(exercise) } else { Err(wrong) }
    }

    fn set(&mut self, tree: &Tree, key: &str, value: &str) -> Result<(), String> {
        match key {
            "lane" if LANES.contains(&value) => self.lane = value.to_owned(),
            "lane" => return Err(format!("no lane {value:?}: {}", LANES.join(" "))),
            "minutes" => {
                self.minutes = value.parse().map_err(|_| format!("no minutes: {value:?}"))?;
            }
            "needs" => {
                if let Some(word) = value.split(',').find(|word| !NEEDS.contains(&word.trim())) {
                    return Err(format!("no need {word:?}: {}", NEEDS.join(", ")));
                }
                self.needs = value.to_owned();
            }
            "page" => {
                let path = value.split('#').next().unwrap_or(value);
                tree.page(&format!("{path}.md")).ok_or(format!("no page {value:?}"))?;
            }
            "tests" => self.hole = true,
            _ => return Err(format!("no key {key:?}")),
        }
        Ok(())
    }

    /// As it stands on a page; `task` has its links.
    pub fn render(&self, number: &str, task: &str) -> String {
        let id = crate::prose::anchor_of(number);
        let title = escape(&self.title);
        let lane = &self.lane;
        let needs = if self.needs == "none" { "nothing special" } else { &self.needs };
        format!(
            "<div class=\"box exercise\" id=\"exercise-{id}\">\n<p class=\"box-title\">Exercise \
             {number}: {title}</p>\n<p class=\"about\">{lane}, {} minutes, needs {needs}</p>\n\n\
             {}\n\n<pre class=\"commands\"><code class=\"nohighlight\">\
             cargo x start {number}\ncargo x check {number}\ncargo x hint {number}</code></pre>\n\
             \n</div>",
            self.minutes,
            task.trim(),
        )
    }
}

/// The README.md of exercise `01.2`, from the top of the tree on.
pub fn file(tree: &Tree, page: &Page, number: &str) -> Result<String, String> {
    let none = || format!("no exercise {number}");
    let (chapter, own) = number.split_once('.').ok_or_else(none)?;
    let of_chapter = |folder: &String| folder.starts_with(&format!("chapters/{chapter}-"));
    // Chapter 00 has no crate, so it has no exercises in a folder of crates.
    let folder = tree.crates().into_iter().find(of_chapter).or(page.folder()).ok_or_else(none)?;
    let all = entries(&tree.top.join(folder).join("exercises"));
    let found = all.iter().find(|dir| folder_number(dir) == Some(own)).ok_or_else(none)?;
    Ok(shown(&tree.top, &found.join("README.md")))
}

/// `2` of `exercises/2-name`.
fn folder_number(dir: &Path) -> Option<&str> {
    dir.file_name()?.to_str()?.split_once('-').map(|(number, _)| number)
}
