//! What is accepted, what is refused, and under which name.

use std::collections::BTreeMap;

use crate::cluster::ClientSettings;
use crate::error::Result;
use crate::wire::Login;

const SASL: [(&str, &str); 4] = [
    ("security.protocol", "SASL_PLAINTEXT"),
    ("sasl.mechanism", "SCRAM-SHA-512"),
    ("sasl.username", "me"),
    ("sasl.password", "open sesame"),
];

fn read(pairs: &[(&str, &str)]) -> Result<ClientSettings> {
    let mut properties: BTreeMap<String, String> = pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    properties.insert("bootstrap.servers".to_owned(), "a:1".to_owned());
    ClientSettings::from_properties(&properties)
}

fn problem(pairs: &[(&str, &str)]) -> String {
    read(pairs)
        .err()
        .map_or_else(|| "accepted".to_owned(), |error| error.to_string())
}

#[test]
fn every_protocol_is_read_in_either_case() {
    for protocol in ["plaintext", "PLAINTEXT"] {
        assert!(read(&[("security.protocol", protocol)]).is_ok());
    }
    let settings = read(&SASL).expect("all that a login needs");
    let login = settings.connection.login.expect("a login");
    assert_eq!(login.mechanism(), "SCRAM-SHA-512");
    assert!(
        problem(&[("security.protocol", "tls")]).starts_with("security.protocol: `tls` is none of")
    );
}

#[test]
fn a_login_that_lacks_something_names_it() {
    for (left_out, name) in [
        (1, "sasl.mechanisms"),
        (2, "sasl.username"),
        (3, "sasl.password"),
    ] {
        let mut pairs = SASL.to_vec();
        pairs.remove(left_out);
        assert!(
            problem(&pairs).starts_with(&format!("{name}: is missing")),
            "{}",
            problem(&pairs)
        );
    }
    let bearer = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanisms", "OAUTHBEARER"),
    ];
    assert!(problem(&bearer).starts_with("oauth_cb: is missing"));
}

#[test]
fn what_would_not_count_is_refused_under_its_own_name() {
    let without_tls = [("ssl.ca.location", "/nowhere")];
    assert!(problem(&without_tls)
        .starts_with("ssl.ca.location: counts only with security.protocol = ssl"));
    let without_sasl = [("sasl.password", "x"), ("security.protocol", "plaintext")];
    assert!(problem(&without_sasl).starts_with("sasl.password: counts only with"));
}

#[test]
fn what_only_openssl_or_kerberos_could_do_is_refused_with_what_to_use_instead() {
    for (name, instead) in [
        ("sasl.kerberos.keytab", "SCRAM"),
        ("sasl.oauthbearer.method", "oauth_cb"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "oauth_cb"),
        ("https.ca.location", "oauth_cb"),
        ("ssl.keystore.location", "ssl.certificate.location"),
        ("ssl.providers", "remove it"),
        ("ssl.engine.location", "ssl.key.location"),
        ("ssl.crl.location", "live short"),
        ("ssl.cipher.suites", "remove it"),
    ] {
        let said = problem(&[(name, "x"), ("security.protocol", "sasl_ssl")]);
        assert!(
            said.starts_with(&format!("{name}: ")) && said.contains(instead),
            "{said}"
        );
    }
    let kerberos = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanisms", "GSSAPI"),
    ];
    assert!(problem(&kerberos).contains("Kerberos is not spoken"));
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_path() {
    let ssl = ("security.protocol", "ssl");
    let missing = problem(&[ssl, ("ssl.ca.location", "/no/such/file")]);
    assert!(
        missing.starts_with("ssl.ca.location: cannot read /no/such/file: "),
        "{missing}"
    );
    let empty = problem(&[ssl, ("ssl.ca.location", "/dev/null")]);
    assert!(
        empty.starts_with("ssl.ca.location: /dev/null holds no certificate"),
        "{empty}"
    );
    let half = problem(&[ssl, ("ssl.certificate.pem", "x")]);
    assert!(half.starts_with("ssl.key.location: is missing"), "{half}");
}

#[test]
fn no_picture_of_the_settings_shows_a_secret() {
    let settings = read(&SASL).expect("all that a login needs");
    let shown = format!("{:?}", settings.connection);
    assert!(
        shown.contains("me") && shown.contains("[hidden]"),
        "{shown}"
    );
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(matches!(
        settings.connection.login,
        Some(Login::Scram { .. })
    ));
}
