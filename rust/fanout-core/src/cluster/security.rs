//! The properties that make connections trustworthy, by librdkafka's names.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::settings::config;
use crate::error::Result;
use crate::wire::{pem, Dial, Hash, Login, PlainDial, Scrutiny, Secret, TlsDial, TlsSettings};
use crate::wire::{TokenSource, Tokens};

/// What the properties say so far.
#[derive(Default)]
pub(super) struct Security {
    protocol: Protocol,
    mechanism: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    authorities: Option<Source>,
    certificate: Option<Source>,
    key: Option<Source>,
    key_password: Option<Secret>,
    anybody: bool,
    any_host: bool,
    /// The first property of each kind, for whoever forgets `security.protocol`.
    first_tls: Option<String>,
    first_sasl: Option<String>,
}

/// `security.protocol`.
#[derive(Default)]
struct Protocol {
    tls: bool,
    sasl: bool,
}

/// Where PEM text stands, and the name of the property that says so.
enum Source {
    File(&'static str, String),
    Text(&'static str, Secret),
}

impl Source {
    fn name(&self) -> &'static str {
        match self {
            Self::File(name, _) | Self::Text(name, _) => name,
        }
    }

    fn text(&self) -> Result<Secret> {
        match self {
            Self::File(name, path) => match fs::read_to_string(path) {
                Ok(text) => Ok(Secret::new(text)),
                Err(error) => Err(config(name, &format!("cannot read {path}: {error}"))),
            },
            Self::Text(_, text) => Ok(text.clone()),
        }
    }

    /// For a message: the file's path, where there is one.
    fn place(&self) -> &str {
        match self {
            Self::File(_, path) => path,
            Self::Text(..) => "the text",
        }
    }

    fn wrong(&self, problem: &str) -> crate::error::Error {
        config(self.name(), &format!("{} {problem}", self.place()))
    }
}

/// Properties librdkafka has and this data plane has not, and what to use instead.
const REFUSED: [(&str, &str); 11] = [
    ("sasl.kerberos.", "Kerberos is not spoken: use SCRAM, OAUTHBEARER, PLAIN or a client certificate"),
    ("sasl.oauthbearer.", "tokens come from a function of yours: set oauth_cb"),
    ("enable.sasl.oauthbearer.", "tokens come from a function of yours: set oauth_cb"),
    ("https.ca.", "tokens come from a function of yours: set oauth_cb, and trust the provider there"),
    ("ssl.keystore.", "PKCS#12 is not read: convert it with openssl pkcs12, and set ssl.certificate.location and ssl.key.location"),
    ("ssl.engine.", "OpenSSL's engines are not used: set ssl.key.location to a PEM file"),
    ("ssl.providers", "OpenSSL's providers are not used: remove it"),
    ("ssl.crl.location", "revocation lists are not read: remove it, and let certificates live short"),
    ("ssl.ca.certificate.stores", "is Windows' own: set ssl.ca.location"),
    ("ssl.cipher.suites", "is OpenSSL's: fanout offers the suites of TLS 1.2 and 1.3 that are still safe; remove it"),
    ("ssl.curves.list", "is OpenSSL's: remove it"),
];

impl Security {
    /// Whether `name` is a property of this kind, which is then taken in.
    pub(super) fn takes(&mut self, name: &str, value: &str) -> Result<bool> {
        let known = match name {
            "security.protocol" => self.protocol(value)?,
            _ if name.starts_with("sasl.") => {
                self.first_sasl.get_or_insert_with(|| name.to_owned());
                self.about_login(name, value)?
            }
            _ if name.starts_with("ssl.") || name == "enable.ssl.certificate.verification" => {
                self.first_tls.get_or_insert_with(|| name.to_owned());
                self.about_tls(name, value)?
            }
            _ => false,
        };
        if !known {
            if let Some((_, instead)) = REFUSED.iter().find(|(prefix, _)| name.starts_with(prefix))
            {
                return Err(config(name, instead));
            }
        }
        Ok(known)
    }

    fn protocol(&mut self, value: &str) -> Result<bool> {
        let (tls, sasl) = match value.to_ascii_lowercase().as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => {
                let known = "plaintext, ssl, sasl_plaintext or sasl_ssl";
                return Err(config(
                    "security.protocol",
                    &format!("`{value}` is none of {known}"),
                ));
            }
        };
        self.protocol = Protocol { tls, sasl };
        Ok(true)
    }

    fn about_login(&mut self, name: &str, value: &str) -> Result<bool> {
        match name {
            "sasl.mechanisms" | "sasl.mechanism" => self.mechanism = Some(value.to_owned()),
            "sasl.username" | "sasl.password" if value.contains('\0') => {
                return Err(config(name, "holds a NUL, which no mechanism can send"));
            }
            "sasl.username" => self.user = Some(value.to_owned()),
            "sasl.password" => self.password = Some(Secret::new(value.to_owned())),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn about_tls(&mut self, name: &str, value: &str) -> Result<bool> {
        let file = |name| Some(Source::File(name, value.to_owned()));
        let text = |name| Some(Source::Text(name, Secret::new(value.to_owned())));
        match name {
            "ssl.ca.location" => self.authorities = file("ssl.ca.location"),
            "ssl.ca.pem" => self.authorities = text("ssl.ca.pem"),
            "ssl.certificate.location" => self.certificate = file("ssl.certificate.location"),
            "ssl.certificate.pem" => self.certificate = text("ssl.certificate.pem"),
            "ssl.key.location" => self.key = file("ssl.key.location"),
            "ssl.key.pem" => self.key = text("ssl.key.pem"),
            "ssl.key.password" => self.key_password = Some(Secret::new(value.to_owned())),
            "enable.ssl.certificate.verification" => self.anybody = !truth(name, value)?,
            "ssl.endpoint.identification.algorithm" => {
                self.any_host = match value {
                    "https" => false,
                    "none" => true,
                    _ => {
                        return Err(config(
                            name,
                            &format!("`{value}` is neither https nor none"),
                        ))
                    }
                };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// How to dial, and who to be.
    pub(super) fn settle(
        self,
        tokens: Option<Arc<dyn TokenSource>>,
    ) -> Result<(Arc<dyn Dial>, Option<Login>)> {
        for (name, is_used, protocols) in [
            (&self.first_tls, self.protocol.tls, "ssl or sasl_ssl"),
            (
                &self.first_sasl,
                self.protocol.sasl,
                "sasl_ssl or sasl_plaintext",
            ),
        ] {
            if let (Some(name), false) = (name, is_used) {
                let problem = format!("counts only with security.protocol = {protocols}");
                return Err(config(name, &problem));
            }
        }
        let is_bearer = self.mechanism.as_deref() == Some("OAUTHBEARER");
        if tokens.is_some() && !(self.protocol.sasl && is_bearer) {
            let problem = "counts only with sasl.mechanisms = OAUTHBEARER";
            return Err(config("oauth_cb", problem));
        }
        let login = self.protocol.sasl.then(|| self.login(tokens)).transpose()?;
        let dial: Arc<dyn Dial> = if self.protocol.tls {
            let refused = |problem: String| config("ssl.certificate.location", &problem);
            Arc::new(TlsDial::new(self.tls_settings()?).map_err(refused)?)
        } else {
            Arc::new(PlainDial)
        };
        Ok((dial, login))
    }

    fn login(&self, tokens: Option<Arc<dyn TokenSource>>) -> Result<Login> {
        let known = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
        let hash = match self.mechanism.as_deref() {
            Some("PLAIN") => None,
            Some("SCRAM-SHA-256") => Some(Hash::Sha256),
            Some("SCRAM-SHA-512") => Some(Hash::Sha512),
            Some("OAUTHBEARER") => {
                let source = tokens.ok_or_else(|| {
                    config(
                        "oauth_cb",
                        "is missing: OAUTHBEARER takes its tokens from a function of yours",
                    )
                })?;
                return Ok(Login::Token(Tokens::new(source)));
            }
            Some("GSSAPI") => return Err(config("sasl.mechanisms", REFUSED[0].1)),
            Some(other) => {
                return Err(config(
                    "sasl.mechanisms",
                    &format!("`{other}` is none of {known}"),
                ))
            }
            None => {
                return Err(config(
                    "sasl.mechanisms",
                    &format!("is missing: one of {known}"),
                ))
            }
        };
        let missing = |name| {
            config(
                name,
                "is missing: this mechanism logs in with name and password",
            )
        };
        let user = self.user.clone().ok_or_else(|| missing("sasl.username"))?;
        let password = self
            .password
            .clone()
            .ok_or_else(|| missing("sasl.password"))?;
        Ok(match hash {
            None => Login::Plain { user, password },
            Some(hash) => Login::Scram {
                hash,
                user,
                password,
            },
        })
    }

    fn tls_settings(&self) -> Result<TlsSettings> {
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = pem::certificates(certificate.text()?.expose().as_bytes())
                    .map_err(|problem| certificate.wrong(&problem))?;
                let key_text = key.text()?;
                let opened = pem::private_key(key_text.expose(), self.key_password.as_ref())
                    .map_err(|problem| key.wrong(&problem))?;
                Some((chain, opened))
            }
            (Some(_), None) => {
                return Err(config(
                    "ssl.key.location",
                    "is missing beside the certificate",
                ))
            }
            (None, Some(_)) => {
                return Err(config(
                    "ssl.certificate.location",
                    "is missing beside the key",
                ))
            }
            (None, None) => None,
        };
        Ok(TlsSettings {
            authorities: self.trusted()?,
            scrutiny: match (self.anybody, self.any_host) {
                (true, _) => Scrutiny::Nothing,
                (false, true) => Scrutiny::AnyHost,
                (false, false) => Scrutiny::Full,
            },
            identity,
        })
    }

    /// The authorities named, or the system's.
    fn trusted(&self) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>> {
        let named = match &self.authorities {
            // librdkafka's word for looking where systems keep theirs.
            Some(Source::File(_, path)) if path == "probe" => None,
            named => named.as_ref(),
        };
        let found = match named {
            Some(Source::File(_, path)) if Path::new(path).is_dir() => {
                rustls_native_certs::load_certs_from_paths(None, Some(Path::new(path)))
            }
            Some(source) => {
                return pem::certificates(source.text()?.expose().as_bytes())
                    .map_err(|problem| source.wrong(&problem));
            }
            None => rustls_native_certs::load_native_certs(),
        };
        if found.certs.is_empty() && !self.anybody {
            let place = named.map_or("this system's own store", Source::place);
            let why = found
                .errors
                .first()
                .map_or_else(String::new, |error| format!(" ({error})"));
            return Err(config(
                "ssl.ca.location",
                &format!("{place} holds no authority{why}: name the file of the one that signs your brokers' certificates"),
            ));
        }
        Ok(found.certs)
    }
}

fn truth(name: &str, value: &str) -> Result<bool> {
    match value {
        "true" | "t" | "1" => Ok(true),
        "false" | "f" | "0" => Ok(false),
        _ => Err(config(
            name,
            &format!("`{value}` is neither true nor false"),
        )),
    }
}

#[cfg(test)]
mod tests;
