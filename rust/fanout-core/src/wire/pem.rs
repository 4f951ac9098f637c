//! Certificates and private keys as files hold them: PEM text.

use pkcs8::der::pem::PemLabel;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Secret;

/// Every certificate of `text`, in its order.
///
/// # Errors
///
/// In one clause, if there is none or one is malformed.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => {
            Err("holds no certificate: PEM begins with -----BEGIN CERTIFICATE-----".to_owned())
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

/// The private key of `text`, opened with `password` where it is encrypted (PKCS#8, PBES2).
///
/// # Errors
///
/// In one clause, if there is none, or the password does not open it.
pub fn private_key(
    text: &str,
    password: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, String> {
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "is encrypted in OpenSSL's old format: convert it with openssl pkcs8 -topk8".to_owned(),
        );
    }
    let label = EncryptedPrivateKeyInfoRef::PEM_LABEL;
    match text.find(&format!("-----BEGIN {label}-----")) {
        Some(at) => decrypted(&text[at..], password),
        None => PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
            "holds no private key: PEM begins with -----BEGIN PRIVATE KEY----- or \
             -----BEGIN ENCRYPTED PRIVATE KEY-----"
                .to_owned()
        }),
    }
}

fn decrypted(pem: &str, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, String> {
    let password = password.ok_or("is encrypted: set ssl.key.password")?;
    let (_, sealed) =
        SecretDocument::from_pem(pem).map_err(|error| format!("is not PEM: {error}"))?;
    let sealed = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes())
        .map_err(|error| format!("is not PKCS#8: {error}"))?;
    // A wrong password and an unknown cipher are told apart by the algorithm alone.
    let opened = sealed.decrypt(password.expose()).map_err(|error| {
        format!("is not opened by ssl.key.password ({error}); PBES2 with AES is read")
    })?;
    Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
}
