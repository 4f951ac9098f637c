//! What a lane does about each error code in the answer to each request: the table the lane is held to.
//!
//! Read from Kafka's protocol guide and from what brokers were seen to answer,
//! not from the code that it checks. A code that is not named here stops.

use kafka_protocol::messages::ApiKey;

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// It is no error here.
    GoOn,
    /// The same request to the same broker, a little later.
    Retry,
    /// Leaders and coordinators are looked up, then the same request.
    LookUp,
    /// `InitProducerId` as the current owner, then from the committed offset on.
    Renew,
    /// The lane ends at a place of its source that it names.
    Halt,
    /// The lane ends.
    Stop,
    /// The lane ends, because another owns it.
    Fenced,
}

/// Errors that time cures: loading, concurrent, unstable, too few replicas, throttled, rebalancing, timed out.
const LATER: [i16; 8] = [7, 14, 19, 20, 27, 51, 88, 89];

/// Errors of asking the wrong broker: leaders, coordinators, epochs, topic ids, storage, network, unknown topics.
const ELSEWHERE: [i16; 15] = [3, 5, 6, 9, 13, 15, 16, 41, 56, 72, 74, 75, 78, 100, 103];

/// Errors after which only the coordinator knows whose the transaction is: sequences, epochs, states.
const UNCLEAR: [i16; 8] = [45, 47, 48, 49, 52, 59, 90, 120];

/// What a target refuses in a batch for ever: sizes, timestamps, formats, records.
const REFUSED_BATCH: [i16; 6] = [10, 18, 32, 43, 76, 87];

pub(crate) fn action(key: ApiKey, code: i16) -> Action {
    match (key, code) {
        (_, 0) => Action::GoOn,
        // Whatever is wrong with it, this broker cannot be spoken with now.
        (ApiKey::ApiVersions, _) => Action::LookUp,
        // These are the looking up.
        (ApiKey::Metadata | ApiKey::FindCoordinator, _) if LATER.contains(&code) => Action::LookUp,
        // Any broker knows the settings: there is nobody to look up.
        (ApiKey::DescribeConfigs, _) if ELSEWHERE.contains(&code) => Action::Retry,
        (ApiKey::InitProducerId, 47 | 90) => Action::Fenced,
        (ApiKey::Produce | ApiKey::TxnOffsetCommit | ApiKey::EndTxn, _)
            if UNCLEAR.contains(&code) =>
        {
            Action::Renew
        }
        // The broker has the batch already.
        (ApiKey::Produce, 46) => Action::GoOn,
        // A batch of ours whose bytes were flipped on the way, and all that is sent again: after a new look.
        (ApiKey::Produce, 2) => Action::LookUp,
        (ApiKey::Produce, _) if LATER.contains(&code) => Action::LookUp,
        (ApiKey::Produce, _) if REFUSED_BATCH.contains(&code) => Action::Halt,
        (ApiKey::Fetch, 1) => Action::Halt,
        // The target's settings may be hidden from us.
        (ApiKey::DescribeConfigs, 29) => Action::GoOn,
        _ if LATER.contains(&code) => Action::Retry,
        _ if ELSEWHERE.contains(&code) => Action::LookUp,
        _ => Action::Stop,
    }
}

/// The same where transactions share an epoch.
pub(crate) fn action_below_version_2(key: ApiKey, code: i16) -> Action {
    match key {
        // Asked again, two copies would be on their way, and the later could end another transaction.
        ApiKey::EndTxn if LATER.contains(&code) || ELSEWHERE.contains(&code) => Action::Renew,
        ApiKey::AddPartitionsToTxn | ApiKey::AddOffsetsToTxn if UNCLEAR.contains(&code) => {
            Action::Renew
        }
        _ => action(key, code),
    }
}
