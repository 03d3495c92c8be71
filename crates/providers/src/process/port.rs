//! Free ports of the loopback interface.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
};

/// How often a free port is looked for before giving up.
const ATTEMPTS: usize = 64;

/// The ports that are promised to instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ports {
    taken: Arc<Mutex<BTreeSet<u16>>>,
}

/// A port that nobody else is given until this is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    ports: Ports,
}

impl Ports {
    /// A port that is free now. Another program may still take it before the instance does; its
    /// start then fails and is tried again with another.
    pub(crate) fn free(&self) -> io::Result<Port> {
        for _ in 0..ATTEMPTS {
            let number = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port();
            if let Some(port) = self.reserve(number) {
                return Ok(port);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "no free port of the loopback interface was found",
        ))
    }

    /// This port, unless an instance has it.
    pub(crate) fn reserve(&self, number: u16) -> Option<Port> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(number).then(|| Port {
            number,
            ports: self.clone(),
        })
    }
}

impl Port {
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let taken = self.ports.taken.lock();
        taken
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_promised_once() {
        let ports = Ports::default();
        let port = ports.free().unwrap();
        assert!(ports.reserve(port.number()).is_none());
        let number = port.number();
        drop(port);
        assert!(ports.reserve(number).is_some());
    }
}
