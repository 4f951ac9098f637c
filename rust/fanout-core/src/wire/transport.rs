//! The seam between frames and sockets: plain TCP here, TLS in `tls`.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::pipe::Socket;
use super::probe::{self, Speech};
use super::{Address, Refusal};

/// A byte stream to a broker, with a bound on how long one read may wait.
pub trait Transport: Read + Write + Send {
    /// Bounds every later read and write.
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    fn set_timeout(&self, timeout: Duration) -> io::Result<()>;

    /// The socket, where the stream's bytes are the socket's own: a pipe may lead into it and out of it.
    fn socket(&self) -> Option<Socket<'_>> {
        None
    }
}

/// How a connection comes to be.
pub trait Dial: Send + Sync {
    /// Opens a stream to `address`, ready for the first Kafka request.
    ///
    /// # Errors
    ///
    /// If no address of the host accepts within `timeout`.
    fn dial(&self, address: &Address, timeout: Duration) -> io::Result<Box<dyn Transport>>;

    /// Why a stream ended before its first answer, where asking again in another language tells.
    fn doubt(&self, _address: &Address, _timeout: Duration) -> Option<Refusal> {
        None
    }
}

/// Plain TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainDial;

impl Transport for TcpStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }

    #[cfg(target_os = "linux")]
    fn socket(&self) -> Option<Socket<'_>> {
        use std::os::fd::AsFd;
        Some(self.as_fd())
    }
}

impl Dial for PlainDial {
    fn dial(&self, address: &Address, timeout: Duration) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(connect(address, timeout)?))
    }

    fn doubt(&self, address: &Address, timeout: Duration) -> Option<Refusal> {
        probe::speaks_tls(address, timeout).map(Speech::refusal)
    }
}

/// A TCP stream to the first address of the host that accepts.
pub(super) fn connect(address: &Address, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for candidate in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                socket2::SockRef::from(&stream).set_keepalive(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
