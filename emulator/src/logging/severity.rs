//! How grave an entry is, and the words that programs have for it.

use serde_json::Value;

use crate::api::wire::wire_enum;

wire_enum! {
    /// `google.logging.type.LogSeverity`, the least grave first.
    ///
    /// Source: <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity>.
    Severity {
        Default = 0 "DEFAULT",
        Debug = 100 "DEBUG",
        Info = 200 "INFO",
        Notice = 300 "NOTICE",
        Warning = 400 "WARNING",
        Error = 500 "ERROR",
        Critical = 600 "CRITICAL",
        Alert = 700 "ALERT",
        Emergency = 800 "EMERGENCY",
    }
}

impl Severity {
    /// By the API's own words, in any case, or their numbers.
    pub(super) fn named(word: &str) -> Option<Severity> {
        let given = word.parse::<i64>().map_or_else(|_| word.to_uppercase().into(), Value::from);
        serde_json::from_value(given).ok()
    }

    /// By the words of other logging libraries too, as the logging agent reads them; what is none of them says nothing
    /// of severity.
    ///
    /// Source: `SEVERITY_TRANSLATIONS` of <https://github.com/GoogleCloudPlatform/fluent-plugin-google-cloud>.
    pub(super) fn of_program(word: &str) -> Severity {
        let word = word.trim().to_uppercase();
        match word.as_str() {
            "D" | "TRACE" | "TRACE_INT" | "FINE" | "FINER" | "FINEST" | "CONFIG" => Severity::Debug,
            "I" | "INFORMATION" => Severity::Info,
            "N" => Severity::Notice,
            "W" | "WARN" => Severity::Warning,
            "E" | "ERR" | "SEVERE" => Severity::Error,
            "C" | "F" | "CRIT" | "FATAL" => Severity::Critical,
            "A" => Severity::Alert,
            "EMERG" => Severity::Emergency,
            _ => Severity::named(&word).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_other_libraries_are_known() {
        for (word, severity) in [
            ("ERROR", Severity::Error),
            ("error", Severity::Error),
            ("warn", Severity::Warning),
            ("Fatal", Severity::Critical),
            ("300", Severity::Notice),
            ("loud", Severity::Default),
        ] {
            assert_eq!(Severity::of_program(word), severity, "{word}");
        }
        assert_eq!(Severity::named("warn"), None, "a filter takes the API's own words only");
    }

    #[test]
    fn each_is_graver_than_the_one_before() {
        assert!(Severity::Default < Severity::Debug && Severity::Error < Severity::Critical);
    }
}
