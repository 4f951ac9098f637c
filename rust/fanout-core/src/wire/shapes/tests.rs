//! Each shape against what the protocol crate itself writes: nothing refused, nothing left over.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    add_partitions_to_txn_response as add, describe_configs_response as configs,
    describe_producers_response as producers, describe_transactions_response as described,
    fetch_response as fetch, list_offsets_response as list, metadata_response as metadata,
    offset_commit_response as committed, offset_fetch_response as offsets,
    produce_response as produce, txn_offset_commit_response as txn, *,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::super::shape::{walk, Answered};

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("orders"))
}

/// Every answer the crate writes is walked to its last byte, and nothing in it can announce more than is there.
fn holds<R: Answered>(response: &R::Response, versions: RangeInclusive<i16>)
where
    R::Response: Encodable + Decodable + Debug + PartialEq,
{
    for version in versions {
        let mut body = BytesMut::new();
        response.encode(&mut body, version).expect("in range");
        let walked = walk(R::shape(version), &body);
        assert_eq!(walked, Ok(()), "{response:?} in version {version}");
        for cut in 0..body.len() {
            let cut = walk(R::shape(version), &body[..cut]);
            assert!(
                cut.is_err(),
                "version {version} has a shape that ends early"
            );
        }
        for at in 0..body.len() {
            let mut hostile = body.to_vec();
            hostile.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
            if walk(R::shape(version), &hostile).is_ok() {
                // It lies in a number or a text: decoding it must not reserve what it would be as a length.
                let _ = R::Response::decode(&mut Bytes::from(hostile), version);
            }
        }
    }
}

#[test]
fn answers_that_find_the_cluster_have_their_shapes() {
    let feature = api_versions_response::FinalizedFeatureKey::default().with_name(text("f"));
    let supported = api_versions_response::SupportedFeatureKey::default().with_name(text("s"));
    let versions = ApiVersionsResponse::default()
        .with_api_keys(vec![api_versions_response::ApiVersion::default(); 3])
        .with_supported_features(vec![supported])
        .with_finalized_features_epoch(7)
        .with_finalized_features(vec![feature; 2])
        .with_zk_migration_ready(true);
    holds::<ApiVersionsRequest>(&versions, 3..=3);

    let partition = metadata::MetadataResponsePartition::default()
        .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
        .with_isr_nodes(vec![BrokerId(1)])
        .with_offline_replicas(vec![BrokerId(2)]);
    let found = metadata::MetadataResponseTopic::default()
        .with_name(Some(topic()))
        .with_partitions(vec![partition; 2]);
    let broker = metadata::MetadataResponseBroker::default()
        .with_host(text("b1"))
        .with_rack(Some(text("r1")));
    let answer = MetadataResponse::default()
        .with_brokers(vec![broker; 2])
        .with_cluster_id(Some(text("c")))
        .with_topics(vec![found; 2]);
    holds::<MetadataRequest>(&answer, 10..=12);

    let coordinator = find_coordinator_response::Coordinator::default()
        .with_key(text("g"))
        .with_host(text("b1"))
        .with_error_message(Some(text("none")));
    let answer = FindCoordinatorResponse::default().with_coordinators(vec![coordinator; 2]);
    holds::<FindCoordinatorRequest>(&answer, 4..=4);
}

#[test]
fn answers_about_places_have_their_shapes() {
    let partition =
        offsets::OffsetFetchResponsePartitions::default().with_metadata(Some(text("m")));
    let found = offsets::OffsetFetchResponseTopics::default()
        .with_name(topic())
        .with_partitions(vec![partition; 2]);
    let group = offsets::OffsetFetchResponseGroup::default()
        .with_group_id(GroupId(text("g")))
        .with_topics(vec![found; 2]);
    let answer = OffsetFetchResponse::default().with_groups(vec![group; 2]);
    holds::<OffsetFetchRequest>(&answer, 8..=8);

    let found = committed::OffsetCommitResponseTopic::default()
        .with_name(topic())
        .with_partitions(vec![committed::OffsetCommitResponsePartition::default(); 2]);
    let answer = OffsetCommitResponse::default().with_topics(vec![found]);
    holds::<OffsetCommitRequest>(&answer, 8..=8);

    let left = leave_group_response::MemberResponse::default().with_member_id(text("m"));
    let answer = LeaveGroupResponse::default().with_members(vec![left; 2]);
    holds::<LeaveGroupRequest>(&answer, 4..=5);

    let found = list::ListOffsetsTopicResponse::default()
        .with_name(topic())
        .with_partitions(vec![list::ListOffsetsPartitionResponse::default(); 2]);
    let answer = ListOffsetsResponse::default().with_topics(vec![found]);
    holds::<ListOffsetsRequest>(&answer, 7..=7);

    let state = producers::ProducerState::default();
    let partition = producers::PartitionResponse::default()
        .with_error_message(Some(text("none")))
        .with_active_producers(vec![state; 2]);
    let found = producers::TopicResponse::default()
        .with_name(topic())
        .with_partitions(vec![partition; 2]);
    let answer = DescribeProducersResponse::default().with_topics(vec![found]);
    holds::<DescribeProducersRequest>(&answer, 0..=0);
}

#[test]
fn lists_of_transactions_have_their_shape() {
    let state = list_transactions_response::TransactionState::default()
        .with_transactional_id(TransactionalId(text("billing")))
        .with_transaction_state(text("Ongoing"));
    let answer = ListTransactionsResponse::default()
        .with_unknown_state_filters(vec![text("Odd")])
        .with_transaction_states(vec![state; 2]);
    holds::<ListTransactionsRequest>(&answer, 0..=0);
}

#[test]
fn answers_with_records_and_acknowledgements_have_their_shapes() {
    let partition = fetch::PartitionData::default()
        .with_aborted_transactions(Some(vec![fetch::AbortedTransaction::default(); 2]))
        .with_current_leader(fetch::LeaderIdAndEpoch::default().with_leader_id(BrokerId(1)))
        .with_diverging_epoch(fetch::EpochEndOffset::default().with_epoch(3))
        .with_snapshot_id(fetch::SnapshotId::default().with_epoch(2))
        .with_records(Some(Bytes::from_static(b"a batch")));
    let found = fetch::FetchableTopicResponse::default().with_partitions(vec![partition; 2]);
    let answer = FetchResponse::default().with_responses(vec![found]);
    holds::<FetchRequest>(&answer, 13..=16);
    let near = fetch::NodeEndpoint::default().with_host(text("b1"));
    holds::<FetchRequest>(&answer.with_node_endpoints(vec![near; 2]), 16..=16);

    let refused = produce::BatchIndexAndErrorMessage::default()
        .with_batch_index_error_message(Some(text("null key")));
    let partition = produce::PartitionProduceResponse::default()
        .with_record_errors(vec![refused; 2])
        .with_error_message(Some(text("no")));
    let found =
        produce::TopicProduceResponse::default()
            .with_partition_responses(vec![partition.clone(); 2]);
    let answer = ProduceResponse::default().with_responses(vec![found]);
    holds::<ProduceRequest>(&answer, 9..=13);
    let led = partition
        .with_current_leader(produce::LeaderIdAndEpoch::default().with_leader_id(BrokerId(1)));
    let found = produce::TopicProduceResponse::default().with_partition_responses(vec![led]);
    let near = produce::NodeEndpoint::default().with_host(text("b1"));
    let answer = ProduceResponse::default()
        .with_responses(vec![found])
        .with_node_endpoints(vec![near; 2]);
    holds::<ProduceRequest>(&answer, 10..=13);
}

#[test]
fn answers_of_transactions_have_their_shapes() {
    holds::<InitProducerIdRequest>(&InitProducerIdResponse::default(), 4..=5);
    holds::<AddOffsetsToTxnRequest>(&AddOffsetsToTxnResponse::default(), 3..=4);
    holds::<EndTxnRequest>(&EndTxnResponse::default(), 3..=5);
    let found = txn::TxnOffsetCommitResponseTopic::default()
        .with_name(topic())
        .with_partitions(vec![txn::TxnOffsetCommitResponsePartition::default(); 2]);
    let answer = TxnOffsetCommitResponse::default().with_topics(vec![found]);
    holds::<TxnOffsetCommitRequest>(&answer, 3..=5);
    let found = add::AddPartitionsToTxnTopicResult::default()
        .with_name(topic())
        .with_results_by_partition(vec![add::AddPartitionsToTxnPartitionResult::default(); 2]);
    let answer =
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(vec![found]);
    holds::<AddPartitionsToTxnRequest>(&answer, 3..=3);
    let written = described::TopicData::default()
        .with_topic(topic())
        .with_partitions(vec![0, 1]);
    let state = described::TransactionState::default()
        .with_transactional_id(TransactionalId(text("t")))
        .with_transaction_state(text("Ongoing"))
        .with_topics(vec![written; 2]);
    let answer = DescribeTransactionsResponse::default().with_transaction_states(vec![state; 2]);
    holds::<DescribeTransactionsRequest>(&answer, 0..=0);
}

#[test]
fn the_other_answers_have_their_shapes() {
    let setting = create_topics_response::CreatableTopicConfigs::default().with_name(text("n"));
    let made = create_topics_response::CreatableTopicResult::default()
        .with_name(topic())
        .with_topic_config_error_code(29)
        .with_configs(Some(vec![setting; 2]));
    let answer = CreateTopicsResponse::default().with_topics(vec![made; 2]);
    holds::<CreateTopicsRequest>(&answer, 5..=7);

    let deleted = delete_topics_response::DeletableTopicResult::default()
        .with_name(Some(topic()))
        .with_error_message(Some(text("no")));
    let answer = DeleteTopicsResponse::default().with_responses(vec![deleted; 2]);
    holds::<DeleteTopicsRequest>(&answer, 6..=6);

    let synonym = configs::DescribeConfigsSynonym::default().with_name(text("n"));
    let setting = configs::DescribeConfigsResourceResult::default()
        .with_name(text("max.message.bytes"))
        .with_value(Some(text("1048588")))
        .with_synonyms(vec![synonym; 2])
        .with_documentation(Some(text("d")));
    let described = configs::DescribeConfigsResult::default()
        .with_resource_name(text("orders"))
        .with_configs(vec![setting; 2]);
    let answer = DescribeConfigsResponse::default().with_results(vec![described; 2]);
    holds::<DescribeConfigsRequest>(&answer, 4..=4);

    let answer = SaslHandshakeResponse::default().with_mechanisms(vec![text("PLAIN"), text("X")]);
    holds::<SaslHandshakeRequest>(&answer, 1..=1);
    let answer = SaslAuthenticateResponse::default()
        .with_error_message(Some(text("no")))
        .with_auth_bytes(Bytes::from_static(b"nonce"));
    holds::<SaslAuthenticateRequest>(&answer, 2..=2);
}
