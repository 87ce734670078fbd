//! Pure. The exchange of a login by SASL, step by step: what to answer to each challenge.

use std::sync::Arc;

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::prelude::{
    Mechname, MessageSent, Registry, SASLClient, SASLConfig, SASLError, Session, SessionError,
    State,
};
use rsasl::property::{AuthId, Password};
use thiserror::Error;

use crate::kafka::security::{SaslMechanism, SaslSettings, Secret};

#[derive(Debug, Error)]
pub enum LoginError {
    #[error("the login by {mechanism} cannot be begun")]
    Begin {
        mechanism: &'static str,
        #[source]
        source: SASLError,
    },
    #[error("the broker's part in the login by {mechanism} is wrong")]
    Step {
        mechanism: &'static str,
        #[source]
        source: SessionError,
    },
    #[error(
        "the broker asks for {found} rounds of hashing, expected between {} and {}",
        ROUNDS_MIN,
        ROUNDS_MAX
    )]
    Rounds { found: String },
    #[error("the broker ended the login by {mechanism} before it had proved itself")]
    Unfinished { mechanism: &'static str },
}

/// One login. Where the mechanism has the broker prove that it knows the password too (SCRAM), a
/// login that the broker calls done is done only if it has.
pub(crate) struct Login {
    session: Session,
    mechanism: SaslMechanism,
    is_finished: bool,
}

impl Login {
    pub(crate) fn begin(settings: &SaslSettings) -> Result<Self, LoginError> {
        let mechanism = settings.mechanism;
        let begun = begin_session(settings)
            .map_err(|source| LoginError::Begin { mechanism: mechanism.name(), source })?;
        Ok(Self { session: begun, mechanism, is_finished: false })
    }

    /// The first message to the broker.
    pub(crate) fn first(&mut self) -> Result<Vec<u8>, LoginError> {
        self.step(None).map(Option::unwrap_or_default)
    }

    /// What to answer to the broker, nothing if the login is done.
    pub(crate) fn answer(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>, LoginError> {
        if self.is_finished {
            return Ok(None);
        }
        self.check_rounds(challenge)?;
        let answer = self.step(Some(challenge))?;
        if answer.is_none() && !self.is_finished {
            return Err(LoginError::Unfinished { mechanism: self.mechanism.name() });
        }
        Ok(answer)
    }

    fn step(&mut self, input: Option<&[u8]>) -> Result<Option<Vec<u8>>, LoginError> {
        let mut output = Vec::new();
        let state = self
            .session
            .step(input, &mut output)
            .map_err(|source| LoginError::Step { mechanism: self.mechanism.name(), source })?;
        Ok(match state {
            State::Running => Some(output),
            State::Finished(sent) => {
                self.is_finished = true;
                matches!(sent, MessageSent::Yes).then_some(output)
            }
        })
    }

    /// SCRAM lets the broker choose how long a client computes: too few rounds would make guessing
    /// the password easy for whoever listens, too many would keep us busy for ever.
    fn check_rounds(&self, challenge: &[u8]) -> Result<(), LoginError> {
        if self.mechanism == SaslMechanism::Plain {
            return Ok(());
        }
        let text = String::from_utf8_lossy(challenge);
        let Some(found) = text.split(',').find_map(|part| part.strip_prefix("i=")) else {
            return Ok(());
        };
        let is_sane = found.parse().is_ok_and(|rounds| (ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds));
        if is_sane { Ok(()) } else { Err(LoginError::Rounds { found: found.into() }) }
    }
}

/// The fewest that Kafka itself accepts for a password, and far more than anybody uses.
const ROUNDS_MIN: u32 = 4096;
const ROUNDS_MAX: u32 = 1_000_000;

fn begin_session(settings: &SaslSettings) -> Result<Session, SASLError> {
    let credentials =
        Credentials { username: settings.username.clone(), password: settings.password.clone() };
    let config: Arc<SASLConfig> =
        SASLConfig::builder().with_registry(Registry::default()).with_callback(credentials)?;
    let name = Mechname::parse(settings.mechanism.name().as_bytes())
        .expect("the names of our mechanisms are valid");
    SASLClient::new(config).start_suggested(&[name])
}

struct Credentials {
    username: String,
    password: Secret,
}

impl SessionCallback for Credentials {
    fn callback(
        &self,
        _session: &SessionData,
        _context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        request
            .satisfy::<AuthId>(self.username.as_str())?
            .satisfy::<Password>(self.password.reveal().as_bytes())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(mechanism: SaslMechanism) -> Login {
        Login::begin(&SaslSettings {
            mechanism,
            username: "me".into(),
            password: Secret::new("pencil"),
        })
        .unwrap()
    }

    #[test]
    fn a_plain_login_is_one_message() {
        let mut login = login(SaslMechanism::Plain);
        assert_eq!(login.first().unwrap(), b"\0me\0pencil");
        assert_eq!(login.answer(b"").unwrap(), None);
    }

    #[test]
    fn a_broker_that_does_not_prove_itself_is_refused() {
        for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
            let mut login = login(mechanism);
            let first = String::from_utf8(login.first().unwrap()).unwrap();
            let nonce = first.rsplit_once("r=").unwrap().1;
            let challenge = format!("r={nonce}more,s=c2FsdA==,i=4096");
            let proof = login.answer(challenge.as_bytes()).unwrap().unwrap();
            assert!(String::from_utf8(proof).unwrap().contains(",p="));
            assert!(login.answer(b"v=d3Jvbmc=").is_err());
        }
    }

    #[test]
    fn a_broker_may_not_weaken_the_hash_nor_keep_us_busy() {
        for (rounds, is_sane) in
            [("1", false), ("4095", false), ("4096", true), ("2000000000", false)]
        {
            let mut login = login(SaslMechanism::ScramSha512);
            let first = String::from_utf8(login.first().unwrap()).unwrap();
            let nonce = first.rsplit_once("r=").unwrap().1;
            let challenge = format!("r={nonce}more,s=c2FsdA==,i={rounds}");
            assert_eq!(login.answer(challenge.as_bytes()).is_ok(), is_sane, "{rounds}");
        }
    }
}
