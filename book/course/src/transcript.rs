//! The transcripts of the book: they are executed, and compared.
//!
//! A transcript is a fenced block of the kind `console`:
//!
//! ````text
//! ```console needs=user differs=pids
//! $ echo $$
//! 1234
//! $ grep PPid /proc/1234/status \
//! > /proc/self/status | wc -l
//! 2
//! $ sleep 100
//! 2$ id -un
//! student
//! ^C
//! ```
//! ````
//!
//! **Typed** is what follows a prompt: `$ ` (bash, in the top of the source tree) or
//! `(NAME) # ` (a shell of a chapter's program, or of the lab). A `2` before the prompt
//! means a second terminal. A line that ends in ` \` goes on in the next one, after `> `.
//! A line that is just `⏎`, `^C` or `^D` is a key: in the first terminal; with a `2`
//! before it, in the second. So is `^C` or `^D` right after a prompt. The line `1…`
//! types nothing: what follows is the first terminal's output again.
//!
//! **All else is output**, whole and exact: spaces at the end of a line do not count, and
//! a tab is as good as the spaces that a terminal shows for it. A command's output ends
//! at the next prompt. Before a key, or before the other terminal's turn, the command may
//! go on: then it ends as soon as all that the page shows is there.
//!
//! The reader of the book is `student` (1000) on `laptop`: the real user's name and ids
//! (root's stay), the hostname, the home (`~`) and the source tree (`~/dockster`) are
//! replaced by these, as whole words.
//!
//! Each transcript begins afresh: a new shell, an empty home, and in it the source tree
//! with a `target` of its own. Programs are built already; `target/rootfs` is made before,
//! if it is typed somewhere. At the end the shells are left with `exit`, or the window is
//! closed if something still runs, and no process may remain: what is put into the
//! background is to be ended on the page.
//!
//! **`needs=`**: `root`, `user`, `v1`, `v2`, `limits`, `ranges`, `cargo`, `program:NAME`.
//! `cargo` is for what compiles (`cargo x without`): `cargo x run`, `rung`, `rootfs` and
//! `lab` do not, and run without one.
//!
//! **`differs=`** says what may differ: `pids` (whole numbers), `ids` (twelve hexadecimal
//! digits or more), `inodes` (`[4026531835]`), `times`, `sizes` (numbers, with a unit or
//! without), `paths` (from a `/` on), `lines` (how many lines of one shape there are).
//! The same pid, id or inode on the page is the same one really; and in what is typed
//! later the page's are replaced by the real ones.
//!
//! **`skip="reason"`**: it is not run.

mod accept;
mod classes;
mod compare;
mod home;
mod leaks;
mod names;
pub mod needs;
mod page;
mod play;
mod reader;
mod report;
mod step;
mod terminal;
mod watch;

pub use accept::{accepted, write};
pub use classes::Differs;
pub use compare::{Bindings, Edit};
pub use page::{Block, blocks, pages, parse};
pub use play::{Bench, Played, play};
pub use report::report;
pub use step::{Key, Step, Typed};
