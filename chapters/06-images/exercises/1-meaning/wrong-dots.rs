    let Some(rest) = name.as_bytes().strip_prefix(b".wh.") else { return Ok(Meaning::Itself) };
    match rest {
        b"" => Err(Error::new("a whiteout of what has no name")),
        b".wh..opq" => Ok(Meaning::Opaque),
        _ if rest.starts_with(b".wh.") => Ok(Meaning::Nothing),
        _ => Ok(Meaning::Gone(OsStr::from_bytes(rest))),
    }
