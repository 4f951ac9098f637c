//! OAUTHBEARER tokens: asked for when one is needed, used until most of their life is over.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::Secret;

/// A token and how long it is good for.
#[derive(Debug, Clone)]
pub struct Token {
    /// What is sent, as the identity provider gave it.
    pub text: Secret,
    /// When it ends.
    pub expires: SystemTime,
    /// SASL extensions sent beside it (KIP-342).
    pub extensions: Vec<(String, String)>,
}

/// Why there is no token.
#[derive(Debug, Clone)]
pub enum NoToken {
    /// The identity provider did not answer: it may later.
    Later(String),
    /// What came is no token.
    Malformed(String),
}

/// Where tokens come from.
pub trait TokenSource: Send + Sync {
    /// A token that is good now. May block.
    ///
    /// # Errors
    ///
    /// [`NoToken`], in one clause.
    fn token(&self) -> Result<Token, NoToken>;
}

/// A source whose tokens all connections of a client share.
#[derive(Clone)]
pub struct Tokens {
    source: Arc<dyn TokenSource>,
    held: Arc<Mutex<Option<(Token, SystemTime)>>>,
}

impl Tokens {
    /// Nothing is asked for before the first connection.
    #[must_use]
    pub fn new(source: Arc<dyn TokenSource>) -> Self {
        Self {
            source,
            held: Arc::default(),
        }
    }

    /// The token held, or a new one where four fifths of its life are over.
    ///
    /// Brokers end a session with its token: at a session's renewal an old token would buy only the rest of its time.
    pub(super) fn get(&self) -> Result<Token, NoToken> {
        // Whoever panicked while asking left the old token, which is as good as it was.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        if let Some((token, until)) = &*held {
            if now < *until {
                return Ok(token.clone());
            }
        }
        let token = self.source.token()?;
        check(&token)?;
        let now = SystemTime::now();
        let life = token.expires.duration_since(now).map_err(|_| {
            NoToken::Malformed(
                "the token has expired already: is this machine's clock right?".to_owned(),
            )
        })?;
        *held = Some((token.clone(), now + fresh_for(life)));
        Ok(token)
    }
}

/// How long something that lives for `life` is used before it is renewed.
pub(super) fn fresh_for(life: Duration) -> Duration {
    life / 5 * 4
}

/// A separator inside would end the token early and begin something else.
fn check(token: &Token) -> Result<(), NoToken> {
    let is_clean = |text: &str| !text.chars().any(char::is_control);
    if token.text.expose().is_empty() || !is_clean(token.text.expose()) {
        return Err(NoToken::Malformed(
            "the token is empty, or holds control characters".to_owned(),
        ));
    }
    for (name, value) in &token.extensions {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_name || name == "auth" || !is_clean(value) {
            return Err(NoToken::Malformed(format!(
                "`{name}` cannot be a SASL extension"
            )));
        }
    }
    Ok(())
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Gives tokens that live for so many milliseconds, and counts them.
    struct Counting(u64, AtomicU64);

    impl TokenSource for Counting {
        fn token(&self) -> Result<Token, NoToken> {
            let number = self.1.fetch_add(1, Ordering::Relaxed);
            Ok(token(&format!("token {number}"), self.0))
        }
    }

    fn token(text: &str, life_ms: u64) -> Token {
        Token {
            text: Secret::new(text.to_owned()),
            expires: SystemTime::now() + Duration::from_millis(life_ms),
            extensions: Vec::new(),
        }
    }

    fn drawn(life_ms: u64) -> Tokens {
        Tokens::new(Arc::new(Counting(life_ms, AtomicU64::new(0))))
    }

    #[test]
    fn a_token_serves_every_connection_until_most_of_its_life_is_over() {
        let tokens = drawn(60_000);
        let other = tokens.clone();
        for tokens in [&tokens, &other, &tokens] {
            assert_eq!(tokens.get().expect("a token").text.expose(), "token 0");
        }
    }

    #[test]
    fn a_token_that_has_lived_four_fifths_of_its_life_is_replaced() {
        let life = Duration::from_secs(600);
        let tokens = drawn(600_000);
        tokens.get().expect("a token");
        let until = |tokens: &Tokens| {
            tokens
                .held
                .lock()
                .expect("unlocked")
                .as_ref()
                .map(|held| held.1)
        };
        let fresh = until(&tokens).expect("held");
        let left = fresh.duration_since(SystemTime::now()).expect("fresh");
        assert!(left <= life / 5 * 4 && left > life / 5 * 3, "{left:?}");
        // Not by sleeping: a life that is short enough for that is over before a busy machine has looked at it.
        if let Some(held) = tokens.held.lock().expect("unlocked").as_mut() {
            held.1 = SystemTime::now();
        }
        assert_eq!(tokens.get().expect("a token").text.expose(), "token 1");
    }

    #[test]
    fn what_could_pass_for_something_else_on_the_wire_is_no_token() {
        for text in ["", "a\u{1}auth=Bearer b", "a\n"] {
            assert!(check(&token(text, 1)).is_err(), "{text:?}");
        }
        for name in ["", "auth", "a=b", "über"] {
            let extensions = vec![(name.to_owned(), "x".to_owned())];
            let extended = Token {
                extensions,
                ..token("t", 1)
            };
            assert!(check(&extended).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_token_that_has_expired_already_is_none() {
        struct Late;
        impl TokenSource for Late {
            fn token(&self) -> Result<Token, NoToken> {
                let expires = SystemTime::now() - Duration::from_secs(1);
                Ok(Token {
                    expires,
                    ..token("t", 0)
                })
            }
        }
        let refused = Tokens::new(Arc::new(Late)).get();
        assert!(matches!(refused, Err(NoToken::Malformed(problem)) if problem.contains("clock")));
    }
}
