//! Host and port of a broker.

use std::fmt;
use std::str::FromStr;

/// Where a broker listens. IPv6 hosts are kept without brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The port of an address that names none, as in librdkafka.
const DEFAULT_PORT: u16 = 9092;

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A listener name may stand in front: `PLAINTEXT://host:port`.
        let text = text.rsplit("://").next().unwrap_or(text).trim();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let number = port
                    .parse()
                    .map_err(|_| format!("`{text}`: `{port}` is not a port number"))?;
                (host, number)
            }
            _ => (text, DEFAULT_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(format!("`{text}` is not HOST:PORT"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_users_write_them() {
        let read = |text: &str| text.parse::<Address>().map(|a| a.to_string());
        assert_eq!(read("b1:9093").as_deref(), Ok("b1:9093"));
        assert_eq!(read(" b1 ").as_deref(), Ok("b1:9092"));
        assert_eq!(read("PLAINTEXT://b1:1").as_deref(), Ok("b1:1"));
        assert_eq!(read("[::1]:9092").as_deref(), Ok("[::1]:9092"));
        assert_eq!(read("::1").as_deref(), Ok("[::1]:9092"));
        assert!(read("b1:port").is_err());
        assert!(read("").is_err());
        assert!(read(":9092").is_err());
    }
}
