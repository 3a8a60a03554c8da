//! The demonstration as people see it: one line per delivery, and what was wrong at the end.

use std::io::{self, Write};

use serde_json::Value;

use super::{Answered, Step, child::Ending};
use crate::error::Error;

/// Counts deliveries and records and keeps what was not as expected.
#[derive(Debug)]
pub(super) struct Report {
    in_colour: bool,
    deliveries: usize,
    records: usize,
    faults: Vec<String>,
}

/// ANSI colours by what they mean here.
#[derive(Clone, Copy)]
enum Paint {
    Good = 32,
    Bad = 31,
    Held = 33,
    Quiet = 2,
}

impl Report {
    pub(super) fn new(in_colour: bool) -> Report {
        Report { in_colour, deliveries: 0, records: 0, faults: Vec::new() }
    }

    pub(super) fn heading(&self, out: &mut impl Write, text: &str) -> io::Result<()> {
        writeln!(out, "\n{}", self.paint(Paint::Quiet, text))
    }

    /// Counts a delivery with its record and writes its line.
    pub(super) fn delivered(
        &mut self,
        out: &mut impl Write,
        step: &Step,
        answer: Answered,
        record: Option<&Value>,
    ) -> io::Result<()> {
        self.deliveries += 1;
        self.records += usize::from(record.is_some());
        let faults = step.faults(answer, record);
        let text = |pointer: &str| {
            let value = record.and_then(|record| record.pointer(pointer));
            value.and_then(Value::as_str).unwrap_or("–")
        };
        let (outcome, reason) = (text("/outcome"), text("/reason"));
        let outcome_and_reason = match outcome {
            "refused" => format!("{outcome}: {reason}"),
            _ => outcome.to_owned(),
        };
        let paint = match outcome {
            _ if !faults.is_empty() => Paint::Bad,
            "done" | "duplicate" => Paint::Good,
            _ => Paint::Held,
        };
        let (caller, _) = text("/caller/email").split_once('@').unwrap_or(("–", ""));
        writeln!(
            out,
            "{} {:<9} {:<12} {:<28} {:<16} {} {} {:>7.1} ms",
            if faults.is_empty() { "✓" } else { "✗" },
            step.sender(),
            step.job,
            step.about,
            caller,
            self.paint(paint, &format!("{outcome_and_reason:<31}")),
            answer.status,
            answer.took.as_secs_f64() * 1000.0,
        )?;
        let fault = |fault| format!("{} ({}): {fault}", step.path(), step.about);
        self.faults.extend(faults.into_iter().map(fault));
        Ok(())
    }

    /// Counts a delivery that nobody answered and writes its line.
    pub(super) fn undelivered(
        &mut self,
        out: &mut impl Write,
        step: &Step,
        fault: &Error,
    ) -> io::Result<()> {
        self.deliveries += 1;
        self.faults.push(format!("{} ({}): {fault}", step.path(), step.about));
        let text = self.paint(Paint::Bad, "no answer");
        writeln!(out, "✗ {:<9} {:<12} {:<28} {text}", step.sender(), step.job, step.about)
    }

    /// Writes a line of what was found beside the deliveries.
    pub(super) fn found(
        &mut self,
        out: &mut impl Write,
        about: &str,
        is_there: bool,
    ) -> io::Result<()> {
        if !is_there {
            self.faults.push(format!("missing: {about}"));
        }
        writeln!(out, "{} {about}", if is_there { "✓" } else { "✗" })
    }

    /// Counts records that no delivery accounts for.
    pub(super) fn unexpected(&mut self, records: Vec<Value>) {
        self.records += records.len();
        let fault = |record| format!("a record too many: {record}");
        self.faults.extend(records.into_iter().map(fault));
    }

    /// Takes note of how the receiver ended.
    pub(super) fn stopped(&mut self, end: Result<Ending, Error>) {
        match end {
            Ok(ending) => {
                self.unexpected(ending.records);
                let fault = |line| format!("a line of standard output that is no JSON: {line}");
                self.faults.extend(ending.strays.into_iter().map(fault));
            }
            Err(fault) => self.faults.push(fault.to_string()),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Writes the sum, or everything that is missing or wrong.
    pub(super) fn verdict(&self, out: &mut impl Write) -> io::Result<()> {
        let counts = format!("{} deliveries, {} records", self.deliveries, self.records);
        if self.is_clean() {
            let verdict = format!("{counts}, all as expected");
            return writeln!(out, "\n{}", self.paint(Paint::Good, &verdict));
        }
        let verdict = format!("{counts}, {} not as expected:", self.faults.len());
        writeln!(out, "\n{}", self.paint(Paint::Bad, &verdict))?;
        for fault in &self.faults {
            writeln!(out, "- {fault}")?;
        }
        Ok(())
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.in_colour { format!("\x1b[{}m{text}\x1b[0m", paint as u8) } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        demo::{Act, Expected},
        senders::Sender,
    };

    fn verdict(report: &Report) -> String {
        let mut out = Vec::new();
        report.verdict(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_clean_end_is_one_line() {
        let mut report = Report::new(false);
        report.stopped(Ok(Ending { records: Vec::new(), strays: Vec::new() }));
        assert_eq!(verdict(&report), "\n0 deliveries, 0 records, all as expected\n");
    }

    /// The line of a delivery that was refused for `reason`.
    fn line(reason: &'static str) -> String {
        let expected =
            Expected { outcome: "refused", status: 401, reason: Some(reason), caller: None };
        let (sender, act) = (Sender::Tasks, Act::Await);
        let step = Step { about: "a forgery", job: "send-receipt", sender, act, expected };
        let answer = Answered { status: 401, took: Duration::ZERO };
        let record = json!({
            "sender": "tasks",
            "job": "send-receipt",
            "outcome": "refused",
            "reason": reason,
            "status": 401,
        });
        let mut out = Vec::new();
        Report::new(false).delivered(&mut out, &step, answer, Some(&record)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_longest_reason_fits_its_column() {
        let (short, long) = (line("missing"), line("unsupported_algorithm"));
        assert!(long.contains("refused: unsupported_algorithm "), "{long}");
        assert_eq!(short.find(" 401 "), long.find(" 401 "));
        assert!(long.ends_with(" ms\n"));
    }

    #[test]
    fn what_is_left_over_is_a_fault_each() {
        let mut report = Report::new(false);
        report.unexpected(vec![json!({"sender": "tasks"})]);
        report.stopped(Ok(Ending { records: Vec::new(), strays: vec!["hello".to_owned()] }));
        assert!(!report.is_clean());
        assert_eq!(
            verdict(&report),
            "\n0 deliveries, 1 records, 2 not as expected:\n\
             - a record too many: {\"sender\":\"tasks\"}\n\
             - a line of standard output that is no JSON: hello\n"
        );
    }
}
