//! Deleting a topic by its id, so that one made again under the same name is safe.

use std::ops::RangeInclusive;

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::DeleteTopicsRequest;
use uuid::Uuid;

use super::retry::judge;
use super::Client;
use crate::error::Result;

const DELETE_TOPICS: RangeInclusive<i16> = 6..=6;

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
