        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields = stat.rsplit_once(')')?.1.split_whitespace();
        let started = fields.skip(19).next()?.parse().ok()?;
        Some(Self { pid, started })
