        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.split_whitespace().skip(2);
        let dead = fields.next()? == "Z";
        let started = fields.nth(18)?.parse().ok()?;
        (!dead).then_some(Self { pid, started })
