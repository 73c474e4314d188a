//! Catalogue: not needed to understand the chapter.
//!
//! How much one who asks, and all together, may have under way.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Places for what is under way.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Of all together.
    all: usize,
    /// Of one address.
    each: usize,
    taken: RefCell<HashMap<IpAddr, usize>>,
}

/// One that is taken. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Taken {
    of: Rc<Bounds>,
    by: IpAddr,
}

impl Bounds {
    pub(crate) fn new(all: usize, each: usize) -> Rc<Bounds> {
        Rc::new(Bounds { all, each, taken: RefCell::default() })
    }

    /// A place for `by`, if there is one.
    pub(crate) fn take(self: &Rc<Bounds>, by: IpAddr) -> Option<Taken> {
        let mut taken = self.taken.borrow_mut();
        // One address has a place or none has: the sum is over few.
        let all: usize = taken.values().sum();
        let own = taken.get(&by).copied().unwrap_or(0);
        if all >= self.all || own >= self.each {
            return None;
        }
        taken.insert(by, own + 1);
        Some(Taken { of: self.clone(), by })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.of.taken.borrow_mut();
        match taken.get_mut(&self.by) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.by)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bounds;

    #[test]
    fn each_and_all_have_so_many() {
        let bounds = Bounds::new(3, 2);
        let [a, b, c] = ["10.0.0.1", "10.0.0.2", "::1"].map(|address| address.parse().unwrap());
        let first = (bounds.take(a), bounds.take(a));
        assert!(first.0.is_some() && first.1.is_some() && bounds.take(a).is_none());
        let second = bounds.take(b);
        assert!(second.is_some() && bounds.take(b).is_none() && bounds.take(c).is_none());
        drop(first);
        assert!(bounds.take(c).is_some() && bounds.take(a).is_some());
        drop(second);
        assert!(bounds.taken.borrow().is_empty());
    }
}
