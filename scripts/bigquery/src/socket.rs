//! IO. TCP connections that can be reset from within: what a peer sees when a server dies.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Resets the connection that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Cut>);

#[derive(Debug, Default)]
struct Cut {
    is_cut: AtomicBool,
    reader: AtomicWaker,
}

#[derive(Debug)]
pub struct CuttableListener(pub TcpListener);

#[derive(Debug)]
pub struct CuttableStream {
    stream: TcpStream,
    wire: Wire,
}

impl Wire {
    /// All calls on the connection die.
    pub fn cut(&self) {
        self.0.is_cut.store(true, Ordering::Release);
        self.0.reader.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.0.is_cut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        loop {
            let Ok((stream, peer)) = self.0.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            // Answers are small; one that cannot be sent at once is only slower.
            let _ = stream.set_nodelay(true);
            return (CuttableStream { stream, wire: Wire::default() }, peer);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Wire {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().wire.clone()
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.wire.0.reader.register(context.waker());
        self.wire.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.check()?;
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A connection that is cut says no goodbye.
        self.wire.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for CuttableStream {
    fn drop(&mut self) {
        if self.wire.check().is_err() {
            // Without it the peer would see an orderly end instead of a reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}
