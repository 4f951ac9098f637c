//! Requests out and answers back over one stream.

mod answer;

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

pub use answer::OpenAnswer;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, RequestHeader};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};

use super::patience::{Patience, TICK};
use super::piece::{write_all, Piece};
use super::probe::was_hung_up;
use super::shape::{decode, Answered};
use super::throttle::{Throttle, Throttled};
use super::token::fresh_for;
use super::versions::{name, Versions};
use super::{sasl, Address, Cancel, Dial, FramePool, Login, Pipes, Refusal, Transport, WireError};

/// Brokers close connections that are idle for ten minutes by default: ours are opened anew before.
const IDLE: Duration = Duration::from_secs(240);

/// How many times as long as for an answer a connection keeps silent where its broker asks for it.
const RESTS: u32 = 4;

/// Whoever has not logged in yet is not answered at length, and whoever is not known yet is not read at length.
const MAX_BYTES_OF_STRANGERS: usize = 1 << 20;

/// What every connection of a client shares.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Sent with every request.
    pub client_id: String,
    /// How long dialling may take.
    pub dial_timeout: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// Ends every read and write early.
    pub cancel: Cancel,
    /// The longest answer that is read; a longer one ends the connection before it is allocated.
    pub max_answer_bytes: usize,
    /// Who we are to the broker, where it asks.
    pub login: Option<Login>,
    /// What long answers are read into.
    pub frames: FramePool,
    /// Where payloads wait that are not read.
    pub pipes: Pipes,
    /// Counts what brokers ask us to wait.
    pub throttled: Throttled,
}

/// An answer still owed by the broker.
#[derive(Debug, Clone, Copy)]
struct Owed {
    correlation: i32,
    header_version: i16,
}

/// One stream to one broker. Answers come in the order of their requests.
pub struct Connection {
    address: Address,
    transport: Box<dyn Transport>,
    settings: ConnectionSettings,
    versions: Versions,
    next_correlation: i32,
    owed: VecDeque<Owed>,
    out: BytesMut,
    last_used: Instant,
    /// When to log in again.
    renew_at: Option<Instant>,
    throttle: Throttle,
}

impl Connection {
    /// Dials `address`, learns which versions it speaks, and logs in where a login is set.
    ///
    /// # Errors
    ///
    /// If nothing listens there, what listens is not Kafka, or one side does not trust the other.
    pub fn open(
        dial: &dyn Dial,
        address: &Address,
        settings: &ConnectionSettings,
    ) -> Result<Self, WireError> {
        let failed = |source| WireError::of(address, source);
        let transport = dial.dial(address, settings.dial_timeout).map_err(failed)?;
        transport.set_timeout(TICK).map_err(failed)?;
        let mut connection = Self {
            address: address.clone(),
            transport,
            settings: settings.clone(),
            versions: Versions::default(),
            next_correlation: 0,
            owed: VecDeque::new(),
            out: BytesMut::new(),
            last_used: Instant::now(),
            renew_at: None,
            throttle: Throttle::default(),
        };
        // A stopped process still accepts: what listens must show in the time of a dial that it speaks.
        connection.settings.answer_timeout = settings.dial_timeout;
        connection.settings.max_answer_bytes =
            settings.max_answer_bytes.min(MAX_BYTES_OF_STRANGERS);
        connection.learn_versions().map_err(|error| match error {
            WireError::Io { address, source } if was_hung_up(&source) => {
                match dial.doubt(&address, settings.dial_timeout) {
                    Some(refusal) => WireError::Refused { address, refusal },
                    None => WireError::Io { address, source },
                }
            }
            other => other,
        })?;
        connection.log_in()?;
        connection.settings.answer_timeout = settings.answer_timeout;
        connection.settings.max_answer_bytes = settings.max_answer_bytes;
        Ok(connection)
    }

    /// Logs in, at first and again before the session ends. Nothing may be in flight.
    fn log_in(&mut self) -> Result<(), WireError> {
        // Not due while it logs in: the requests of a login come through `begin` too.
        let again = self.renew_at.take().is_some();
        if let Some(login) = self.settings.login.take() {
            let session = sasl::log_in(self, &login);
            self.settings.login = Some(login);
            let lifetime = session?;
            let (broker, mechanism) = (
                &self.address,
                self.settings.login.as_ref().map(Login::mechanism),
            );
            tracing::debug!(%broker, mechanism, ?lifetime, "logged in{}", if again { " again" } else { "" });
            self.renew_at = lifetime.map(|lifetime| Instant::now() + fresh_for(lifetime));
        }
        Ok(())
    }

    /// Whether nothing was asked but which versions the broker speaks, and nobody logged in.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        self.settings.login.is_none() && self.next_correlation == 1
    }

    /// Where it leads to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What the broker announced when the connection was opened.
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Whether the broker may have closed it by now, because nothing was asked for long.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.owed.is_empty() && self.last_used.elapsed() > IDLE
    }

    /// The version of `R` both sides speak within `ours`.
    ///
    /// # Errors
    ///
    /// [`WireError::Version`] if there is none.
    pub fn version_of<R: Request>(&self, ours: &RangeInclusive<i16>) -> Result<i16, WireError> {
        self.versions
            .pick(R::KEY, ours)
            .map_err(|offered| WireError::Version {
                address: self.address.clone(),
                request: name(R::KEY),
                offered,
                wanted: format!("versions {} to {}", ours.start(), ours.end()),
            })
    }

    /// Whether the broker wants to hear nothing now: a request would wait. Waits some of that time, at most `most`.
    pub fn rests(&mut self, most: Duration) -> bool {
        self.throttle.lasts(most, &self.settings.cancel)
    }

    /// Sends `request` and waits for its answer; nothing else may be in flight.
    ///
    /// # Errors
    ///
    /// Any [`WireError`]; all but [`WireError::Version`] leave the connection out of step.
    pub fn call<R: Answered>(
        &mut self,
        request: &R,
        ours: &RangeInclusive<i16>,
    ) -> Result<R::Response, WireError> {
        let version = self.version_of::<R>(ours)?;
        if !self.owed.is_empty() {
            return Err(self.broken("an answer is still owed on this connection".to_owned()));
        }
        self.send(request, version)?;
        self.receive::<R>(version)
    }

    /// Sends `request` without waiting.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded in `version` or the stream fails.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<(), WireError> {
        self.begin::<R>(version)?;
        let mut out = std::mem::take(&mut self.out);
        let encoded = request.encode(&mut out, version);
        self.out = out;
        encoded.map_err(|error| self.broken(format!("request not encoded: {error}")))?;
        self.finish::<R>(version, &[])
    }

    /// Sends a body that was framed by hand, its pieces written one behind the other without a copy.
    ///
    /// # Errors
    ///
    /// If the stream fails.
    pub fn send_pieces<R: Request>(
        &mut self,
        version: i16,
        pieces: &[Piece<'_>],
    ) -> Result<(), WireError> {
        self.begin::<R>(version)?;
        self.finish::<R>(version, pieces)
    }

    /// Waits for the oldest answer owed, which must be one to an `R` sent in `version`.
    ///
    /// If it says that the broker wants to hear nothing for a while, the next request waits so long.
    ///
    /// # Errors
    ///
    /// If it does not come in time, is too long, or is not what was owed.
    pub fn receive<R: Answered>(&mut self, version: i16) -> Result<R::Response, WireError> {
        let mut body = self.receive_body()?;
        self.decode::<R>(&mut body, version)
    }

    /// Reads the body of an answer to an `R`: walks it before room is made for what it announces.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn decode<R: Answered>(
        &mut self,
        body: &mut Bytes,
        version: i16,
    ) -> Result<R::Response, WireError> {
        let answer = decode::<R>(body, version).map_err(|problem| {
            self.broken(format!("{} answer not decoded: {problem}", name(R::KEY)))
        })?;
        let settings = &self.settings;
        let most = settings.answer_timeout * RESTS;
        self.throttle
            .note(R::throttle_ms(&answer), most, &settings.throttled);
        Ok(answer)
    }

    fn begin<R: Request>(&mut self, version: i16) -> Result<(), WireError> {
        self.throttle.wait(&self.settings.cancel);
        if let Some(due) = self.renew_at {
            // With answers owed it waits: a lane drains its connection at every commit, long before the last fifth is over.
            if self.owed.is_empty() && Instant::now() >= due {
                self.log_in()?;
            }
        }
        self.out.clear();
        self.out.put_i32(0);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.next_correlation)
            .with_client_id(Some(StrBytes::from_string(self.settings.client_id.clone())));
        header
            .encode(&mut self.out, R::header_version(version))
            .map_err(|error| self.broken(format!("request header not encoded: {error}")))
    }

    fn finish<R: Request>(&mut self, version: i16, body: &[Piece<'_>]) -> Result<(), WireError> {
        let length = self.out.len() - 4 + body.iter().map(Piece::len).sum::<usize>();
        let length = i32::try_from(length)
            .map_err(|_| self.broken(format!("a request of {length} bytes cannot be framed")))?;
        self.out[..4].copy_from_slice(&length.to_be_bytes());
        let mut pieces = Vec::with_capacity(body.len() + 1);
        pieces.push(Piece::Bytes(&self.out));
        pieces.extend(body);
        let patience = Patience::of(&self.settings);
        write_all(&mut *self.transport, &pieces, &patience)
            .map_err(|source| WireError::of(&self.address, source))?;
        self.last_used = Instant::now();
        self.owed.push_back(Owed {
            correlation: self.next_correlation,
            header_version: R::Response::header_version(version),
        });
        self.next_correlation = self.next_correlation.wrapping_add(1);
        Ok(())
    }

    /// Asks in version 3; a broker that does not know it answers in version 0, which is read too.
    fn learn_versions(&mut self) -> Result<(), WireError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("fanout"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        self.send(&request, 3)?;
        let mut body = self.receive_body()?;
        let error = if body.remaining() >= 2 {
            i16::from_be_bytes([body[0], body[1]])
        } else {
            -1
        };
        if error != 0 {
            return Err(self.broken(format!(
                "{:?} answered with error {error}: not an Apache Kafka 3.7 or newer",
                ApiKey::ApiVersions
            )));
        }
        let response = self.decode::<ApiVersionsRequest>(&mut body, 3)?;
        self.versions = Versions::from_response(&response);
        Ok(())
    }

    pub(super) fn refused(&self, problem: String, remedy: &str) -> WireError {
        WireError::Refused {
            address: self.address.clone(),
            refusal: Refusal::new(problem, remedy),
        }
    }

    pub(super) fn failed(&self, source: io::Error) -> WireError {
        WireError::of(&self.address, source)
    }

    fn broken(&self, problem: String) -> WireError {
        WireError::Protocol {
            address: self.address.clone(),
            problem,
        }
    }
}
