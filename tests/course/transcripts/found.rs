//! The runner of transcripts finds what is not as on the page: each of these pages is
//! wrong in one place, and a few are right.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use course::transcript::{self, Block, Played};
use dockster_tests::{Failed, Fingerprint, Need, TempDir, Trial, trial};

use super::{bench, nothing_stays};

/// Pages that are true.
const TRUE: &[(&str, &str)] = &[
    ("output", "console\n$ echo hello\nhello\n$ true\n$ printf '1\\n2\\n'\n1\n2"),
    ("two_lines", "console\n$ echo hello \\\n> world\nhello world"),
    ("tabs_and_spaces_at_the_end", "console\n$ printf 'Name:\\tbash  \\n'\nName:   bash"),
    ("control_sequences", "console\n$ printf '\\033[1mbold\\033[0m\\n'\nbold"),
    ("standing_in_the_tree", "console\n$ pwd\n~/dockster\n$ echo $HOME\n~"),
    ("interrupt", "console\n$ echo ready; sleep 1000\nready\n^C\n$ echo $?\n130"),
    ("end_of_input", "console\n$ cat\n^D\n$ sh\n$ ^D\n$ echo $?\n0"),
    ("enter", "console\n$ echo -n 'go on? '; head -n 1\ngo on?\n⏎\n\n$ echo yes\nyes"),
    ("a_terminal", "console\n$ tty; stty size\n/dev/pts/0\n24 78"),
    (
        "two_terminals",
        "console\n$ echo one; head -n 1; echo three\none\n2$ tty\n/dev/pts/1\n⏎\n\nthree",
    ),
    (
        "killed_by_the_other",
        "console differs=pids\n$ sh -c 'echo $$; exec sleep 1000'\n1234\n2$ kill 1234\n1…\n\
         Terminated\n$ echo $?\n143",
    ),
    (
        "pids",
        "console differs=pids\n$ echo $$\n1234\n$ cat /proc/1234/comm\nbash\n$ echo $$ is $$\n\
         1234 is 1234",
    ),
    (
        "jobs",
        "console differs=pids\n$ sleep 1000 &\n[1] 4711\n$ kill 4711; wait 4711\n\
         [1]+  Terminated              sleep 1000",
    ),
    ("inodes", "console differs=inodes\n$ readlink /proc/self/ns/uts\nuts:[4026531000]"),
    ("ids", "console differs=ids\n$ echo 0123456789ab\nba9876543210"),
    ("times", "console differs=times\n$ echo 12.5 ms, 10:11:12, 3s\n9.75 ms, 11:12:13, 20s"),
    ("sizes", "console differs=sizes\n$ echo '  17 MiB of 20K'\n   3 MiB of 400K"),
    ("paths", "console differs=paths\n$ echo file=/usr/bin/env.\nfile=/bin/env"),
    (
        "lines",
        "console differs=lines,pids,times\n$ ps\n    PID TTY          TIME CMD\n   \
         1234 pts/0    00:00:00 bash",
    ),
];

/// Pages that are not, and a part of what is said about each.
const WRONG: &[(&str, &str, &str)] = &[
    ("a_changed_line", "console\n$ echo new\nold", "page.md:2: $ echo new\n    - old\n    + new\n"),
    ("a_missing_line", "console\n$ echo a\na\nb", "      a\n    - b\n"),
    ("an_extra_line", "console\n$ printf 'a\\nb\\nc\\n'\na\nc", "      a\n    + b\n      c\n"),
    ("an_extra_line_at_the_end", "console\n$ printf 'a\\nb\\n'\na", "    + b\n"),
    ("output_where_the_page_has_none", "console\n$ echo a\n$ echo b\nb", "    + a\n"),
    ("spaces_in_a_line", "console\n$ echo 'a  b'\na b", "    + a  b\n"),
    ("a_number_outside_of_the_class", "console differs=times\n$ echo 17\n18", "    + 17\n"),
    ("a_number_without_a_class", "console\n$ echo 17\n18", "    + 17\n"),
    ("a_number_in_a_name", "console differs=pids\n$ echo 01-clone\n02-clone", "    + 01-clone\n"),
    (
        "a_text_beside_what_may_differ",
        "console differs=pids\n$ echo 17 cats\n18 dogs",
        "    + 17 cats\n",
    ),
    ("two_for_one_pid", "console differs=pids\n$ echo 17 18\n19 19", "    + 17 18\n"),
    (
        "one_for_two_inodes",
        "console differs=inodes\n$ echo [40265310] [40265310]\n[50000001] [50000002]",
        "    + [40265310]",
    ),
    ("another_prompt", "console\n$ true\n(lab 01) # true", "the prompt is \"$ \""),
    ("a_prompt_that_never_comes", "console\n$ sleep 1000", "no prompt after"),
    ("output_that_never_comes", "console\n$ sleep 1000\nready\n^C", "did not come"),
    ("no_new_line_at_the_end", "console\n$ printf a\na", "without a new line"),
    ("a_job_left", "console differs=pids\n$ sleep 1000 &\n[1] 17", "left behind: process"),
    ("a_daemon_left", "console\n$ setsid -f sleep 1000", "left behind: process"),
    (
        "a_process_that_outlives_the_window",
        "console\n$ sh -c 'trap \"\" HUP; echo ready; sleep 1000; :'\nready\n2$ true",
        "left behind: process",
    ),
    ("a_shell_that_ended", "console\n$ exit\nexit\n$ true", "has ended"),
];

/// Pages that cannot be read, and a part of what is said about each.
const UNREADABLE: &[(&str, &str, &str)] = &[
    ("an_unknown_attribute", "console wants=root\n$ true", "unknown attribute wants"),
    ("an_unknown_need", "console needs=luck\n$ true", "needs=luck is unknown"),
    ("an_unknown_class", "console differs=all\n$ true", "differs=all is unknown"),
    ("an_attribute_without_value", "console root\n$ true", "root has no value"),
    ("a_skip_without_reason", "console skip=\n$ true", "skip= wants a reason"),
    ("output_without_a_command", "console\nhello", "begins with a prompt"),
    ("an_empty_block", "console", "nothing is typed"),
    ("a_command_that_is_not_whole", "console\n$ echo \\", "is not whole"),
    ("a_command_that_goes_on_in_output", "console\n$ echo \\\nhello", "goes on after"),
];

/// All of them, and what has no table.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("transcripts::a_block_without_an_end_is_found", &[], no_end),
        trial("transcripts::a_block_in_a_quote_is_found", &[], quoted),
        trial("transcripts::a_block_within_a_block_is_none", &[], nested),
        trial("transcripts::accepted_output_keeps_what_may_differ", &[], accepted),
        trial("transcripts::names_are_those_of_the_book", &[Need::User], names),
        trial("transcripts::cargo_x_is_ours", &[], cargo_x),
        trial("transcripts::found::a_file_left", &[], a_file_left),
    ];
    trials.extend(
        TRUE.iter().map(|(name, block)| {
            trial(&format!("transcripts::true::{name}"), &[], || is_true(block))
        }),
    );
    trials.extend(WRONG.iter().map(|(name, block, said)| {
        trial(&format!("transcripts::found::{name}"), &[], || is_found(block, said))
    }));
    trials.extend(UNREADABLE.iter().map(|(name, block, said)| {
        trial(&format!("transcripts::found::{name}"), &[], || is_unreadable(block, said))
    }));
    trials
}

fn page(block: &str) -> String {
    format!("```{block}\n```\n")
}

fn parse(text: &str) -> Result<Vec<Block>, Failed> {
    transcript::parse("page", Path::new("page.md"), text).map_err(|e| format!("{e:#}").into())
}

fn only(block: &str) -> Result<Block, Failed> {
    parse(&page(block))?.pop().ok_or_else(|| "there is no block".into())
}

fn play(block: &Block) -> Result<Played, Failed> {
    let bench = bench(Duration::from_secs(2));
    transcript::play(block, &bench).map_err(|e| format!("{e:#}").into())
}

fn is_true(block: &str) -> Result<(), Failed> {
    let block = only(block)?;
    let played = play(&block)?;
    if !played.is_true() {
        return Err(transcript::report(&block, &played).into());
    }
    Ok(())
}

/// Found, said, and nothing is left that could disturb the next one.
fn is_found(block: &str, said: &str) -> Result<(), Failed> {
    let block = only(block)?;
    let start = Instant::now();
    let played = play(&block)?;
    let report = transcript::report(&block, &played);
    assert!(!played.is_true(), "it is not found");
    assert!(report.contains(said), "this is said:\n{report}and not:\n{said}");
    assert_eq!(left(), Vec::<String>::new(), "what was found is left");
    let limit = bench(Duration::from_secs(20)).patience;
    assert!(start.elapsed() < limit, "it took {:.1?}", start.elapsed());
    Ok(())
}

/// The homes of transcripts of this program, and processes that live in one.
fn left() -> Vec<String> {
    let name = format!("dockster-transcript-{}-", std::process::id());
    let parent = std::env::var_os("TMPDIR").unwrap_or("/var/tmp".into());
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let homes = entries(Path::new(&parent)).map(|entry| entry.path());
    let homes = homes.filter(|path| path.to_string_lossy().contains(&name));
    let processes = entries(Path::new("/proc")).map(|entry| entry.path());
    let lives_there = |path: &PathBuf| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&name)
    };
    homes.chain(processes.filter(lives_there)).map(|path| path.display().to_string()).collect()
}

fn is_unreadable(block: &str, said: &str) -> Result<(), Failed> {
    let error = transcript::parse("page", Path::new("page.md"), &page(block));
    let error = format!("{:#}", error.expect_err("it is not found"));
    assert!(error.contains(said) && error.contains("page.md"), "this is said: {error}");
    Ok(())
}

fn no_end() -> Result<(), Failed> {
    let error = transcript::parse("page", Path::new("page.md"), "text\n```console\n$ true\n");
    assert!(format!("{:#}", error.expect_err("it is not found")).contains("page.md:2"));
    Ok(())
}

fn quoted() -> Result<(), Failed> {
    for margin in ["> ", "  "] {
        let text = page("console\n$ true").replace('\n', &format!("\n{margin}"));
        let error = transcript::parse("page", Path::new("page.md"), &format!("{margin}{text}"));
        assert!(format!("{:#}", error.expect_err("it is not found")).contains("at the margin"));
    }
    Ok(())
}

fn nested() -> Result<(), Failed> {
    let text = format!("````text\n{}````\n", page("console\n$ true"));
    assert!(parse(&text)?.is_empty());
    Ok(())
}

/// A page, run, accepted, and run again: now it is true.
fn accepted() -> Result<(), Failed> {
    let dir = TempDir::new();
    let file = dir.join("page.md");
    let block = page("console differs=pids\n$ echo $$; echo new; echo $$\n1234\nold\n$ true");
    std::fs::write(&file, format!("# Page\n\n{block}\nText.\n"))?;
    let blocks = |_| transcript::blocks("page", &file).map_err(|e| format!("{e:#}"));
    let before = blocks(())?.remove(0);
    let played = play(&before)?;
    assert!(!played.is_true());
    transcript::write(&before, &transcript::accepted(&before, &played))
        .map_err(|e| format!("{e:#}"))?;
    let text = std::fs::read_to_string(&file)?;
    let wanted =
        page("console differs=pids\n$ echo $$; echo new; echo $$\n1234\nnew\n1234\n$ true");
    assert_eq!(text, format!("# Page\n\n{wanted}\nText.\n"));
    assert!(play(&blocks(())?.remove(0))?.is_true());
    Ok(())
}

fn names() -> Result<(), Failed> {
    is_true("console\n$ id -un\nstudent\n$ id -u\n1000\n$ echo $(id -u):$(id -g)\n1000:1000")?;
    is_true("console\n$ echo on $(hostname):\non laptop:\n$ echo x$(hostname) | grep -c laptop\n0")
}

/// What carries Dockster's name and stays, though all processes are gone.
fn a_file_left() -> Result<(), Failed> {
    let name = format!("dockster-left-by-{}", std::process::id());
    let before = Fingerprint::of_host();
    let block = only(&format!("console\n$ touch /tmp/{name}"))?;
    let played = play(&block)?;
    let found = nothing_stays(&before, Duration::from_millis(100));
    std::fs::remove_file(Path::new("/tmp").join(&name))?;
    assert!(played.is_true(), "{}", transcript::report(&block, &played));
    let message = found.expect_err("it is not found").message().unwrap_or_default().to_owned();
    assert!(message.contains(&name), "this is said: {message}");
    nothing_stays(&before, Duration::from_secs(10))
}

/// `cargo x` in a transcript is this build's `x`.
fn cargo_x() -> Result<(), Failed> {
    let block = only("console\n$ cargo x --help | grep -c promote\n1")?;
    let played = play(&block)?;
    if !played.is_true() {
        return Err(transcript::report(&block, &played).into());
    }
    Ok(())
}
