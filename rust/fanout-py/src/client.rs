//! Client properties from Python, and the function that gives tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fanout_core::cluster::ClientSettings;
use fanout_core::wire::{NoToken, Secret, Token, TokenSource};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::raise;

/// The one property that is not text for the core: where a function of the user's is found.
const TOKEN_FUNCTION: &str = "oauth_cb";

/// Reads the properties; `oauth_cb` is imported here, once, and called whenever a token is needed.
pub(crate) fn client_settings(
    py: Python<'_>,
    mut properties: BTreeMap<String, String>,
) -> PyResult<ClientSettings> {
    let tokens = match properties.remove(TOKEN_FUNCTION) {
        None => None,
        Some(path) => Some(Arc::new(Callback::find(py, &path)?) as Arc<dyn TokenSource>),
    };
    ClientSettings::with_tokens(&properties, tokens).map_err(raise)
}

/// A function that returns `(token, expiry[, principal[, extensions]])`, as confluent-kafka's `oauth_cb` does.
struct Callback(Py<PyAny>);

impl Callback {
    fn find(py: Python<'_>, path: &str) -> PyResult<Self> {
        let loader = py.import("fanout.config.tokens")?;
        Ok(Self(
            loader.call_method1("token_function", (path,))?.unbind(),
        ))
    }
}

impl TokenSource for Callback {
    /// Called on the thread of a lane, which waits for the GIL and then for the identity provider.
    fn token(&self) -> Result<Token, NoToken> {
        Python::attach(|py| {
            // librdkafka hands the text of `sasl.oauthbearer.config` in; here there is none.
            let answer = self.0.bind(py).call1(("",));
            let answer =
                answer.map_err(|error| NoToken::Later(format!("oauth_cb raised {error}")))?;
            read(&answer).map_err(|error| NoToken::Malformed(error.to_string()))
        })
    }
}

fn read(answer: &Bound<'_, PyAny>) -> PyResult<Token> {
    let answer = answer.cast::<PyTuple>()?;
    let expiry_s: f64 = answer.get_item(1)?.extract()?;
    let since_1970 = Duration::try_from_secs_f64(expiry_s)
        .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
    let extensions = match answer.get_item(3) {
        Ok(extensions) => extensions.extract::<BTreeMap<String, String>>()?,
        Err(_) => BTreeMap::new(),
    };
    Ok(Token {
        text: Secret::new(answer.get_item(0)?.extract()?),
        expires: UNIX_EPOCH + since_1970,
        extensions: extensions.into_iter().collect(),
    })
}
