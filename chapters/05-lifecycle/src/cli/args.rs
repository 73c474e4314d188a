//! Catalogue: not needed to understand the chapter.
//!
//! Options and operands of one command, as runc takes them: `--name value`,
//! `--name=value`, `-n value`, and with one dash `-name` too.

use std::ffi::{OsStr, OsString};
use std::str::FromStr;

use ch01_clone::{Error, Result};
use lexopt::{Arg, Parser};

/// One option that a command knows.
pub(super) struct Opt {
    /// Its name after two dashes.
    pub(super) long: &'static str,
    /// Its letter after one dash.
    pub(super) short: Option<char>,
    /// What its value is called in the help; `None` for a switch.
    pub(super) value: Option<&'static str>,
    /// What it is for.
    pub(super) help: &'static str,
}

/// A switch.
pub(super) const fn switch(long: &'static str, help: &'static str) -> Opt {
    Opt { long, short: None, value: None, help }
}

/// An option with a value.
pub(super) const fn valued(long: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { long, short: None, value: Some(value), help }
}

impl Opt {
    /// The same with a letter.
    pub(super) const fn short(self, short: char) -> Opt {
        Opt { short: Some(short), ..self }
    }
}

/// What was given: options in their order, and operands.
#[derive(Default)]
pub(super) struct Args {
    options: Vec<(&'static str, OsString)>,
    /// What is no option.
    pub(super) operands: Vec<OsString>,
}

impl Args {
    /// Takes the option that the parser has just read. `Ok(false)`: nobody knows it.
    pub(super) fn take(&mut self, parser: &mut Parser, name: &Name, known: &[Opt]) -> Result<bool> {
        let find = |long: &str| known.iter().find(|opt| opt.long == long);
        match name {
            Name::Long(long) => match find(long) {
                Some(opt) => self.set(parser, opt, None).map(|()| true),
                None => Ok(false),
            },
            Name::Short(letter) => {
                let rest = parser.optional_value();
                // Go's flags have one dash or two: -no-pivot is --no-pivot.
                if let Some(text) = rest.as_ref().and_then(|rest| rest.to_str()) {
                    let whole = format!("{letter}{text}");
                    let (long, value) =
                        whole.split_once('=').map_or((&*whole, None), |(l, v)| (l, Some(v)));
                    if let Some(opt) = find(long) {
                        return self.set(parser, opt, value.map(OsString::from)).map(|()| true);
                    }
                }
                self.letters(parser, *letter, rest, known)
            }
        }
    }

    /// `-d`, `-dt`, `-b DIR`, `-bDIR`.
    fn letters(
        &mut self,
        parser: &mut Parser,
        letter: char,
        rest: Option<OsString>,
        known: &[Opt],
    ) -> Result<bool> {
        let Some(opt) = known.iter().find(|opt| opt.short == Some(letter)) else {
            return Ok(false);
        };
        let more = rest.as_ref().and_then(|rest| rest.to_str()).unwrap_or_default();
        if opt.value.is_some() || more.is_empty() || bool::from_str(more).is_ok() {
            return self.set(parser, opt, rest).map(|()| true);
        }
        self.options.push((opt.long, "true".into()));
        for letter in more.chars() {
            match known.iter().find(|opt| opt.short == Some(letter) && opt.value.is_none()) {
                Some(opt) => self.options.push((opt.long, "true".into())),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn set(&mut self, parser: &mut Parser, opt: &Opt, value: Option<OsString>) -> Result<()> {
        let value = match (value, opt.value) {
            (Some(value), _) => value,
            (None, Some(_)) => parser
                .value()
                .map_err(|_| Error::new(format!("the option --{} needs a value", opt.long)))?,
            (None, None) => parser.optional_value().unwrap_or_else(|| "true".into()),
        };
        if opt.value.is_none() && value != "true" && value != "false" {
            return Err(Error::new(format!(
                "invalid value {value:?} for the option --{}: true or false",
                opt.long
            )));
        }
        self.options.push((opt.long, value));
        Ok(())
    }

    /// Whether a switch is on.
    pub(super) fn has(&self, long: &str) -> bool {
        self.value(long).is_some_and(|value| value == "true")
    }

    /// The value of an option; the last one if there are several. An empty one
    /// is as good as none.
    pub(super) fn value(&self, long: &str) -> Option<&OsStr> {
        let last = self.options.iter().rev().find(|(name, _)| *name == long);
        last.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// All values of an option, in order.
    pub(super) fn all(&self, long: &str) -> impl Iterator<Item = &OsStr> {
        let long = long.to_owned();
        self.options.iter().filter(move |(name, _)| *name == long).map(|(_, v)| v.as_os_str())
    }

    /// A value that has to be text.
    pub(super) fn text(&self, long: &str) -> Result<Option<&str>> {
        self.value(long).map(|value| text(long, value)).transpose()
    }

    /// A value that has to be a number.
    pub(super) fn number<N: FromStr>(&self, long: &str) -> Result<Option<N>> {
        let Some(text) = self.text(long)? else { return Ok(None) };
        let number = text.parse().map_err(|_| {
            Error::new(format!("invalid value {text:?} for the option --{long}: not a number"))
        })?;
        Ok(Some(number))
    }

    /// The first operand: the id of a container.
    pub(super) fn id(&self) -> Result<&str> {
        match self.operands.first().and_then(|id| id.to_str()) {
            Some("") | None => Err(Error::new("container id cannot be empty")),
            Some(id) => Ok(id),
        }
    }
}

/// A value that has to be text.
pub(super) fn text<'a>(long: &str, value: &'a OsStr) -> Result<&'a str> {
    value.to_str().ok_or_else(|| Error::new(format!("--{long}: {value:?} is not UTF-8")))
}

/// The name of an option, free of the parser that read it.
pub(super) enum Name {
    /// After two dashes.
    Long(String),
    /// After one.
    Short(char),
}

impl Name {
    /// The next option, or the operand that comes next instead.
    pub(super) fn next(parser: &mut Parser) -> Result<Option<Result<Name, OsString>>> {
        Ok(match parser.next().map_err(|error| Error::new(error.to_string()))? {
            None => None,
            Some(Arg::Long(long)) => Some(Ok(Name::Long(long.to_owned()))),
            Some(Arg::Short(letter)) => Some(Ok(Name::Short(letter))),
            Some(Arg::Value(value)) => Some(Err(value)),
        })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Long(long) => write!(f, "--{long}"),
            Name::Short(letter) => write!(f, "-{letter}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Opt] = &[
        valued("bundle", "DIR", "").short('b'),
        switch("detach", "").short('d'),
        switch("tty", "").short('t'),
        switch("no-pivot", ""),
    ];

    /// The bundle, then the switches that are on, then operands.
    fn parsed(line: &str) -> Result<String> {
        let mut parser = Parser::from_args(line.split(' '));
        let mut args = Args::default();
        while let Some(next) = Name::next(&mut parser)? {
            match next {
                Err(operand) => args.operands.push(operand),
                Ok(name) if args.take(&mut parser, &name, KNOWN)? => {}
                Ok(name) => return Err(Error::new(format!("unknown {name}"))),
            }
        }
        let mut all = vec![args.text("bundle")?.unwrap_or("none").to_owned()];
        all.extend(KNOWN[1..].iter().filter(|o| args.has(o.long)).map(|o| o.long.to_owned()));
        all.extend(args.operands.iter().map(|operand| operand.to_string_lossy().into_owned()));
        Ok(all.join(" "))
    }

    #[test]
    fn options_are_written_in_many_ways() {
        for line in [
            "--bundle x id",
            "--bundle=x id",
            "-b x id",
            "-b=x id",
            "-bx id",
            "-bundle x id",
            "-bundle=x id",
            "id --bundle y -b x",
        ] {
            assert_eq!(parsed(line), Ok("x id".to_owned()), "{line}");
        }
        for line in [
            "-dt id",
            "-d -t id",
            "-d=true --tty=true id",
            "id -td",
            "-detach -tty id",
            "-d -t -- id",
        ] {
            assert_eq!(parsed(line), Ok("none detach tty id".to_owned()), "{line}");
        }
        assert_eq!(parsed("-no-pivot --detach=false -- -d"), Ok("none no-pivot -d".to_owned()));
        assert_eq!(parsed("--bundle --detach id"), Ok("--detach id".to_owned()));
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (line, why) in [
            ("--frob", "unknown --frob"),
            ("-x", "unknown -x"),
            ("-dx", "unknown -d"),
            ("-b", "the option --bundle needs a value"),
            ("--tty=maybe", "invalid value \"maybe\" for the option --tty: true or false"),
        ] {
            assert_eq!(parsed(line).unwrap_err().call, why, "{line}");
        }
    }
}
