//! Calendar functions, in UTC on the proleptic Gregorian calendar.

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CivilDate {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
}

const SECONDS_PER_DAY: i64 = 86_400;

/// Days from 0000-03-01 to 1970-01-01; years are counted from March so that leap days come last.
const DAYS_TO_EPOCH: i64 = 719_468;
const DAYS_PER_ERA: i64 = 146_097;

impl CivilDate {
    /// The date `days` after 1970-01-01.
    pub(crate) fn from_unix_days(days: i64) -> Self {
        let shifted = days.saturating_add(DAYS_TO_EPOCH);
        let era = shifted.div_euclid(DAYS_PER_ERA);
        let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }

    fn is_leap_year(self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(self) -> i64 {
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(self.is_leap_year()),
            _ => 31,
        }
    }

    fn day_of_year(self) -> i64 {
        const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let before = BEFORE_MONTH[(self.month - 1) as usize];
        before + self.day + i64::from(self.month > 2 && self.is_leap_year())
    }
}

/// Which part of a time a calendar function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatePart {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

impl DatePart {
    /// The part of the time `unix_s` seconds after the epoch, fractions cut off.
    pub(crate) fn of_unix_seconds(self, unix_s: f64) -> f64 {
        let (days, of_day_s) = days_and_seconds(unix_s);
        let date = CivilDate::from_unix_days(days);
        let part = match self {
            Self::Minute => of_day_s / 60 % 60,
            Self::Hour => of_day_s / 3_600,
            // 1970-01-01 was a Thursday; Sunday is 0.
            Self::DayOfWeek => (days + 4).rem_euclid(7),
            Self::DayOfMonth => date.day,
            Self::DayOfYear => date.day_of_year(),
            Self::DaysInMonth => date.days_in_month(),
            Self::Month => date.month,
            Self::Year => date.year,
        };
        part as f64
    }
}

/// Seconds after the epoch where Go's calendar begins; it counts from there without a sign, so that
/// times before it lie in the far future.
const GO_CALENDAR_BEGINS_S: i64 = -9_223_372_028_715_321_600;

/// Whole days since the epoch and the seconds within the day. What is no 64-bit integer, NaN
/// included, counts as the smallest one, as Go converts it on amd64.
fn days_and_seconds(unix_s: f64) -> (i64, i64) {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    let fits = (-TWO_TO_63..TWO_TO_63).contains(&unix_s);
    let seconds = if fits { unix_s as i64 } else { i64::MIN };
    if seconds >= GO_CALENDAR_BEGINS_S {
        return (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    }
    let wrapped = i128::from(seconds) + (1 << 64);
    let per_day = i128::from(SECONDS_PER_DAY);
    let whole = |v: i128| i64::try_from(v).expect("2^64 seconds are fewer than 2^63 days");
    (whole(wrapped / per_day), whole(wrapped % per_day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_times() {
        use DatePart::*;
        for (part, unix_s, expected) in [
            (Year, 0.0, 1970.0),
            (DayOfWeek, 0.0, 4.0),
            (Year, -1.0, 1969.0),
            (Hour, -1.0, 23.0),
            (DayOfYear, 1_704_067_199.0, 365.0),
            (DayOfYear, 1_735_689_599.0, 366.0),
            (DaysInMonth, 1_456_790_399.0, 29.0),
            (Month, 1_456_790_400.0, 3.0),
            (DayOfMonth, 1_230_767_999.0, 31.0),
            (Minute, 1_435_677_720.9, 22.0),
            (DayOfMonth, 951_782_400.0, 29.0),
            // Compared with Prometheus itself.
            (Year, f64::INFINITY, 292_277_026_596.0),
            (Month, f64::NEG_INFINITY, 12.0),
            (DayOfMonth, f64::NAN, 4.0),
            (DayOfYear, f64::INFINITY, 339.0),
            (Hour, f64::INFINITY, 15.0),
            (Minute, f64::INFINITY, 30.0),
        ] {
            assert_eq!(part.of_unix_seconds(unix_s), expected, "{part:?} of {unix_s}");
        }
    }
}
