//! Which right a refused request wants, as the line that grants it.

use std::borrow::Cow;

use kafka_protocol::error::ResponseError;

/// The `kafka-acls` line that would have let `request` about `subject` pass; none if `error` is of another kind.
pub(super) fn missing(request: &str, subject: &str, error: ResponseError) -> Option<String> {
    use ResponseError as E;
    let (operation, resource) = match error {
        E::TopicAuthorizationFailed => (
            on_topic(request),
            format!("--topic {}", quoted(topic(subject))),
        ),
        E::GroupAuthorizationFailed => (
            on_group(request),
            format!("--group {}", quoted(named(subject, "group "))),
        ),
        E::TransactionalIdAuthorizationFailed => (
            on_transactional_id(request),
            format!(
                "--transactional-id {}",
                quoted(named(subject, "transactional id "))
            ),
        ),
        E::ClusterAuthorizationFailed => (on_cluster(request), "--cluster".to_owned()),
        _ => return None,
    };
    Some(format!(
        "kafka-acls --bootstrap-server HOST:PORT --add --allow-principal User:NAME --operation {operation} {resource}"
    ))
}

fn on_topic(request: &str) -> &'static str {
    match request {
        "Fetch" | "OffsetCommit" | "TxnOffsetCommit" | "DescribeProducers" => "Read",
        "Produce" | "AddPartitionsToTxn" => "Write",
        "CreateTopics" => "Create",
        "DeleteTopics" => "Delete",
        "DescribeConfigs" => "DescribeConfigs",
        _ => "Describe",
    }
}

fn on_group(request: &str) -> &'static str {
    match request {
        "FindCoordinator" | "OffsetFetch" => "Describe",
        _ => "Read",
    }
}

fn on_transactional_id(request: &str) -> &'static str {
    match request {
        "FindCoordinator" => "Describe",
        _ => "Write",
    }
}

fn on_cluster(request: &str) -> &'static str {
    match request {
        "InitProducerId" | "Produce" => "IdempotentWrite",
        "CreateTopics" => "Create",
        "DescribeConfigs" => "DescribeConfigs",
        _ => "Describe",
    }
}

/// The topic in `topic T`, `T/3` or `group G, T/3`.
fn topic(subject: &str) -> &str {
    let last = subject.rsplit(", ").next().unwrap_or(subject);
    of_partition(last).unwrap_or_else(|| named(subject, "topic "))
}

/// The topic of `T/3`.
fn of_partition(part: &str) -> Option<&str> {
    let (topic, partition) = part.rsplit_once('/')?;
    partition.parse::<u32>().is_ok().then_some(topic)
}

/// The name behind `kind`, up to what stands behind it; a subject without any kind is the name itself.
fn named<'a>(subject: &'a str, kind: &str) -> &'a str {
    let behind = || Some(subject.split_once(&format!(", {kind}"))?.1);
    let Some(rest) = subject.strip_prefix(kind).or_else(behind) else {
        return subject;
    };
    let kinds = [", topic ", ", group ", ", transactional id "];
    if let Some(end) = kinds.iter().filter_map(|kind| rest.find(kind)).min() {
        return &rest[..end];
    }
    match rest.rsplit_once(", ") {
        Some((name, part)) if of_partition(part).is_some() => name,
        _ => rest,
    }
}

/// As a shell reads it: groups may be called anything.
fn quoted(name: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_plain) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("'{}'", name.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: ResponseError = ResponseError::TopicAuthorizationFailed;
    const GROUP: ResponseError = ResponseError::GroupAuthorizationFailed;
    const ID: ResponseError = ResponseError::TransactionalIdAuthorizationFailed;

    fn asked_for(request: &str, subject: &str, error: ResponseError) -> String {
        let line = missing(request, subject, error).expect("a want of rights");
        let (command, right) = line.split_once(" --operation ").expect("an operation");
        assert!(command.starts_with("kafka-acls ") && command.ends_with("User:NAME"));
        right.to_owned()
    }

    #[test]
    fn every_request_asks_for_the_one_right_it_lacks() {
        for (request, subject, error, right) in [
            ("Metadata", "topic orders", TOPIC, "Describe --topic orders"),
            ("ListOffsets", "orders/3", TOPIC, "Describe --topic orders"),
            ("Fetch", "orders/0", TOPIC, "Read --topic orders"),
            (
                "DescribeProducers",
                "orders/0",
                TOPIC,
                "Read --topic orders",
            ),
            (
                "Produce",
                "topic orders.v2",
                TOPIC,
                "Write --topic orders.v2",
            ),
            ("OffsetFetch", "group g", GROUP, "Describe --group g"),
            (
                "OffsetFetch",
                "group g, orders/1",
                TOPIC,
                "Describe --topic orders",
            ),
            (
                "AddPartitionsToTxn",
                "topic a, transactional id x",
                TOPIC,
                "Write --topic a",
            ),
            (
                "AddPartitionsToTxn",
                "topic a, transactional id x",
                ID,
                "Write --transactional-id x",
            ),
            (
                "AddOffsetsToTxn",
                "group g, transactional id x",
                GROUP,
                "Read --group g",
            ),
            ("OffsetCommit", "group g, orders/1", GROUP, "Read --group g"),
            (
                "TxnOffsetCommit",
                "group g, orders/1",
                GROUP,
                "Read --group g",
            ),
            (
                "TxnOffsetCommit",
                "group g, orders/1",
                TOPIC,
                "Read --topic orders",
            ),
            ("FindCoordinator", "g", GROUP, "Describe --group g"),
            (
                "FindCoordinator",
                "fanout.g.t.0",
                ID,
                "Describe --transactional-id fanout.g.t.0",
            ),
            (
                "InitProducerId",
                "transactional id x",
                ID,
                "Write --transactional-id x",
            ),
            ("EndTxn", "x", ID, "Write --transactional-id x"),
            ("DeleteTopics", "topic t", TOPIC, "Delete --topic t"),
        ] {
            assert_eq!(
                asked_for(request, subject, error),
                right,
                "{request} {subject}"
            );
        }
        let cluster = ResponseError::ClusterAuthorizationFailed;
        assert_eq!(
            asked_for("InitProducerId", "transactional id x", cluster),
            "IdempotentWrite --cluster"
        );
    }

    #[test]
    fn a_name_that_a_shell_would_read_otherwise_is_quoted() {
        assert_eq!(
            asked_for("OffsetFetch", "group a b, c", GROUP),
            "Describe --group 'a b, c'"
        );
        assert_eq!(
            asked_for("FindCoordinator", "it's", GROUP),
            r"Describe --group 'it'\''s'"
        );
    }

    #[test]
    fn other_errors_want_no_right() {
        assert_eq!(
            missing("Fetch", "t/0", ResponseError::NotLeaderOrFollower),
            None
        );
    }
}
