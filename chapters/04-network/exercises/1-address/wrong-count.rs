    let address = match asked {
        Some(address) if !is_usable(subnet, address) => {
            return Err(Error::new(format!(
                "no configured subnet contains the IP address {address}: the network's is {subnet}"
            )));
        }
        Some(address) if !free(&address) => {
            return Err(Error::new(format!("Address already in use: {address}")));
        }
        Some(address) => address,
        None => usable(subnet).nth(1 + taken.len()).ok_or_else(|| {
            Error::new(format!("no available IPv{} addresses on {subnet}", family(subnet)))
        })?,
    };
    IpNet::new(address, subnet.prefix_len()).map_err(|error| Error::new(error.to_string()))
