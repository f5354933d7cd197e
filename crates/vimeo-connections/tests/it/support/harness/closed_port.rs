//! An address that refuses connections.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port that refuses connections: it is bound, so that no other process gets it, and nothing listens on it.
pub(crate) struct ClosedPort(TcpSocket);

impl ClosedPort {
    pub(crate) fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}
