//! A connection that is closed if its client stops reading, or when its time is up.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::header_budget::HeaderReservation;
use super::limits::ConnectionPermit;

/// A TCP connection with deadlines.
#[derive(Debug)]
pub(crate) struct Stream {
    tcp: TcpStream,
    write_timeout: Duration,
    /// Runs while the client reads nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The end of a connection in the reserve.
    end: Option<Pin<Box<Sleep>>>,
    head: Arc<HeaderReservation>,
    _permit: Arc<ConnectionPermit>,
}

impl Stream {
    pub(super) fn new(
        tcp: TcpStream,
        write_timeout: Duration,
        head: Arc<HeaderReservation>,
        permit: Arc<ConnectionPermit>,
    ) -> Self {
        Self { tcp, write_timeout, stalled: None, end: None, head, _permit: permit }
    }

    /// Ends the connection after this time in any case.
    pub(super) fn ending_after(self, lifetime: Duration) -> Self {
        Self { end: Some(Box::pin(tokio::time::sleep(lifetime))), ..self }
    }

    fn check_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().map(|end| end.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Err(self.abort("the connection was for health probes")),
            _ => Ok(()),
        }
    }

    /// Any byte that the kernel accepts is progress: its buffer is small, and accepts more only after the client has
    /// read a third of it.
    fn after_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        self.check_end(context)?;
        let timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(self.abort("the client has stopped reading")))
    }

    /// Data in the kernel's buffers is discarded with the connection.
    fn abort(&self, why: &'static str) -> io::Error {
        let client = self.tcp.peer_addr().ok().map(|peer| peer.ip().to_canonical().to_string());
        tracing::debug!(client_address = client, why, "a connection is closed");
        // If this fails, the connection has ended already.
        let _ = self.tcp.set_zero_linger();
        io::Error::new(ErrorKind::TimedOut, why)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.tcp).poll_read(context, buffer) {
            read?;
            if !self.head.read(buffer.filled().len() - before) {
                tracing::warn!("incomplete request headers use too much memory: a connection is closed");
                return Poll::Ready(Err(self.abort("its header is long and incomplete")));
            }
            return Poll::Ready(Ok(()));
        }
        self.check_end(context)?;
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.after_write(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, parts);
        self.after_write(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
