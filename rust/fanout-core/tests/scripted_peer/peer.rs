//! A broker of a few hundred lines: it listens, answers what a lane asks, and errs when a test says so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fanout_core::wire::Address;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::answers::{answer, Cluster};

/// The longest request that is read.
const MOST_BYTES: usize = 1 << 20;

/// What the peer does to one request instead of answering it well.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The answer bears this error code.
    Code(i16),
    /// These bytes come instead of an answer, then the stream ends.
    Bytes(Vec<u8>),
    /// At this place of the answer, counted behind its length, stands a number of five bytes: 2^32 − 1.
    Spliced(usize),
    /// Nothing comes.
    Silence,
    /// The answer is sound and asks for this many milliseconds of rest.
    Throttle(i32),
}

/// Which requests the fault meets.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) key: ApiKey,
    pub(crate) fault: Fault,
    /// How many of them.
    pub(crate) times: usize,
}

/// One request that came, and whether the fault met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) key: ApiKey,
    /// An `InitProducerId` that names its producer.
    pub(crate) renews: bool,
    pub(crate) met: bool,
    /// Which connection it came on, and when.
    pub(crate) came: (SocketAddr, Instant),
}

struct Stage {
    script: Option<Script>,
    cluster: Cluster,
    seen: Vec<Seen>,
}

/// The peer; its threads end with the test's process.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    transactions: i16,
    stage: Arc<Mutex<Stage>>,
}

impl Peer {
    pub(crate) fn start() -> Self {
        Self::with_transactions(2)
    }

    /// A peer whose brokers have finalized this `transaction.version`.
    pub(crate) fn with_transactions(version: i16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let peer = Self {
            address: Address {
                host: "127.0.0.1".to_owned(),
                port,
            },
            transactions: version,
            stage: Arc::new(Mutex::new(Stage::new(None, version))),
        };
        let serving = peer.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let peer = serving.clone();
                thread::spawn(move || peer.serve(stream));
            }
        });
        peer
    }

    /// Forgets what was, and follows `script` from now on.
    pub(crate) fn play(&self, script: Script) {
        *self.stage() = Stage::new(Some(script), self.transactions);
    }

    /// Every request since the script began, in the order they came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.stage().seen.clone()
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().expect("no handler panics")
    }

    /// Answers one stream until it ends; a client that is gone is no fault.
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(client) = stream.peer_addr() else {
            return;
        };
        while let Some(frame) = read_frame(&mut stream) {
            let reply = self.reply((client, Instant::now()), frame);
            let (Reply::Whole(bytes) | Reply::Last(bytes)) = &reply;
            if stream.write_all(bytes).is_err() || matches!(reply, Reply::Last(_)) {
                return;
            }
        }
    }

    fn reply(&self, came: (SocketAddr, Instant), mut frame: Bytes) -> Reply {
        let key = i16::from_be_bytes([frame[0], frame[1]]);
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let key = ApiKey::try_from(key).expect("a lane asks what Kafka knows");
        let header = RequestHeader::decode(&mut frame, key.request_header_version(version));
        let header = header.expect("a sound header");
        let mut stage = self.stage();
        let fault = stage.fault_for(key);
        let (code, throttle_ms) = match fault {
            Some(Fault::Code(code)) => (code, 0),
            Some(Fault::Throttle(millis)) => (0, millis),
            _ => (0, 0),
        };
        let answered = answer(
            &mut stage.cluster,
            (&self.address, code, throttle_ms),
            (key, version),
            frame,
        );
        stage.seen.push(Seen {
            key,
            renews: answered.renews,
            met: fault.is_some(),
            came,
        });
        drop(stage);
        let mut body = BytesMut::new();
        ResponseHeader::default()
            .with_correlation_id(header.correlation_id)
            .encode(&mut body, key.response_header_version(version))
            .expect("a header");
        let mut body = [&body[..], &answered.body].concat();
        match fault {
            Some(Fault::Bytes(bytes)) => return Reply::Last(bytes),
            Some(Fault::Silence) => return Reply::Whole(Vec::new()),
            Some(Fault::Spliced(at)) if at < body.len() => {
                body.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
            }
            Some(Fault::Code(_) | Fault::Spliced(_) | Fault::Throttle(_)) | None => {}
        }
        let length = i32::try_from(body.len()).expect("short");
        Reply::Whole([&length.to_be_bytes()[..], &body].concat())
    }
}

/// What goes back, and whether the stream goes on.
enum Reply {
    Whole(Vec<u8>),
    Last(Vec<u8>),
}

impl Stage {
    fn new(script: Option<Script>, transactions: i16) -> Self {
        Self {
            script,
            cluster: Cluster::with_transactions(transactions),
            seen: Vec::new(),
        }
    }

    fn fault_for(&mut self, key: ApiKey) -> Option<Fault> {
        let script = self.script.as_mut().filter(|script| script.key == key)?;
        script.times = script.times.checked_sub(1)?;
        Some(script.fault.clone())
    }
}

fn read_frame(stream: &mut TcpStream) -> Option<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MOST_BYTES {
        // Not a request: a broker ends the stream too.
        return None;
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).ok()?;
    Some(frame.into())
}
