//! TLS 1.2 and 1.3 by rustls, behind the transport seam.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error as TlsError, RootCertStore, StreamOwned};

use super::probe::{self, Speech};
use super::transport::connect;
use super::trust::{refusal, Scrutiny, Trust};
use super::{Address, Dial, Refusal, Transport};

/// Plain bytes taken in before they must have left: a produce request goes out in few writes.
const BUFFER_BYTES: usize = 256 * 1024;

/// Whom to believe, and what to show.
pub struct TlsSettings {
    /// The authorities whose signatures count.
    pub authorities: Vec<CertificateDer<'static>>,
    /// How much of a broker's certificate is checked.
    pub scrutiny: Scrutiny,
    /// Our own certificate with those that signed it, and its key.
    pub identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// TLS over TCP.
#[derive(Debug, Clone)]
pub struct TlsDial {
    config: Arc<ClientConfig>,
}

impl TlsDial {
    /// Checks the settings; nothing is dialled.
    ///
    /// # Errors
    ///
    /// In one clause, if an authority is malformed or the key does not belong to the certificate.
    pub fn new(settings: TlsSettings) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in settings.authorities {
            roots.add(authority).map_err(|error| error.to_string())?;
        }
        let trust = Trust::new(roots, settings.scrutiny, Arc::clone(&provider))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust));
        let config = match settings.identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config
                .with_client_auth_cert(chain, key)
                .map_err(|error| error.to_string())?,
        };
        Ok(Self {
            config: Arc::new(config),
        })
    }

    fn begin(&self, host: &str) -> io::Result<ClientConnection> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Refusal::new(
                format!("`{host}` is no name a certificate can be for"),
                "dial the broker by a DNS name or an IP address",
            )
            .into_io()
        })?;
        let mut session =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(BUFFER_BYTES));
        Ok(session)
    }
}

impl Dial for TlsDial {
    fn dial(&self, address: &Address, timeout: Duration) -> io::Result<Box<dyn Transport>> {
        let deadline = Instant::now() + timeout;
        let mut socket = connect(address, timeout)?;
        let mut session = self.begin(&address.host)?;
        match shake_hands(&mut session, &mut socket, deadline) {
            Ok(()) => Ok(Box::new(StreamOwned::new(session, socket))),
            Err(error) if probe::was_hung_up(&error) => Err(probe::speaks_plain(address, timeout)
                .map_or(error, |seen| seen.refusal().into_io())),
            Err(error) => Err(error),
        }
    }
}

impl Transport for StreamOwned<ClientConnection, TcpStream> {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        Transport::set_timeout(&self.sock, timeout)
    }
}

/// Step by step, so that a peer that drips bytes cannot stretch the deadline.
fn shake_hands(
    session: &mut ClientConnection,
    socket: &mut TcpStream,
    deadline: Instant,
) -> io::Result<()> {
    let mut is_first = true;
    while session.is_handshaking() || session.wants_write() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Transport::set_timeout(socket, left)?;
        if session.wants_write() {
            session.write_tls(socket)?;
            continue;
        }
        if std::mem::take(&mut is_first) {
            expect_tls(socket)?;
        }
        if session.read_tls(socket)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Err(error) = session.process_new_packets() {
            return Err(give_up(session, socket, error));
        }
    }
    Ok(())
}

/// Looks at the first bytes without taking them: what is no TLS is named for what it is.
fn expect_tls(socket: &TcpStream) -> io::Result<()> {
    let mut first = [0; 4];
    // One byte may come alone; it is enough to tell that this is no TLS, and the handshake reads on.
    let seen = socket.peek(&mut first)?;
    match Speech::of(&first[..seen]) {
        Some(Speech::Http) => Err(Speech::Http.refusal().into_io()),
        Some(Speech::Tls) | None => Ok(()),
        Some(Speech::Plain) => Err(Speech::Plain.refusal().into_io()),
    }
}

fn give_up(session: &mut ClientConnection, socket: &mut TcpStream, error: TlsError) -> io::Error {
    // The alert tells the broker why; it changes nothing here if it does not arrive.
    let _told = session.write_tls(socket).and_then(|_| socket.flush());
    refusal(&error).map_or_else(
        || io::Error::new(io::ErrorKind::InvalidData, error),
        Refusal::into_io,
    )
}

/// The refusal inside an error of an open stream: with TLS 1.3 the broker looks at our certificate after the handshake.
pub(super) fn late_refusal(error: &io::Error) -> Option<Refusal> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<TlsError>().and_then(refusal)
}
