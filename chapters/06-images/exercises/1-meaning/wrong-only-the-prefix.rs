    match name.as_bytes().strip_prefix(b".wh.") {
        None => Ok(Meaning::Itself),
        Some(b"" | b"." | b"..") => Err(Error::new("a whiteout of what has no name")),
        Some(rest) => Ok(Meaning::Gone(OsStr::from_bytes(rest))),
    }
