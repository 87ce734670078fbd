//! Pure. What the settings say about encryption and login, in the terms of our own wire client.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use crate::kafka::config::Properties;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SecurityError {
    #[error("`security.protocol` is plaintext, ssl, sasl_plaintext or sasl_ssl, not `{0}`")]
    Protocol(String),
    #[error("`{key}` is set, but `security.protocol={protocol}` has no use for it")]
    Useless { key: String, protocol: &'static str },
    #[error("`security.protocol={protocol}` needs `{key}`")]
    Missing { key: &'static str, protocol: &'static str },
    #[error("`{key}` needs `{other}`")]
    Alone { key: &'static str, other: &'static str },
    #[error("`sasl.mechanism` is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, `{0}` is not supported")]
    Mechanism(String),
    #[error("`{0}` is not supported: certificates and keys are PEM files, keys are not encrypted")]
    Unsupported(String),
    #[error("`{0}` would switch off the check of the broker's certificate, which is not supported")]
    Unchecked(&'static str),
}

/// A secret that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How connections are encrypted: with whose trust, and with which certificate of our own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The authorities that are trusted; without, those of the system.
    pub ca_location: Option<PathBuf>,
    /// Certificate chain and key that show who we are.
    pub identity: Option<TlsIdentity>,
}

/// PEM files; both may be the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    pub certificate_location: PathBuf,
    pub key_location: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// The name that the protocol knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl FromStr for SaslMechanism {
    type Err = SecurityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| SecurityError::Mechanism(text.into()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslSettings {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: Secret,
}

/// Encryption and login, each with its settings where there is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    pub tls: Option<TlsSettings>,
    pub sasl: Option<SaslSettings>,
}

/// Settings of TLS that the wire client follows; of any other one it could not promise to.
const TLS_KEYS: [&str; 4] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.endpoint.identification.algorithm",
];
const SASL_KEYS: [&str; 4] =
    ["sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"];

impl Security {
    /// # Errors
    /// If settings contradict each other, or ask for what the wire client cannot do: a setting is
    /// never passed over, as it may be the one that somebody's safety rests on.
    pub fn from_properties(properties: &Properties) -> Result<Self, SecurityError> {
        let (protocol, has_tls, has_sasl) = protocol(properties)?;
        check_keys(properties, protocol, "ssl.", has_tls, &TLS_KEYS)?;
        check_keys(properties, protocol, "sasl.", has_sasl, &SASL_KEYS)?;
        if properties.get("enable.ssl.certificate.verification").is_some_and(|v| v != "true") {
            return Err(SecurityError::Unchecked("enable.ssl.certificate.verification"));
        }
        let tls = has_tls.then(|| tls(properties)).transpose()?;
        let sasl = has_sasl.then(|| sasl(properties, protocol)).transpose()?;
        Ok(Self { tls, sasl })
    }
}

fn protocol(properties: &Properties) -> Result<(&'static str, bool, bool), SecurityError> {
    let text = properties.get("security.protocol").map_or("plaintext", String::as_str);
    match text.to_ascii_lowercase().as_str() {
        "plaintext" => Ok(("plaintext", false, false)),
        "ssl" => Ok(("ssl", true, false)),
        "sasl_plaintext" => Ok(("sasl_plaintext", false, true)),
        "sasl_ssl" => Ok(("sasl_ssl", true, true)),
        _ => Err(SecurityError::Protocol(text.into())),
    }
}

fn check_keys(
    properties: &Properties,
    protocol: &'static str,
    prefix: &str,
    is_used: bool,
    known: &[&str],
) -> Result<(), SecurityError> {
    for key in properties.keys().filter(|key| key.starts_with(prefix)) {
        if !is_used {
            return Err(SecurityError::Useless { key: key.clone(), protocol });
        }
        if !known.contains(&key.as_str()) {
            return Err(SecurityError::Unsupported(key.clone()));
        }
    }
    Ok(())
}

fn tls(properties: &Properties) -> Result<TlsSettings, SecurityError> {
    let path = |key| properties.get(key).map(PathBuf::from);
    let (certificate, key) = ("ssl.certificate.location", "ssl.key.location");
    let identity = match (path(certificate), path(key)) {
        (Some(certificate_location), Some(key_location)) => {
            Some(TlsIdentity { certificate_location, key_location })
        }
        (None, None) => None,
        (Some(_), None) => return Err(SecurityError::Alone { key: certificate, other: key }),
        (None, Some(_)) => return Err(SecurityError::Alone { key, other: certificate }),
    };
    let algorithm = properties.get("ssl.endpoint.identification.algorithm").map(String::as_str);
    if algorithm == Some("none") {
        return Err(SecurityError::Unchecked("ssl.endpoint.identification.algorithm=none"));
    }
    Ok(TlsSettings { ca_location: path("ssl.ca.location"), identity })
}

fn sasl(properties: &Properties, protocol: &'static str) -> Result<SaslSettings, SecurityError> {
    let need = |key| properties.get(key).ok_or(SecurityError::Missing { key, protocol });
    let mechanism = match properties.get("sasl.mechanisms") {
        Some(mechanism) => mechanism,
        None => need("sasl.mechanism")?,
    };
    Ok(SaslSettings {
        mechanism: mechanism.parse()?,
        username: need("sasl.username")?.clone(),
        password: Secret::new(need("sasl.password")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parse_settings;

    fn security(text: &str) -> Result<Security, String> {
        let properties = parse_settings(text, |_| None).unwrap();
        Security::from_properties(&properties).map_err(|error| error.to_string())
    }

    #[test]
    fn an_open_cluster_needs_nothing() {
        assert_eq!(security("").unwrap(), Security::default());
    }

    #[test]
    fn a_secured_cluster_is_understood() {
        let text = "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=me\n\
                    sasl.password=hunter2\nssl.ca.location=/ca.pem\n";
        let security = security(text).unwrap();
        assert_eq!(security.tls.unwrap().ca_location.unwrap(), PathBuf::from("/ca.pem"));
        let sasl = security.sasl.unwrap();
        assert_eq!(sasl.mechanism, SaslMechanism::ScramSha512);
        assert_eq!(sasl.password.reveal(), "hunter2");
        assert!(!format!("{sasl:?}").contains("hunter2"), "{sasl:?}");
    }

    #[test]
    fn no_setting_is_passed_over() {
        let error = |text| security(text).unwrap_err();
        assert_eq!(
            error("sasl.username=me"),
            "`sasl.username` is set, but `security.protocol=plaintext` has no use for it"
        );
        assert!(error("security.protocol=ssl\nssl.crl.location=/x").contains("ssl.crl.location"));
        assert!(
            error("security.protocol=ssl\nenable.ssl.certificate.verification=false")
                .contains("switch off")
        );
        assert!(
            error("security.protocol=ssl\nssl.endpoint.identification.algorithm=none")
                .contains("switch off")
        );
        assert_eq!(
            error("security.protocol=sasl_ssl\nsasl.mechanism=PLAIN\nsasl.username=me"),
            "`security.protocol=sasl_ssl` needs `sasl.password`"
        );
        assert!(
            error("security.protocol=sasl_ssl\nsasl.mechanism=GSSAPI\nsasl.username=me")
                .contains("`GSSAPI` is not supported")
        );
        assert_eq!(
            error("security.protocol=ssl\nssl.key.location=/k"),
            "`ssl.key.location` needs `ssl.certificate.location`"
        );
        assert!(error("security.protocol=tls").contains("not `tls`"));
    }
}
