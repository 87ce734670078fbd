//! IO. The token that all calls go with: asked for once for all that wait, and anew when it is refused.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gcp_bigquery_client::auth::Authenticator;
use gcp_bigquery_client::error::BQError;

/// Gives tokens, and keeps one for as long as it is good.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// `is_forced` asks for one that was not given before.
    async fn token(&self, is_forced: bool) -> Result<String, BQError>;
}

#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    source: Option<Box<dyn TokenSource>>,
    given: Mutex<Given>,
    /// Who holds it asks the source; the others wait and find what was answered.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Given {
    last: Option<String>,
    is_refused: bool,
}

impl Tokens {
    /// Without a source there are none.
    pub fn new(source: Option<Box<dyn TokenSource>>) -> Self {
        let (given, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inner { source, given, turn }))
    }

    /// # Errors
    /// If none can be had.
    pub async fn token(&self) -> Result<Option<String>, BQError> {
        let Some(source) = &self.0.source else { return Ok(None) };
        let _turn = self.0.turn.lock().await;
        let mut token = source.token(false).await?;
        let is_refused = {
            let given = self.given();
            given.is_refused && given.last.as_ref() == Some(&token)
        };
        if is_refused {
            token = source.token(true).await?;
        }
        *self.given() = Given { last: Some(token.clone()), is_refused: false };
        Ok(Some(token))
    }

    /// The token that was given last was not accepted.
    pub fn refuse_last(&self) {
        self.given().is_refused = true;
    }

    fn given(&self) -> std::sync::MutexGuard<'_, Given> {
        self.0.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn access_token(&self) -> Result<String, BQError> {
        Ok(self.token().await?.unwrap_or_else(|| "none".into()))
    }
}

/// Without any token.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Gives the same token until another is forced.
    #[derive(Clone, Default)]
    struct Counting(Arc<(AtomicUsize, AtomicUsize)>);

    #[async_trait]
    impl TokenSource for Counting {
        async fn token(&self, is_forced: bool) -> Result<String, BQError> {
            let (asked, forced) = &*self.0;
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let number = forced.fetch_add(usize::from(is_forced), Ordering::Relaxed);
            Ok(format!("secret-{}", number + usize::from(is_forced)))
        }
    }

    /// However many calls are refused with a token, another one is asked for once.
    #[tokio::test]
    async fn a_refused_token_is_replaced_once() {
        let source = Counting::default();
        let tokens = Tokens::new(Some(Box::new(source.clone())));
        assert_eq!(tokens.token().await.unwrap().as_deref(), Some("secret-0"));
        for _ in 0..20 {
            tokens.refuse_last();
        }
        let all = futures::future::join_all((0..20).map(|_| tokens.token())).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().as_deref() == Some("secret-1")));
        assert_eq!(source.0.1.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn nothing_secret_is_shown() {
        let tokens = Tokens::new(Some(Box::new(Counting::default())));
        tokens.token().await.unwrap();
        assert!(!format!("{tokens:?}").contains("secret"));
        assert_eq!(Tokens::new(None).token().await.unwrap(), None);
    }
}
