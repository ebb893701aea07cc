//! Moments as people write them: `2h`, `tue 22:00`, `2026-01-02`, RFC 3339. Pure: now and
//! the reader's time zone are arguments.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::{Span, Timestamp, ToSpan, ZonedDateTime as Zoned};

/// What is understood, for people.
pub const FORMS: &str = "2h, 90m, 'tue 22:00', '22:00', yesterday, 2026-01-02, '2026-01-02 15:04' or 2026-01-02T15:04:05Z";

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// The moment that a text means: always in the past where it leaves a choice. Without a
/// time of day a day means its beginning.
pub fn parse(text: &str, now: &Zoned) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    if let Some(span) = span(text) {
        return now.timestamp().checked_sub(span).ok();
    }
    let local = |at: DateTime| Some(at.to_zoned_datetime(now.time_zone().clone()).ok()?.timestamp());
    // jiff would read the date of a longer text and leave its time out.
    if !text.contains([' ', 'T', 't'])
        && let Ok(date) = text.parse::<Date>()
    {
        return local(date.to_datetime(Time::midnight()));
    }
    if text.starts_with(|char: char| char.is_ascii_digit())
        && text.contains('-')
        && let Ok(at) = text.parse::<DateTime>()
    {
        return local(at);
    }
    let (day, time) = match text.split_once(' ') {
        Some((day, time)) => (Some(day), Some(time.trim())),
        None if text.contains(':') => (None, Some(text)),
        None => (Some(text), None),
    };
    let time = match time {
        Some(time) => self::time(time)?,
        None => Time::midnight(),
    };
    let today = now.date();
    let Some(day) = day else { return last(today, time, 1, now) };
    match day.to_ascii_lowercase().as_str() {
        "today" => local(today.to_datetime(time)),
        "yesterday" => local(today.checked_sub(1.day()).ok()?.to_datetime(time)),
        name => {
            let weekday = weekday(name)?;
            let back = today.weekday().since(weekday);
            last(today.checked_sub(i32::from(back).days()).ok()?, time, 7, now)
        }
    }
}

/// That time on that day, or some days earlier if it has not come yet.
fn last(day: Date, time: Time, days_between: i32, now: &Zoned) -> Option<Timestamp> {
    let at = |day: Date| Some(day.to_datetime(time).to_zoned_datetime(now.time_zone().clone()).ok()?.timestamp());
    let moment = at(day)?;
    if moment <= now.timestamp() { Some(moment) } else { at(day.checked_sub(days_between.days()).ok()?) }
}

/// At least three letters of a day's name.
fn weekday(name: &str) -> Option<Weekday> {
    let is_meant = |full: &str| name.len() >= 3 && full.starts_with(name);
    DAYS.iter().find(|(full, _)| is_meant(full)).map(|(_, day)| *day)
}

/// `22:00`, `22:00:30`.
fn time(text: &str) -> Option<Time> {
    let parts: Vec<i8> =
        text.split(':').map(|part| part.parse().ok().filter(|_| part.len() == 2 || part.len() == 1)).collect::<Option<_>>()?;
    match parts[..] {
        [hour, minute] => Time::new(hour, minute, 0, 0).ok(),
        [hour, minute, second] => Time::new(hour, minute, second, 0).ok(),
        _ => None,
    }
}

/// `2h`, `1h30m`, `90s`, `3d`, `1w`: always whole hours of 60 minutes, days of 24 hours.
fn span(text: &str) -> Option<Span> {
    let mut seconds: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].find(|char: char| char.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let unit = match rest[digits..letters].trim() {
            "s" | "sec" | "seconds" => 1,
            "m" | "min" | "minutes" => 60,
            "h" | "hours" => 3_600,
            "d" | "days" => 86_400,
            "w" | "weeks" => 604_800,
            _ => return None,
        };
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then(|| Span::new().try_seconds(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thursday evening in Berlin, where it is an hour later than in UTC.
    fn now() -> Zoned {
        "2026-01-08T20:30:00+01:00[Europe/Berlin]".parse().expect("time")
    }

    fn parsed(text: &str) -> Option<String> {
        parse(text, &now()).map(|moment| moment.to_string())
    }

    #[test]
    fn moments_are_read_as_people_mean_them() {
        for (text, moment) in [
            ("2h", "2026-01-08T17:30:00Z"),
            ("1h30m", "2026-01-08T18:00:00Z"),
            ("90s", "2026-01-08T19:28:30Z"),
            ("3d", "2026-01-05T19:30:00Z"),
            ("22:00", "2026-01-07T21:00:00Z"),
            ("20:00", "2026-01-08T19:00:00Z"),
            ("tue 22:00", "2026-01-06T21:00:00Z"),
            ("Tuesday 22:00:30", "2026-01-06T21:00:30Z"),
            ("thu 20:00", "2026-01-08T19:00:00Z"),
            ("thu 22:00", "2026-01-01T21:00:00Z"),
            ("fri", "2026-01-01T23:00:00Z"),
            ("yesterday", "2026-01-06T23:00:00Z"),
            ("yesterday 8:15", "2026-01-07T07:15:00Z"),
            ("today", "2026-01-07T23:00:00Z"),
            ("2026-01-02", "2026-01-01T23:00:00Z"),
            ("2026-01-02 15:04", "2026-01-02T14:04:00Z"),
            ("2026-01-02T15:04:05", "2026-01-02T14:04:05Z"),
            ("2026-01-02T15:04:05Z", "2026-01-02T15:04:05Z"),
            ("2026-01-02T15:04:05.5+02:00", "2026-01-02T13:04:05.5Z"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in ["", "2", "h", "2 fortnights", "tu 22:00", "tue 25:00", "2026-13-01", "22:00:00:00", "99999999999999999999h", "-2h"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn an_hour_that_summer_time_skips_or_repeats_is_some_moment() {
        let now: Zoned = "2026-03-29T12:00:00+02:00[Europe/Berlin]".parse().expect("time");
        assert_eq!(parse("2:30", &now).expect("moment").to_string(), "2026-03-29T01:30:00Z");
    }

    proptest::proptest! {
        #[test]
        fn no_text_upsets_it(text in "[0-9a-z:T +-]{0,24}|.{0,16}") {
            let _ = parse(&text, &now());
        }
    }
}
