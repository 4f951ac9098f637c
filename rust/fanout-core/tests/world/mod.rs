//! The clusters that the seam's contract is asked of: Kafka, and its twin in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fanout_core::batch::Batch;
use fanout_core::cluster::ends::{offsets, Place};
use fanout_core::cluster::{Client, ClientSettings};
use fanout_core::forward::commit::KafkaCommit;
use fanout_core::forward::fetch::KafkaFetch;
use fanout_core::forward::memory::MemoryCluster;
use fanout_core::forward::produce::KafkaProduce;
use fanout_core::forward::protocol::{Opened, Protocol, Transactions};
use fanout_core::forward::scan::tally;
use fanout_core::forward::seam::{Commit, Fetch, Produce};
use fanout_core::record::TopicPartition;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{CreateTopicsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

/// Something with a source partition and two target partitions.
pub(crate) trait World {
    fn seams(&self) -> (Box<dyn Fetch>, Box<dyn Produce>, Box<dyn Commit>);
    /// How its brokers tell one transaction from the next.
    fn protocol(&self) -> Protocol;
    /// Records that a read-committed reader of `target` sees.
    fn visible(&self, target: i32) -> u64;
}

pub(crate) struct Memory(MemoryCluster, Protocol);

impl Memory {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self(MemoryCluster::new(1).speaking(protocol), protocol)
    }
}

impl World for Memory {
    fn seams(&self) -> (Box<dyn Fetch>, Box<dyn Produce>, Box<dyn Commit>) {
        let (fetch, produce, commit) = self.0.seams();
        (Box::new(fetch), Box::new(produce), Box::new(commit))
    }

    fn protocol(&self) -> Protocol {
        self.1
    }

    fn visible(&self, target: i32) -> u64 {
        let batches = self.0.visible(target);
        let count = |bytes: &Vec<u8>| Batch::parse(bytes).expect("sound").header.record_count;
        batches
            .iter()
            .map(count)
            .map(|count| u64::from(count.unsigned_abs()))
            .sum()
    }
}

pub(crate) struct Kafka {
    settings: ClientSettings,
    name: String,
    protocol: Protocol,
    /// How long a transaction may be open.
    pub(crate) timeout_ms: i32,
}

/// Tests run side by side: each has topics, a group and a transactional id of its own.
static WORLDS: AtomicU32 = AtomicU32::new(0);

impl Kafka {
    pub(crate) fn new() -> Self {
        let bootstrap = std::env::var("FANOUT_CONTRACT_BOOTSTRAP")
            .expect("FANOUT_CONTRACT_BOOTSTRAP names a cluster for these tests");
        let properties = BTreeMap::from([("bootstrap.servers".to_owned(), bootstrap)]);
        let settings = ClientSettings::from_properties(&properties).expect("an address");
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("contract-{}-{number}", std::process::id());
        let topic = |suffix: &str, partitions| {
            CreatableTopic::default()
                .with_name(TopicName(StrBytes::from_string(format!("{name}-{suffix}"))))
                .with_num_partitions(partitions)
                .with_replication_factor(-1)
        };
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic("source", 1), topic("target", 2)])
            .with_timeout_ms(30_000);
        let mut client = Client::new(settings.clone());
        let made = client.retry(|client| client.ask_any(&request, &(5..=7)));
        for topic in made.expect("a cluster answers").topics {
            assert_eq!(topic.error_code, 0, "{:?}", topic.error_message);
        }
        for suffix in ["source", "target"] {
            offsets(&mut client, &format!("{name}-{suffix}"), Place::Stable).expect("led");
        }
        let protocol = Protocol::of(&client.versions().expect("a cluster answers"));
        Self {
            settings,
            name,
            protocol,
            timeout_ms: 30_000,
        }
    }

    fn client(&self) -> Client {
        Client::new(self.settings.clone())
    }
}

impl World for Kafka {
    fn seams(&self) -> (Box<dyn Fetch>, Box<dyn Produce>, Box<dyn Commit>) {
        let at = TopicPartition::new(format!("{}-source", self.name), 0);
        let transactions = Transactions {
            id: format!("fanout.{}", self.name),
            timeout_ms: self.timeout_ms,
            protocol: self.protocol,
            opened: Opened::default(),
        };
        let fetch = KafkaFetch::new(self.client(), at.clone(), 1 << 20);
        let target = format!("{}-target", self.name);
        let topic_id = self.client().retry(|client| Ok(client.layout(&target)?.id));
        let topic = (&target[..], topic_id.expect("the topic exists"));
        let produce = KafkaProduce::new(self.client(), topic, Some(transactions.clone()));
        let commit = KafkaCommit::new(self.client(), &self.name, at, transactions);
        (
            Box::new(fetch.expect("the topic exists")),
            Box::new(produce),
            Box::new(commit),
        )
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn visible(&self, target: i32) -> u64 {
        let topic = format!("{}-target", self.name);
        let mut client = self.client();
        let ends = offsets(&mut client, &topic, Place::Latest).expect("the topic exists");
        let at = TopicPartition::new(topic, target);
        let patience = Duration::from_secs(60);
        tally(self.settings.clone(), &at, (0, ends[&target]), patience)
            .expect("readable to its end")
            .count
    }
}
