//! Tokens as they may be shown: enough to tell what they are, and no more.

/// The start of a JWT, which all of Google's share: none of it is secret.
const JWT_START: &str = "eyJ";

/// The start of an OAuth access token.
const ACCESS_TOKEN_START: &str = "ya29.";

/// How many characters of a JWT are shown.
const SHOWN_CHARS: usize = 10;

/// A token's kind and no more: `eyJhbGciOi…` or `ya29.…`.
pub(crate) fn token(token: &str) -> String {
    let shown = if token.starts_with(JWT_START) {
        token.get(..SHOWN_CHARS).unwrap_or_default()
    } else if token.starts_with(ACCESS_TOKEN_START) {
        ACCESS_TOKEN_START
    } else {
        ""
    };
    format!("{shown}…")
}

/// A header's value; of one that proves who calls, the scheme and the token's kind.
pub(super) fn header(name: &str, value: &str) -> String {
    if !name.to_ascii_lowercase().contains("authorization") {
        return value.to_owned();
    }
    match value.split_once(' ') {
        Some((scheme, credentials)) => format!("{scheme} {}", token(credentials)),
        None => token(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_token_its_kind_is_shown_alone() {
        for (name, value, shown) in [
            ("Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln", "Bearer eyJhbGciOi…"),
            ("x-serverless-authorization", "bearer ya29.secret", "bearer ya29.…"),
            ("Proxy-Authorization", "Basic dXNlcjpwYXNz", "Basic …"),
            ("authorization", "secret", "…"),
            ("Authorization", "Bearer eyJ", "Bearer …"),
            ("Content-Type", "text/plain", "text/plain"),
        ] {
            assert_eq!(header(name, value), shown);
        }
    }
}
