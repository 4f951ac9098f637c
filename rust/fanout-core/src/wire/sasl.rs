//! Logging in over SASL, and again before the broker ends the session (KIP-368).

use std::io;
use std::time::Duration;

use base64::prelude::{Engine, BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use ring::rand::{SecureRandom, SystemRandom};

use super::scram::Scram;
use super::token::{NoToken, Token};
use super::{Address, Connection, ConnectionSettings, Dial, Hash, Secret, Tokens, WireError};

/// Who we are, and how we show it.
#[derive(Debug, Clone)]
pub enum Login {
    /// The password itself is sent: only TLS protects it.
    Plain {
        /// Name the broker knows.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// The password is proven without being sent, and so is the broker's knowledge of it.
    Scram {
        /// The mechanism's hash function.
        hash: Hash,
        /// Name the broker knows.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// OAUTHBEARER.
    Token(Tokens),
}

impl Login {
    /// The mechanism, by the name both sides call it.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram {
                hash: Hash::Sha256, ..
            } => "SCRAM-SHA-256",
            Self::Scram {
                hash: Hash::Sha512, ..
            } => "SCRAM-SHA-512",
            Self::Token(_) => "OAUTHBEARER",
        }
    }

    fn refused(&self) -> (String, &'static str) {
        match self {
            Self::Plain { user, .. } | Self::Scram { user, .. } => (
                format!("{} login as `{user}` refused", self.mechanism()),
                "check sasl.username and sasl.password, and that the broker knows this user",
            ),
            Self::Token(_) => (
                "OAUTHBEARER token refused".to_owned(),
                "check what oauth_cb returns: issuer, audience, subject and times of the token",
            ),
        }
    }
}

/// Logs in on a connection that nothing is in flight on; how long the session lasts, if it ends at all.
pub(super) fn log_in(
    connection: &mut Connection,
    login: &Login,
) -> Result<Option<Duration>, WireError> {
    agree_on_mechanism(connection, login)?;
    let lifetime_ms = match login {
        Login::Plain { user, password } => {
            let message = format!("\0{user}\0{}", password.expose());
            send(connection, login, message)?.1
        }
        Login::Scram {
            hash,
            user,
            password,
        } => {
            let mut scram = Scram::new(*hash, user, nonce(connection)?);
            let (challenge, _) = send(connection, login, scram.first())?;
            let proof = text(&challenge)
                .and_then(|challenge| scram.answer(challenge, password))
                .map_err(|problem| distrust(connection, login, &problem))?;
            let (verdict, lifetime_ms) = send(connection, login, proof)?;
            text(&verdict)
                .and_then(|verdict| scram.check(verdict))
                .map_err(|problem| distrust(connection, login, &problem))?;
            lifetime_ms
        }
        Login::Token(tokens) => {
            let token = tokens.get().map_err(|error| no_token(connection, error))?;
            let (reason, lifetime_ms) = send(connection, login, bearer(&token))?;
            if !reason.is_empty() {
                return Err(token_refused(connection, login, &reason));
            }
            lifetime_ms
        }
    };
    Ok(u64::try_from(lifetime_ms)
        .ok()
        .filter(|&lifetime_ms| lifetime_ms > 0)
        .map(Duration::from_millis))
}

/// Whether the broker at `address` answers only those who log in: asked when it hung up on somebody who did not.
pub fn wants_login(dial: &dyn Dial, address: &Address, settings: &ConnectionSettings) -> bool {
    // No mechanism has this name. Where logins are taken, that is what is wrong with it.
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("NONE"));
    Connection::open(dial, address, settings)
        .and_then(|mut connection| connection.call(&request, &(1..=1)))
        .is_ok_and(|answer| {
            answer.error_code.err() == Some(ResponseError::UnsupportedSaslMechanism)
        })
}

fn agree_on_mechanism(connection: &mut Connection, login: &Login) -> Result<(), WireError> {
    let mechanism = login.mechanism();
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let answer = connection.call(&request, &(1..=1))?;
    let (problem, remedy) = match answer.error_code.err() {
        None => return Ok(()),
        Some(ResponseError::UnsupportedSaslMechanism) => {
            let offered: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
            (
                format!("{mechanism} is not offered, but {}", offered.join(", ")),
                "set sasl.mechanisms to one of these",
            )
        }
        Some(ResponseError::IllegalSaslState) => (
            "this listener takes no login".to_owned(),
            "set security.protocol to plaintext or ssl, or dial the port of a SASL listener",
        ),
        Some(error) => (
            format!("SaslHandshake was answered with {error:?}"),
            "the broker's log says more",
        ),
    };
    Err(connection.refused(problem, remedy))
}

/// One message of the exchange: the broker's own, and the session's lifetime in ms as told so far.
fn send(
    connection: &mut Connection,
    login: &Login,
    message: String,
) -> Result<(Bytes, i64), WireError> {
    // The frame is built in the connection's own buffer, which is overwritten by the next request.
    let message = Bytes::from(message);
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message);
    let answer = connection.call(&request, &(2..=2))?;
    if answer.error_code == 0 {
        return Ok((answer.auth_bytes, answer.session_lifetime_ms));
    }
    let (problem, remedy) = login.refused();
    let told = answer
        .error_message
        .map_or_else(String::new, |told| format!(": {told}"));
    Err(connection.refused(format!("{problem}{told}"), remedy))
}

/// The server told why it refuses the token; a lone separator makes it say so with an error code too.
fn token_refused(connection: &mut Connection, login: &Login, reason: &Bytes) -> WireError {
    let (problem, remedy) = login.refused();
    match send(connection, login, "\u{1}".to_owned()) {
        Ok(_) | Err(WireError::Refused { .. }) => {
            let told = String::from_utf8_lossy(reason);
            connection.refused(format!("{problem}: {told}"), remedy)
        }
        Err(other) => other,
    }
}

fn no_token(connection: &Connection, error: NoToken) -> WireError {
    match error {
        NoToken::Later(reason) => {
            connection.failed(io::Error::other(format!("no token: {reason}")))
        }
        NoToken::Malformed(problem) => connection.refused(
            format!("oauth_cb gives no token that can be sent: {problem}"),
            "it returns (token, expiry in s since 1970[, principal, extensions])",
        ),
    }
}

/// A server that proves nothing is worse than one that refuses: it may be somebody else.
fn distrust(connection: &Connection, login: &Login, problem: &str) -> WireError {
    connection.refused(
        format!("{} failed: {problem}", login.mechanism()),
        "is this the broker you mean? nothing was sent that tells the password",
    )
}

fn bearer(token: &Token) -> String {
    let mut message = format!("n,,\u{1}auth=Bearer {}\u{1}", token.text.expose());
    for (name, value) in &token.extensions {
        message.extend([name, "=", value, "\u{1}"]);
    }
    message.push('\u{1}');
    message
}

fn text(message: &Bytes) -> Result<&str, String> {
    std::str::from_utf8(message).map_err(|_| "the server's message is not text".to_owned())
}

/// 144 random bits, in letters that SCRAM allows.
fn nonce(connection: &Connection) -> Result<String, WireError> {
    let mut random = [0; 18];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| connection.failed(io::Error::other("the system gives no random bytes")))?;
    Ok(BASE64_STANDARD_NO_PAD.encode(random))
}
