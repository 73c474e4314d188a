        match self.receive()? {
            Some(Message::Failed(error)) => Err(error),
            _ => Ok(()),
        }
