//! Pure. Where the schema registry is and how to log in, in the words of Confluent's clients.

use std::path::PathBuf;

use common::settings::Settings;
use url::Url;

/// How to reach the registry.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    pub url: Url,
    pub login: Login,
    /// Certificates of authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The client's own certificate and key, in one file or two.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone)]
pub enum Login {
    Nobody,
    Basic { user: String, password: String },
    Bearer(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// Why settings do not say how to reach a registry. Secrets are never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrySettingsError {
    #[error("the schema registry's URL begins with http:// or https://, not with {0}:")]
    Scheme(String),
    #[error("the schema registry has no setting `{0}`; known are {known}", known = KEYS.join(", "))]
    Unknown(String),
    #[error("`basic.auth.user.info` is `user:password`")]
    UserInfo,
    #[error("`basic.auth.user.info` and `bearer.auth.token` are both set: choose one")]
    TwoLogins,
    #[error("`ssl.key.location` and `ssl.certificate.location` belong together")]
    Half,
}

const USER_INFO: &str = "basic.auth.user.info";
const TOKEN: &str = "bearer.auth.token";
const CA: &str = "ssl.ca.location";
const CERTIFICATE: &str = "ssl.certificate.location";
const KEY: &str = "ssl.key.location";
const KEYS: [&str; 5] = [USER_INFO, TOKEN, CA, CERTIFICATE, KEY];

impl RegistrySettings {
    /// # Errors
    /// Naming the first setting that is unknown or contradicts another.
    pub fn new(url: Url, settings: &Settings) -> Result<Self, RegistrySettingsError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RegistrySettingsError::Scheme(url.scheme().into()));
        }
        if let Some(key) = settings.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(RegistrySettingsError::Unknown(key.clone()));
        }
        let path = |key: &str| settings.get(key).map(PathBuf::from);
        let certificate = match (path(CERTIFICATE), path(KEY)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err(RegistrySettingsError::Half),
        };
        Ok(Self { url, login: login(settings)?, ca: path(CA), certificate })
    }
}

fn login(settings: &Settings) -> Result<Login, RegistrySettingsError> {
    match (settings.get(USER_INFO), settings.get(TOKEN)) {
        (None, None) => Ok(Login::Nobody),
        (Some(_), Some(_)) => Err(RegistrySettingsError::TwoLogins),
        (None, Some(token)) => Ok(Login::Bearer(token.clone())),
        (Some(info), None) => {
            let (user, password) = info.split_once(':').ok_or(RegistrySettingsError::UserInfo)?;
            Ok(Login::Basic { user: user.into(), password: password.into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, settings: &[(&str, &str)]) -> Result<RegistrySettings, String> {
        let settings =
            settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        RegistrySettings::new(url.parse().unwrap(), &settings).map_err(|error| error.to_string())
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let url = "https://registry:8081/apis";
        assert!(matches!(read(url, &[]).unwrap().login, Login::Nobody));
        let basic = read(url, &[(USER_INFO, "me:se:cret")]).unwrap();
        assert!(matches!(&basic.login, Login::Basic { password, .. } if password == "se:cret"));
        assert!(!format!("{basic:?}").contains("cret"), "secrets are not shown");
        for (url, settings, expected) in [
            ("file:///x", &[][..], "begins with http://"),
            (url, &[("user", "me")], "no setting `user`"),
            (url, &[(USER_INFO, "me")], "user:password"),
            (url, &[(USER_INFO, "a:b"), (TOKEN, "t")], "both set"),
            (url, &[(KEY, "key.pem")], "belong together"),
        ] {
            let error = read(url, settings).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
