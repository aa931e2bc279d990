//! Quiet hours: `22:00-06:00`, in minutes of the day; over midnight where they begin after they end.

/// Minutes of a day.
const DAY: u32 = 1_440;

/// Hours of a day in which something does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    from: u32,
    until: u32,
}

impl Quiet {
    /// Reads `22:00-06:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let number = |text: &str, below: u32| {
                let is_number = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
                text.parse::<u32>().ok().filter(|number| is_number && *number < below)
            };
            Some(number(hour, 24)?.saturating_mul(60).saturating_add(number(minute, 60)?))
        };
        let (from, until) = text.trim().split_once('-')?;
        let (from, until) = (minute(from.trim())?, minute(until.trim())?);
        (from != until).then_some(Self { from, until })
    }

    /// Whether it is quiet in that minute of the day. An hour that a change of the clock skips is not there; one that comes twice counts
    /// twice.
    pub const fn holds(self, minute: u32) -> bool {
        if self.from < self.until {
            self.from <= minute && minute < self.until
        } else {
            self.from <= minute || minute < self.until
        }
    }

    /// How many minutes after that one they end.
    pub const fn ends_in(self, minute: u32) -> u32 {
        self.until.saturating_add(DAY).saturating_sub(minute) % DAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_go_over_midnight_where_they_begin_after_they_end() {
        let quiet = |text: &str| Quiet::parse(text).unwrap();
        let at = |text: &str, times: [u32; 4]| times.map(|minute| quiet(text).holds(minute));
        assert_eq!(at("22:00-06:00", [1_319, 1_320, 359, 360]), [false, true, true, false]);
        assert_eq!(at("00:30-01:00", [29, 30, 59, 60]), [false, true, true, false]);
        assert_eq!(at("23:59-00:00", [1_438, 1_439, 0, 1]), [false, true, false, false]);
        assert_eq!([1_320, 0, 359].map(|minute| quiet("22:00-06:00").ends_in(minute)), [480, 360, 1]);
    }
}
