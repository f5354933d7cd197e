//! Ports of servers that stop and start again.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1, reserved until it is dropped. A server that sets `SO_REUSEADDR`, as servers do, can listen on it at
/// any time and any number of times. While none does, connections are refused.
pub(crate) struct Port {
    number: u16,
    /// Bound, and never listens.
    _reserved: TcpSocket,
}

impl Port {
    /// Reserves a port below the range for clients.
    pub(crate) fn reserve() -> Self {
        loop {
            let random = std::hash::RandomState::new().build_hasher().finish() % 15_000;
            let number = 15_000 + u16::try_from(random).unwrap();
            let socket = TcpSocket::new_v4().unwrap();
            // Exclusive at first: this fails if the port is in use, or reserved by another test.
            if socket.bind(SocketAddr::from(([127, 0, 0, 1], number))).is_ok() {
                socket.set_reuseaddr(true).unwrap();
                return Self { number, _reserved: socket };
            }
        }
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}
