        self.make(limits)?;
        self.update(limits)
