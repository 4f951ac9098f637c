//! What really listens where a connection failed before its first answer.
//!
//! A TLS port spoken to in plain, and the reverse, only hang up: nothing of what
//! they say tells why. Asking once in the other language does.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::transport::connect;
use super::{Address, Refusal, Transport};

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    Plain,
    Tls,
    Http,
}

impl Speech {
    /// By the first bytes it sent; none if they tell nothing.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        match first {
            // Alert and handshake, the two records a server begins with; the version's first byte is always 3.
            [0x15 | 0x16, 3, ..] => Some(Self::Tls),
            [b'H', b'T', b'T', b'P', ..] => Some(Self::Http),
            _ => None,
        }
    }

    /// What to tell whoever spoke another language.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Plain => Refusal::new(
                "this listener does not speak TLS",
                "set security.protocol to plaintext or sasl_plaintext, or dial the port of a TLS listener",
            ),
            Self::Tls => Refusal::new(
                "this listener speaks TLS",
                "set security.protocol to ssl or sasl_ssl",
            ),
            Self::Http => Refusal::new(
                "this port speaks HTTP, not Kafka",
                "name the port of a broker's listener in bootstrap.servers",
            ),
        }
    }
}

/// Whether the peer ended the conversation, whatever it had to say.
pub(super) fn was_hung_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// `ApiVersions` in version 0, the one request every broker answers to everyone: correlation 7, no client id.
const QUESTION: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// Whether a plain Kafka listener answers at `address`.
pub(super) fn speaks_plain(address: &Address, timeout: Duration) -> Option<Speech> {
    let answer: [u8; 8] = ask(address, timeout, &QUESTION)?;
    (answer[4..] == QUESTION[8..12]).then_some(Speech::Plain)
}

/// A `ClientHello` that no server finds anything in common with, so that the answer is an alert.
const HELLO: [u8; 50] = {
    let mut hello = [0; 50];
    let head = [0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    // 32 bytes of random (zeros do), no session, one cipher suite (TLS_NULL_WITH_NULL_NULL), no compression.
    hello[45] = 2;
    hello[48] = 1;
    hello
};

/// Whether TLS answers at `address`.
pub(super) fn speaks_tls(address: &Address, timeout: Duration) -> Option<Speech> {
    let answer: [u8; 2] = ask(address, timeout, &HELLO)?;
    Speech::of(&answer).filter(|&seen| seen == Speech::Tls)
}

/// The first bytes of the answer to `question`; none if there are not as many, for whatever reason.
fn ask<const N: usize>(address: &Address, timeout: Duration, question: &[u8]) -> Option<[u8; N]> {
    let asked = || -> io::Result<[u8; N]> {
        let mut socket = connect(address, timeout)?;
        Transport::set_timeout(&socket, timeout)?;
        socket.write_all(question)?;
        let mut answer = [0; N];
        socket.read_exact(&mut answer)?;
        Ok(answer)
    };
    asked().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_port_speaks() {
        assert_eq!(Speech::of(&[0x15, 3, 3, 0]), Some(Speech::Tls));
        assert_eq!(Speech::of(&[0x16, 3, 3, 0]), Some(Speech::Tls));
        assert_eq!(Speech::of(b"HTTP/1.1 400"), Some(Speech::Http));
        assert_eq!(Speech::of(&[0, 0, 1, 0]), None);
        assert_eq!(Speech::of(b"H"), None);
    }

    #[test]
    fn the_hello_is_framed_as_its_length_says() {
        assert_eq!(usize::from(HELLO[4]), HELLO.len() - 5, "the record");
        assert_eq!(usize::from(HELLO[8]), HELLO.len() - 9, "the message in it");
    }
}
