//! Topics as a whole: the longest batch one takes; deleting one by its id, so that one made again under its name is safe.

use std::ops::RangeInclusive;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DeleteTopicsRequest, DescribeConfigsRequest};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::retry::judge;
use super::{Client, Failure};
use crate::error::Result;

const DELETE_TOPICS: RangeInclusive<i16> = 6..=6;
const DESCRIBE_CONFIGS: RangeInclusive<i16> = 4..=4;

/// Kafka's number of a topic among the things that have settings.
const TOPIC: i8 = 2;

/// The topic setting that bounds a batch, in bytes.
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// The longest batch that `topic` takes, in bytes; `None` where we may not read its settings.
///
/// # Errors
///
/// If no broker answers, or the topic does not exist.
pub fn most_batch_bytes(client: &mut Client, topic: &str) -> Result<Option<usize>> {
    let wanted = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(topic.to_owned()))
        .with_configuration_keys(Some(vec![StrBytes::from_static_str(MAX_MESSAGE_BYTES)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![wanted]);
    client.retry(|client| {
        let response = client.ask_any(&request, &DESCRIBE_CONFIGS)?;
        let Some(answer) = response.results.first() else {
            let reason = format!("DescribeConfigs says nothing of topic {topic}");
            return Err(Failure::Stale(reason));
        };
        if answer.error_code.err() == Some(ResponseError::TopicAuthorizationFailed) {
            return Ok(None);
        }
        judge(
            "DescribeConfigs",
            &format!("topic {topic}"),
            answer.error_code,
        )?;
        let mut settings = answer.configs.iter();
        let found = settings.find(|setting| setting.name.as_str() == MAX_MESSAGE_BYTES);
        let value = found.and_then(|setting| setting.value.as_deref());
        Ok(value.and_then(|value| value.parse().ok()))
    })
}

/// Deletes the topic with this id.
///
/// # Errors
///
/// [`Error::Refused`](crate::error::Error::Refused) if no topic has the id.
pub fn delete(client: &mut Client, id: Uuid) -> Result<()> {
    let timeout_ms = client.settings().connection.answer_timeout.as_millis();
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![DeleteTopicState::default().with_topic_id(id)])
        .with_timeout_ms(i32::try_from(timeout_ms).unwrap_or(i32::MAX));
    client.retry(|client| {
        // Any broker passes it on to the controller.
        let response = client.ask_any(&request, &DELETE_TOPICS)?;
        for answer in &response.responses {
            judge("DeleteTopics", &format!("topic id {id}"), answer.error_code)?;
        }
        Ok(())
    })
}
