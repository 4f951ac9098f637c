//! What a sound broker with one source batch of ten records answers, with one error code written into it.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use fanout_core::wire::Address;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::{
    add_partitions_to_txn_response as enlist, api_versions_response as versions,
    describe_configs_response as configs, fetch_response as fetch,
    find_coordinator_response as coordinator, list_offsets_response as list,
    metadata_response as metadata, offset_fetch_response as offsets, produce_response as produce,
    txn_offset_commit_response as txn, *,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use uuid::Uuid;

pub(crate) const SOURCE: &str = "source";
pub(crate) const TARGET: &str = "target";
pub(crate) const GROUP: &str = "g";
/// Records of the source's only partition.
pub(crate) const END: i64 = 10;
const NODE: BrokerId = BrokerId(1);

/// What of a cluster outlives a request.
pub(crate) struct Cluster {
    /// Its finalized `transaction.version`.
    transactions: i16,
    epoch: i16,
    pending: Option<(i64, StrBytes)>,
    committed: Option<(i64, StrBytes)>,
    next: BTreeMap<i32, i64>,
}

impl Cluster {
    /// Nothing written yet, with this `transaction.version`.
    pub(crate) fn with_transactions(version: i16) -> Self {
        Self {
            transactions: version,
            epoch: 0,
            pending: None,
            committed: None,
            next: BTreeMap::new(),
        }
    }
}

/// A body, and whether the request was an `InitProducerId` that names its producer.
pub(crate) struct Answered {
    pub(crate) body: Bytes,
    pub(crate) renews: bool,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn id_of(topic: &str) -> Uuid {
    Uuid::from_u128(if topic == SOURCE { 1 } else { 2 })
}

fn read<R: Decodable>(body: &mut Bytes, version: i16) -> R {
    R::decode(body, version).expect("a sound request")
}

/// The answer to one request; a `code` other than 0 stands where Kafka puts it, and nothing is done then. So does the
/// throttle time, after which the broker wants to be asked again.
pub(crate) fn answer(
    cluster: &mut Cluster,
    (address, code, throttle_ms): (&Address, i16, i32),
    (key, version): (ApiKey, i16),
    mut body: Bytes,
) -> Answered {
    let body = &mut body;
    let mut out = BytesMut::new();
    let mut renews = false;
    let mut put = |response: &dyn Fn(&mut BytesMut)| response(&mut out);
    macro_rules! put {
        ($response:expr) => {{
            let mut response = $response;
            response.throttle_time_ms = throttle_ms;
            put(&|out| response.encode(out, version).expect("a sound answer"));
        }};
    }
    match key {
        ApiKey::ApiVersions => put!(api_versions(cluster, code)),
        ApiKey::Metadata => put!(layout(&read(body, version), address, code)),
        ApiKey::FindCoordinator => put!(found(&read(body, version), address, code)),
        ApiKey::DescribeConfigs => put!(described(code)),
        ApiKey::ListOffsets => put!(listed(&read(body, version), code)),
        ApiKey::InitProducerId => {
            let request: InitProducerIdRequest = read(body, version);
            renews = request.producer_id.0 >= 0;
            put!(initialised(cluster, code));
        }
        ApiKey::OffsetFetch => put!(places(cluster, code)),
        ApiKey::Fetch => put!(fetched(&read(body, version), code)),
        ApiKey::Produce => put!(produced(cluster, &read(body, version), code)),
        ApiKey::TxnOffsetCommit => put!(added(cluster, &read(body, version), code)),
        ApiKey::EndTxn => put!(ended(cluster, &read(body, version), code)),
        ApiKey::AddPartitionsToTxn => put!(enlisted(&read(body, version), code)),
        ApiKey::AddOffsetsToTxn => put!(AddOffsetsToTxnResponse::default().with_error_code(code)),
        other => panic!("a lane never asks {other:?}"),
    }
    Answered {
        body: out.freeze(),
        renews,
    }
}

fn api_versions(cluster: &Cluster, code: i16) -> ApiVersionsResponse {
    let offered = [
        (ApiKey::Produce, 0, 13),
        (ApiKey::Fetch, 4, 16),
        (ApiKey::ListOffsets, 1, 10),
        (ApiKey::Metadata, 0, 12),
        (ApiKey::OffsetFetch, 1, 9),
        (ApiKey::FindCoordinator, 0, 6),
        (ApiKey::ApiVersions, 0, 4),
        (ApiKey::InitProducerId, 0, 5),
        (ApiKey::EndTxn, 0, 5),
        (ApiKey::TxnOffsetCommit, 0, 5),
        (ApiKey::DescribeConfigs, 1, 4),
        (ApiKey::AddPartitionsToTxn, 0, 5),
        (ApiKey::AddOffsetsToTxn, 0, 4),
    ];
    let offered = offered.map(|(key, least, most)| {
        versions::ApiVersion::default()
            .with_api_key(key as i16)
            .with_min_version(least)
            .with_max_version(most)
    });
    let feature = versions::FinalizedFeatureKey::default()
        .with_name(text("transaction.version"))
        .with_max_version_level(cluster.transactions);
    ApiVersionsResponse::default()
        .with_error_code(code)
        .with_api_keys(offered.to_vec())
        .with_finalized_features_epoch(1)
        .with_finalized_features(vec![feature])
}

fn layout(request: &MetadataRequest, address: &Address, code: i16) -> MetadataResponse {
    let broker = metadata::MetadataResponseBroker::default()
        .with_node_id(NODE)
        .with_host(text(&address.host))
        .with_port(address.port.into());
    let topics = request.topics.iter().flatten().map(|asked| {
        let name = asked.name.clone().expect("by name");
        let partitions = if name.as_str() == SOURCE { 1 } else { 2 };
        let partition = |index| {
            metadata::MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(NODE)
        };
        metadata::MetadataResponseTopic::default()
            .with_error_code(code)
            .with_topic_id(id_of(&name))
            .with_name(Some(name))
            .with_partitions((0..partitions).map(partition).collect())
    });
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_topics(topics.collect())
}

fn found(
    request: &FindCoordinatorRequest,
    address: &Address,
    code: i16,
) -> FindCoordinatorResponse {
    let coordinators = request.coordinator_keys.iter().map(|key| {
        coordinator::Coordinator::default()
            .with_key(key.clone())
            .with_error_code(code)
            .with_node_id(NODE)
            .with_host(text(&address.host))
            .with_port(address.port.into())
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}

fn described(code: i16) -> DescribeConfigsResponse {
    let setting = configs::DescribeConfigsResourceResult::default()
        .with_name(text("max.message.bytes"))
        .with_value(Some(text("1048588")));
    let result = configs::DescribeConfigsResult::default()
        .with_error_code(code)
        .with_resource_type(2)
        .with_resource_name(text(TARGET))
        .with_configs(vec![setting]);
    DescribeConfigsResponse::default().with_results(vec![result])
}

fn listed(request: &ListOffsetsRequest, code: i16) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            list::ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code)
                .with_offset(if asked.timestamp == -2 { 0 } else { END })
        });
        list::ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn initialised(cluster: &mut Cluster, code: i16) -> InitProducerIdResponse {
    if code == 0 {
        cluster.epoch += 1;
        cluster.pending = None;
    }
    InitProducerIdResponse::default()
        .with_error_code(code)
        .with_producer_id(ProducerId(7))
        .with_producer_epoch(cluster.epoch)
}

fn places(cluster: &Cluster, code: i16) -> OffsetFetchResponse {
    let (offset, note) = cluster.committed.clone().unwrap_or((-1, text("")));
    let partition = offsets::OffsetFetchResponsePartitions::default()
        .with_error_code(code)
        .with_committed_offset(offset)
        .with_metadata(Some(note));
    let topic = offsets::OffsetFetchResponseTopics::default()
        .with_name(TopicName(text(SOURCE)))
        .with_partitions(vec![partition]);
    let group = offsets::OffsetFetchResponseGroup::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_topics(vec![topic]);
    OffsetFetchResponse::default().with_groups(vec![group])
}

fn fetched(request: &FetchRequest, code: i16) -> FetchResponse {
    let asked = &request.topics[0];
    let at_end = asked.partitions[0].fetch_offset >= END;
    let partition = fetch::PartitionData::default()
        .with_error_code(code)
        .with_high_watermark(END)
        .with_last_stable_offset(END)
        .with_records((code == 0 && !at_end).then(ten_records));
    let topic = fetch::FetchableTopicResponse::default()
        .with_topic_id(asked.topic_id)
        .with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![topic])
}

fn produced(cluster: &mut Cluster, request: &ProduceRequest, code: i16) -> ProduceResponse {
    let topic = &request.topic_data[0];
    let is_ours = topic.topic_id == id_of(TARGET) || topic.name.as_str() == TARGET;
    let code = if is_ours { code } else { 100 };
    let partitions = topic.partition_data.iter().map(|sent| {
        let next = cluster.next.entry(sent.index).or_default();
        let base = *next;
        if code == 0 {
            let records = sent.records.as_ref().expect("a batch");
            *next += i64::from(u32::from_be_bytes(
                *records[57..].first_chunk().expect("a header"),
            ));
        }
        produce::PartitionProduceResponse::default()
            .with_index(sent.index)
            .with_error_code(code)
            .with_base_offset(if code == 0 { base } else { -1 })
    });
    let answer = produce::TopicProduceResponse::default()
        .with_topic_id(topic.topic_id)
        .with_name(topic.name.clone())
        .with_partition_responses(partitions.collect());
    ProduceResponse::default().with_responses(vec![answer])
}

fn added(
    cluster: &mut Cluster,
    request: &TxnOffsetCommitRequest,
    code: i16,
) -> TxnOffsetCommitResponse {
    let asked = &request.topics[0].partitions[0];
    if code == 0 {
        let note = asked.committed_metadata.clone().expect("a note");
        cluster.pending = Some((asked.committed_offset, note));
    }
    let partition = txn::TxnOffsetCommitResponsePartition::default().with_error_code(code);
    let topic = txn::TxnOffsetCommitResponseTopic::default()
        .with_name(request.topics[0].name.clone())
        .with_partitions(vec![partition]);
    TxnOffsetCommitResponse::default().with_topics(vec![topic])
}

fn ended(cluster: &mut Cluster, request: &EndTxnRequest, code: i16) -> EndTxnResponse {
    let code = if request.producer_epoch == cluster.epoch {
        code
    } else {
        90
    };
    if code == 0 {
        cluster.epoch += i16::from(cluster.transactions >= 2);
        let pending = cluster.pending.take().filter(|_| request.committed);
        cluster.committed = pending.or(cluster.committed.take());
    }
    EndTxnResponse::default()
        .with_error_code(code)
        .with_producer_id(request.producer_id)
        .with_producer_epoch(cluster.epoch)
}

fn enlisted(request: &AddPartitionsToTxnRequest, code: i16) -> AddPartitionsToTxnResponse {
    let topics = request.v3_and_below_topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|&index| {
            enlist::AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(index)
                .with_partition_error_code(code)
        });
        enlist::AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}

fn ten_records() -> Bytes {
    let record = |offset| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).expect("small"),
        timestamp: 1_700_000_000_000,
        key: Some(Bytes::from(format!("key {offset}"))),
        value: Some(Bytes::from_static(b"value")),
        headers: IndexMap::new(),
    };
    let records: Vec<Record> = (0..END).map(record).collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("sound records");
    bytes.freeze()
}
