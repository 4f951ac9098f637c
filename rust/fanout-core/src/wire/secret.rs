//! Text that is used and never shown.

use std::fmt;

use zeroize::Zeroizing;

/// A password, a token or a private key's text. Printing it hides it; its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that sends it or decrypts with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_its_own_picture() {
        let secret = Secret::new("open sesame".to_owned());
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "[hidden] Some(\n    [hidden],\n)"
        );
        assert_eq!(secret.expose(), "open sesame");
    }
}
