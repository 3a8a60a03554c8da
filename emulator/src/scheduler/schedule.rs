//! When a job is due: unix-cron on the wall clock of a time zone.
//!
//! Source: <https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules>. A schedule has five fields of
//! numbers, lists, ranges and steps, with English names for months and weekdays; `L` is not among them. Days of the
//! month and of the week are alternatives unless one of them is `*`.

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use jiff::{
    SignedDuration, Timestamp,
    tz::{Offset, TimeZone, TimeZoneDatabase},
};

use crate::api::error::ApiError;

/// A schedule in its zone.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    cron: Crontab,
    zone: TimeZone,
}

impl Schedule {
    /// Reads `schedule` and `timeZone` of a job.
    ///
    /// # Errors
    /// 400 as Google answers, with what is wrong; also for a schedule in App Engine's English, which Google would take.
    pub(super) fn parse(schedule: &str, time_zone: &str) -> Result<Schedule, ApiError> {
        Ok(Schedule { cron: cron(schedule)?, zone: zone(time_zone)? })
    }

    /// The first time after `time` at which the zone's wall clock shows what the schedule asks for; `None` if it does
    /// not in four years.
    ///
    /// As Google says that it "runs on wall clock time", a time that the clock skips in spring does not fire that day,
    /// and one that it shows twice in autumn fires twice.
    pub(super) fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let (mut start, mut offset) = (time, self.zone.to_offset(time));
        for change in self.zone.following(time) {
            let due = self.next_with(offset, start)?;
            if due < change.timestamp() {
                return Some(due);
            }
            // The moment of the change is one that the new offset may name.
            start = change.timestamp().checked_sub(SignedDuration::from_nanos(1)).ok()?;
            offset = change.offset();
        }
        self.next_with(offset, start)
    }

    /// The same where the clocks never change.
    ///
    /// The crate is not asked in the zone itself: where clocks go back by half an hour (`Australia/Lord_Howe`) its
    /// search goes round for ever.
    fn next_with(&self, offset: Offset, after: Timestamp) -> Option<Timestamp> {
        let ahead = SignedDuration::from_secs(i64::from(offset.seconds()));
        let wall_clock = after.checked_add(ahead).ok()?;
        let shown = self.cron.find_next(wall_clock).ok()?;
        shown.timestamp().checked_sub(ahead).ok()
    }

    /// `time` as `X-CloudScheduler-ScheduleTime` has it: RFC 3339 with the offset of the job's zone, as in recordings
    /// and as `target.proto` says ("as an offset of UTC"); `Z` where that is none.
    pub(super) fn written(&self, time: Timestamp) -> String {
        match self.zone.to_offset(time) {
            Offset::UTC => time.to_string(),
            offset => time.display_with_offset(offset).to_string(),
        }
    }
}

fn cron(schedule: &str) -> Result<Crontab, ApiError> {
    let fields: Vec<&str> = schedule.split_ascii_whitespace().collect();
    if fields.iter().any(|field| ["every", "of"].contains(field)) {
        // As all that is not built: gcloud tries again for half a minute where it is told 501.
        return Err(ApiError::invalid(format!(
            "This emulator does not read App Engine's schedules, such as {schedule:?}; use unix-cron, such as \"*/5 * * * *\"."
        )));
    }
    let refused = |why: &str| {
        invalid(&format!(
            "The schedule {schedule:?}: {why}; expected the five fields of unix-cron, such as \"*/5 * * * *\"."
        ))
    };
    if fields.len() != 5 {
        return Err(refused(&format!("{} fields", fields.len())));
    }
    // The crate also reads `L`, `W` and `#`, which Google does not.
    let is_plain = |(at, field): (usize, &&str)| {
        field.split([',', '-', '/']).all(|part| {
            let number = part.bytes().all(|byte| byte.is_ascii_digit());
            let name =
                at >= 3 && part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
            part == "*" || number || name
        })
    };
    if !fields.iter().enumerate().all(is_plain) {
        return Err(refused("only *, numbers, and names of months and weekdays are known"));
    }
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    cronexpr::parse_crontab_with(&fields.join(" "), options).map_err(|fault| {
        // Without the drawing that points to the place.
        refused(fault.to_string().rsplit("^ ").next().unwrap_or_default())
    })
}

fn zone(name: &str) -> Result<TimeZone, ApiError> {
    // Those that came along, for the same answer on every machine.
    let found = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| {
        invalid(&format!(
            "The time zone {name:?} is not in the tz database; expected a name such as \"Europe/Berlin\"."
        ))
    })
}

/// Google's own words, and then what is wrong.
fn invalid(why: &str) -> ApiError {
    ApiError::invalid(format!("Schedule or time zone is invalid. {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The next times after `after`, as they stand in the header.
    fn next<const N: usize>(schedule: &str, zone: &str, after: &str) -> [String; N] {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        let mut last = time(after);
        std::array::from_fn(|_| {
            last = schedule.next_after(last).unwrap();
            schedule.written(last)
        })
    }

    #[test]
    fn every_minute_is_the_next_whole_minute() {
        assert_eq!(
            next("* * * * *", "Etc/UTC", "2026-03-01T11:59:00.5Z"),
            ["2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z"]
        );
    }

    #[test]
    fn fields_are_read_as_unix_cron_has_them() {
        for (schedule, first) in [
            ("*/15 9-17 * * MON-FRI", "2026-03-02T09:00:00Z"),
            ("0 0 1 JAN *", "2027-01-01T00:00:00Z"),
            ("0 0 * * 7", "2026-03-08T00:00:00Z"),
            ("0 0 * * sun", "2026-03-08T00:00:00Z"),
            ("0 0 10,20 * *", "2026-03-10T00:00:00Z"),
            // Either day will do.
            ("0 0 10 * SAT", "2026-03-07T00:00:00Z"),
            ("0  0 29 2 *", "2028-02-29T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, "utc", "2026-03-01T12:00:00Z"), [first], "{schedule}");
        }
    }

    #[test]
    fn a_schedule_that_names_no_day_is_never_due() {
        let schedule = Schedule::parse("0 0 30 2 *", "Europe/Berlin").unwrap();
        assert_eq!(schedule.next_after(time("2026-03-01T12:00:00Z")), None);
    }

    #[test]
    fn what_the_clock_skips_in_spring_does_not_fire_that_day() {
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z"),
            ["2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"]
        );
        // The day begins at one.
        assert_eq!(
            next("0 0 * * *", "Africa/Cairo", "2026-04-22T23:00:00Z"),
            ["2026-04-25T00:00:00+03:00"]
        );
    }

    #[test]
    fn what_the_clock_shows_twice_in_autumn_fires_twice() {
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"),
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"]
        );
    }

    #[test]
    fn every_hour_stays_every_hour_through_both_changes() {
        assert_eq!(
            next("0 * * * *", "America/New_York", "2026-03-08T05:30:00Z"),
            ["2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"]
        );
        assert_eq!(
            next("0 * * * *", "America/New_York", "2026-11-01T04:30:00Z"),
            ["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"]
        );
    }

    #[test]
    fn a_change_of_half_an_hour_is_passed() {
        assert_eq!(
            next("0 5 * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z"),
            ["2026-04-05T05:00:00+10:30", "2026-04-06T05:00:00+10:30"]
        );
        assert_eq!(
            next("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z"),
            ["2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30"]
        );
    }

    #[test]
    fn what_google_would_not_take_is_refused_with_the_reason() {
        for (schedule, zone, said) in [
            ("", "utc", "0 fields"),
            ("* * * *", "utc", "4 fields"),
            ("* * * * * *", "utc", "6 fields"),
            ("60 * * * *", "utc", "must be in range 0..=59; found 60"),
            ("* 5-4 * * *", "utc", "ascending"),
            ("*/0 * * * *", "utc", "greater than 0"),
            ("* * * FOO *", "utc", "malformed"),
            ("* * L * *", "utc", "only *"),
            ("* * 15W * *", "utc", "only *"),
            ("* * * * 5L", "utc", "only *"),
            ("* * * * 5#3", "utc", "only *"),
            ("@daily", "utc", "1 fields"),
            ("* * * * *", "Europe/Bielefeld", "\"Europe/Bielefeld\" is not in the tz database"),
            ("* * * * *", "+02:00", "not in the tz database"),
            ("* * * * *", "Etc/Unknown", "not in the tz database"),
        ] {
            let fault = Schedule::parse(schedule, zone).unwrap_err();
            assert_eq!(fault.http_status(), 400);
            assert!(fault.message.starts_with("Schedule or time zone is invalid. "));
            assert!(fault.message.contains(said), "{schedule}: {}", fault.message);
            assert!(!fault.message.contains('\n'), "{}", fault.message);
        }
        for schedule in ["every 5 minutes", "1st monday of month 09:00"] {
            let fault = Schedule::parse(schedule, "utc").unwrap_err();
            assert!(fault.message.starts_with("This emulator does not"), "{}", fault.message);
        }
    }
}
