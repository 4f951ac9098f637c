//! Which version of each request a broker speaks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};

/// What one broker announced in its `ApiVersions` answer.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    offered: BTreeMap<i16, (i16, i16)>,
    features: BTreeMap<String, i16>,
}

impl Versions {
    /// Keeps what the answer says.
    #[must_use]
    pub fn from_response(response: &ApiVersionsResponse) -> Self {
        let offered = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        let features = response
            .finalized_features
            .iter()
            .map(|feature| (feature.name.to_string(), feature.max_version_level))
            .collect();
        Self { offered, features }
    }

    /// The highest version both sides speak.
    ///
    /// # Errors
    ///
    /// What the broker offers instead, in words.
    pub fn pick(&self, key: i16, ours: &RangeInclusive<i16>) -> Result<i16, String> {
        let Some(&(least, most)) = self.offered.get(&key) else {
            return Err("not at all".to_owned());
        };
        let version = most.min(*ours.end());
        if version < least || version < *ours.start() {
            return Err(format!("in versions {least} to {most}"));
        }
        Ok(version)
    }

    /// The finalized level of a cluster feature; 0 where it is not finalized.
    #[must_use]
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Every request the broker offers, by Kafka's name, with its least and greatest version.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, (i16, i16)> {
        self.offered
            .iter()
            .map(|(&key, &range)| (name(key), range))
            .collect()
    }
}

/// Kafka's name of an API key; its number where this build does not know it.
#[must_use]
pub(crate) fn name(key: i16) -> String {
    ApiKey::try_from(key).map_or_else(|()| format!("api {key}"), |known| format!("{known:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(key: i16, least: i16, most: i16) -> Versions {
        Versions {
            offered: BTreeMap::from([(key, (least, most))]),
            features: BTreeMap::new(),
        }
    }

    #[test]
    fn the_highest_common_version_is_picked() {
        assert_eq!(offering(1, 4, 18).pick(1, &(13..=16)), Ok(16));
        assert_eq!(offering(1, 4, 14).pick(1, &(13..=16)), Ok(14));
    }

    #[test]
    fn a_broker_too_old_or_too_new_is_named_with_what_it_offers() {
        assert_eq!(
            offering(1, 4, 11).pick(1, &(13..=16)),
            Err("in versions 4 to 11".to_owned())
        );
        assert_eq!(
            offering(1, 20, 30).pick(1, &(13..=16)),
            Err("in versions 20 to 30".to_owned())
        );
        assert_eq!(
            offering(1, 4, 11).pick(2, &(0..=1)),
            Err("not at all".to_owned())
        );
    }
}
