//! Whether a broker's certificate is believed, and what to say where it is not.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error as TlsError, OtherError,
    RootCertStore, SignatureScheme,
};

use super::Refusal;

/// How much of a certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrutiny {
    /// Who signed it, its dates, and that it names the host dialled.
    Full,
    /// All but the host's name.
    AnyHost,
    /// Nothing: whoever answers is believed.
    Nothing,
}

/// Checks certificates as [`Scrutiny`] says. Signatures of the handshake are checked in any case.
#[derive(Debug)]
pub(super) struct Trust {
    strict: Arc<WebPkiServerVerifier>,
    scrutiny: Scrutiny,
}

impl Trust {
    /// # Errors
    ///
    /// In one clause, if no authority is named.
    pub(super) fn new(
        roots: RootCertStore,
        scrutiny: Scrutiny,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { strict, scrutiny })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.scrutiny == Scrutiny::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let checked = self.strict.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match checked {
            // The name is looked at last: whoever gets so far has passed the rest.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.scrutiny == Scrutiny::AnyHost => Ok(ServerCertVerified::assertion()),
            Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer))
                if is_self_signed(end_entity) =>
            {
                Err(TlsError::InvalidCertificate(CertificateError::Other(
                    OtherError(Arc::new(SelfSigned)),
                )))
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.strict.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.strict.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

/// Marks a certificate whose only witness is itself.
#[derive(Debug)]
struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed")
    }
}

impl std::error::Error for SelfSigned {}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

/// What a failed handshake comes to, if trying again does not cure it.
pub(super) fn refusal(error: &TlsError) -> Option<Refusal> {
    let (problem, remedy) = match error {
        TlsError::InvalidCertificate(error) => return Some(of_certificate(error)),
        TlsError::AlertReceived(alert) => return of_alert(*alert),
        TlsError::PeerIncompatible(why) => (
            format!("no TLS version or cipher in common ({why:?})"),
            "fanout speaks TLS 1.2 and 1.3: enable one of them at the broker",
        ),
        _ => return None,
    };
    Some(Refusal::new(problem, remedy))
}

fn of_certificate(error: &CertificateError) -> Refusal {
    use CertificateError as E;
    let (problem, remedy) = match error {
        E::UnknownIssuer => (
            "its certificate is signed by an authority that is not trusted here".to_owned(),
            "set ssl.ca.location to the authority that signed the broker's certificate",
        ),
        E::Other(OtherError(why)) if why.is::<SelfSigned>() => (
            "its certificate is self-signed, and not trusted here".to_owned(),
            "have it signed by an authority, and set ssl.ca.location to that authority",
        ),
        E::ExpiredContext { time, not_after } => (
            format!("its certificate expired {}", ago(*not_after, *time)),
            "renew the broker's certificate",
        ),
        E::NotValidYetContext { time, not_before } => (
            format!(
                "its certificate is not valid yet: it begins in {}",
                span(*time, *not_before)
            ),
            "check the clocks of this machine and of whoever made the certificate",
        ),
        E::NotValidForNameContext {
            expected,
            presented,
        } => (
            format!(
                "its certificate is for {}, not for {}",
                names(presented),
                expected.to_str()
            ),
            "dial a name it is for, or add this one to its subjectAltName \
             (ssl.endpoint.identification.algorithm = none gives the check up)",
        ),
        other => (
            format!("its certificate is not accepted: {other}"),
            "renew the broker's certificate",
        ),
    };
    Refusal::new(problem, remedy)
}

/// What the broker says of *our* side.
fn of_alert(alert: AlertDescription) -> Option<Refusal> {
    use AlertDescription as A;
    let (problem, remedy) = match alert {
        A::CertificateRequired => (
            "it asks for a client certificate, and none was shown",
            "set ssl.certificate.location and ssl.key.location",
        ),
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied => (
            "it does not accept the client certificate, or the want of one",
            "check ssl.certificate.location, ssl.key.location, and which authority the broker's truststore holds",
        ),
        A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity => (
            "it refuses the handshake",
            "fanout speaks TLS 1.2 and 1.3; if the broker asks for a client certificate, set ssl.certificate.location and ssl.key.location",
        ),
        _ => return None,
    };
    Some(Refusal::new(format!("{problem} ({alert:?})"), remedy))
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no host at all (no subjectAltName)".to_owned();
    }
    // They come with their kind, `DnsName("b1.example")` or `IpAddress(10.0.0.1)`: the name alone is what people know.
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        inner.trim_matches([')', '"']).to_owned()
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

fn ago(then: UnixTime, now: UnixTime) -> String {
    format!("{} ago", span(then, now))
}

/// The time from `earlier` to `later`, as people say it.
fn span(earlier: UnixTime, later: UnixTime) -> String {
    let seconds = later.as_secs().saturating_sub(earlier.as_secs());
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
