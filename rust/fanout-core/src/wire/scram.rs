//! SCRAM (RFC 5802, RFC 7677) as Kafka speaks it: the client's half, without any input or output.
//!
//! The password is never sent, and the server must prove that it knows it too:
//! an answer whose signature does not fit ends the connection.

use std::num::NonZeroU32;

use base64::prelude::{Engine, BASE64_STANDARD};
use ring::{digest, hmac, pbkdf2};

use super::Secret;

/// Kafka's own least; fewer would make a stolen exchange cheap to guess from.
const LEAST_ROUNDS: u32 = 4_096;

/// Above, a server that lies could keep this process hashing for minutes.
const MOST_ROUNDS: u32 = 1_000_000;

/// The hash function of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Hash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// One exchange, begun with a nonce that is used once.
pub(super) struct Scram {
    hash: Hash,
    nonce: String,
    first_bare: String,
    /// Once the server's first message was answered: what its last one must be signed with, and over what.
    expected: Option<(hmac::Key, String)>,
}

impl Scram {
    pub(super) fn new(hash: Hash, user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            first_bare: format!("n={user},r={nonce}"),
            nonce,
            expected: None,
        }
    }

    /// The first message: who we are, and our nonce.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// Answers the server's first message with the proof that we know the password.
    ///
    /// # Errors
    ///
    /// In one clause, if the message is malformed, not an answer to ours, or asks for too little or too much.
    pub(super) fn answer(&mut self, message: &str, password: &Secret) -> Result<String, String> {
        let challenge = Challenge::read(message)?;
        if !challenge.nonce.starts_with(&self.nonce) || challenge.nonce.len() == self.nonce.len() {
            return Err("the server's nonce does not continue ours".to_owned());
        }
        let unsigned = format!("c=biws,r={}", challenge.nonce);
        let signed = format!("{},{message},{unsigned}", self.first_bare);
        let salted = self.salted(password, &challenge);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored = digest::digest(self.hash.digest(), client_key.as_ref());
        let signature = hmac::sign(
            &hmac::Key::new(self.hash.hmac(), stored.as_ref()),
            signed.as_bytes(),
        );
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, signature)| key ^ signature)
            .collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let server_key = hmac::Key::new(self.hash.hmac(), server_key.as_ref());
        self.expected = Some((server_key, signed));
        Ok(format!("{unsigned},p={}", BASE64_STANDARD.encode(proof)))
    }

    /// Checks that the server knew the password too.
    ///
    /// # Errors
    ///
    /// In one clause, if it did not show it.
    pub(super) fn check(&self, message: &str) -> Result<(), String> {
        if let Some(error) = message.strip_prefix("e=") {
            return Err(format!("the server says `{error}`"));
        }
        let Some((key, signed)) = &self.expected else {
            return Err("the server's last message came before its first".to_owned());
        };
        let signature = attribute(message.split(',').next(), "v=")?;
        hmac::verify(key, signed.as_bytes(), &bytes(signature)?)
            .map_err(|_| "the server could not show that it knows the password".to_owned())
    }

    fn salted(&self, password: &Secret, challenge: &Challenge<'_>) -> hmac::Key {
        let mut salted = vec![0; self.hash.digest().output_len()];
        pbkdf2::derive(
            self.hash.pbkdf2(),
            challenge.rounds,
            &challenge.salt,
            password.expose().as_bytes(),
            &mut salted,
        );
        hmac::Key::new(self.hash.hmac(), &salted)
    }
}

/// The server's first message.
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    rounds: NonZeroU32,
}

impl<'a> Challenge<'a> {
    fn read(message: &'a str) -> Result<Self, String> {
        if let Some(error) = message.strip_prefix("e=") {
            return Err(format!("the server says `{error}`"));
        }
        // A message that begins with m= demands an extension we would have to know.
        let mut parts = message.split(',');
        let nonce = attribute(parts.next(), "r=")?;
        let salt = bytes(attribute(parts.next(), "s=")?)?;
        let rounds = attribute(parts.next(), "i=")?;
        let rounds = rounds
            .parse()
            .ok()
            .filter(|rounds| (LEAST_ROUNDS..=MOST_ROUNDS).contains(rounds))
            .and_then(NonZeroU32::new)
            .ok_or_else(|| {
                format!("the server asks for {rounds} rounds, {LEAST_ROUNDS} to {MOST_ROUNDS} are accepted")
            })?;
        Ok(Self {
            nonce,
            salt,
            rounds,
        })
    }
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str, String> {
    part.and_then(|part| part.strip_prefix(name))
        .ok_or_else(|| format!("the server's message has no `{name}` where it belongs"))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    BASE64_STANDARD
        .decode(text)
        .map_err(|_| "the server's message is not base64 where it should be".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const VERDICT: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn pencil() -> Secret {
        Secret::new("pencil".to_owned())
    }

    fn begun() -> Scram {
        Scram::new(Hash::Sha256, "user", NONCE.to_owned())
    }

    fn answered() -> Scram {
        let mut scram = begun();
        scram
            .answer(CHALLENGE, &pencil())
            .expect("the RFC's own challenge");
        scram
    }

    #[test]
    fn the_exchange_of_the_rfc_comes_out_letter_by_letter() {
        let mut scram = begun();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.answer(CHALLENGE, &pencil()).as_deref(), Ok(PROOF));
        assert_eq!(scram.check(VERDICT), Ok(()));
    }

    /// No RFC has an exchange with SHA-512; this one was computed with Python's hashlib and hmac.
    #[test]
    fn the_exchange_with_sha_512_has_a_proof_of_its_own() {
        let mut scram = Scram::new(Hash::Sha512, "user", NONCE.to_owned());
        let proof = scram.answer(CHALLENGE, &pencil()).expect("a challenge");
        let expected = "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
        assert_eq!(proof.rsplit("p=").next(), Some(expected));
        assert_eq!(scram.check("v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="), Ok(()));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_refused() {
        let scram = answered();
        let forged = VERDICT.replace('6', "7");
        let refused = scram.check(&forged).expect_err("a forged signature");
        assert!(refused.contains("could not show"), "{refused}");
        assert!(scram.check("v=").is_err());
        assert!(scram.check("e=invalid-proof").is_err());
        assert!(begun().check(VERDICT).is_err(), "nothing was asked yet");
    }

    #[test]
    fn a_challenge_that_answers_somebody_else_is_refused() {
        let foreign = CHALLENGE.replace("rOprNG", "xOprNG");
        assert!(begun().answer(&foreign, &pencil()).is_err());
        let echoed = format!("r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert!(
            begun().answer(&echoed, &pencil()).is_err(),
            "no nonce of its own"
        );
    }

    #[test]
    fn a_challenge_that_weakens_or_stalls_is_refused() {
        for rounds in ["1", "4095", "1000001", "99999999999", "-1", "many"] {
            let challenge = CHALLENGE.replace("4096", rounds);
            let refused = begun().answer(&challenge, &pencil()).expect_err(rounds);
            assert!(refused.contains("rounds"), "{refused}");
        }
        assert!(begun()
            .answer(&format!("m=ext,{CHALLENGE}"), &pencil())
            .is_err());
        assert!(begun().answer("", &pencil()).is_err());
    }

    #[test]
    fn a_user_s_name_cannot_smuggle_attributes() {
        let scram = Scram::new(Hash::Sha256, "a=b,c", "x".to_owned());
        assert_eq!(scram.first(), "n,,n=a=3Db=2Cc,r=x");
    }
}
