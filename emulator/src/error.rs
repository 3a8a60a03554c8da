//! What can go wrong on Google's side, each with what to do about it.

/// Why the emulator could not do what it was asked.
///
/// A receiver that refuses a delivery is not an error here: that is an [`Answer`](crate::fire::Answer).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The crypto library refused; it names no cause.
    #[error("the crypto library could not {0}; try again, and check the machine's random source")]
    Crypto(&'static str),
    /// An X.509 certificate over a signing key could not be built.
    #[error("no certificate could be made for the signing key: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A header, a claim set or an answer is not JSON of the shape that was expected.
    #[error("{what} is not the JSON that was expected: {source}")]
    Json {
        /// What was read or written.
        what: &'static str,
        /// Where it broke.
        source: serde_json::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// `host:port` as asked for.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread of the emulator ended before it could answer.
    #[error("the thread that {0} ended early; run again, and report it if it stays")]
    Thread(&'static str),
    /// A delivery has a header that HTTP cannot carry.
    #[error(
        "header {name:?} cannot be sent: names are tokens, values have no line breaks or control characters"
    )]
    Header {
        /// The header's name; its value may be a token and is left out.
        name: String,
    },
    /// A method, mode or other word from a closed list was not recognised.
    #[error("{given:?} is not {expected}")]
    Word {
        /// What was given.
        given: String,
        /// The list.
        expected: &'static str,
    },
    /// The client could not be built.
    #[error("the HTTP client could not be built: {0}")]
    Client(reqwest::Error),
    /// Nobody answered.
    #[error("no answer from {url}: {reason}; is it running, and is the URL right?")]
    NoAnswer {
        /// Where the request went.
        url: String,
        /// The chain of causes in one line.
        reason: String,
        /// Whether time ran out, rather than that the connection failed.
        timed_out: bool,
    },
    /// No emulator is there.
    #[error(
        "no emulator answers at {url}: {reason}; start one with `emulator serve`, or name another with --emulator-url"
    )]
    NoEmulator {
        /// Its base URL.
        url: String,
        /// The last cause.
        reason: String,
    },
    /// A running emulator answered something else than it documents.
    #[error(
        "{url} answered {status} where 200 was expected{}; is it an emulator of this version?",
        after_colon(.body)
    )]
    Refused {
        /// Where the request went.
        url: String,
        /// The status it answered.
        status: u16,
        /// The start of what it said; may be empty.
        body: String,
    },
    /// An emulator refused what it was asked, and says why and what to do.
    #[error("the emulator refuses: {0}")]
    Declined(String),
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Where it is.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The receiver could not be started or did not get ready.
    #[error("the receiver {0}")]
    Service(String),
    /// The system refused what a program needs to run.
    #[error("cannot {what}: {source}; check the limits on open files and processes")]
    System {
        /// What was refused.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The emulator's own output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// The whole chain of a client's error in one line: reqwest's own text stops at "error sending request".
    pub(crate) fn no_answer(url: &str, error: &reqwest::Error) -> Error {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            reason = format!("{reason}: {inner}");
            cause = inner.source();
        }
        Error::NoAnswer { url: url.to_owned(), reason, timed_out: error.is_timeout() }
    }

    /// Without the chain: reqwest's own text would name the URL again.
    pub(crate) fn no_emulator(url: &str, error: &reqwest::Error) -> Error {
        let mut last: &dyn std::error::Error = error;
        while let Some(inner) = last.source() {
            last = inner;
        }
        Error::NoEmulator { url: url.to_owned(), reason: last.to_string() }
    }
}

/// `: TEXT`, or nothing of nothing.
fn after_colon(text: &str) -> String {
    match text.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_leaves_no_gap() {
        let refused = |body: &str| {
            let body = body.to_owned();
            Error::Refused { url: "http://a".to_owned(), status: 404, body }.to_string()
        };
        assert_eq!(
            refused(""),
            "http://a answered 404 where 200 was expected; is it an emulator of this version?"
        );
        assert!(refused("gone\n").contains("expected: gone; is it"));
    }
}
