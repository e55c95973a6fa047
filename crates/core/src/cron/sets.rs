//! From the text of one field to its set.

use crate::cron::fields::{Days, Weekdays, bits};
use crate::cron::part::Part;
use crate::error::Invalid;
use crate::nearest;

/// What a field is called and which values it takes.
pub(super) struct Field {
    /// Its name in errors.
    pub name: &'static str,
    /// The smallest value.
    pub min: u32,
    /// The largest value; day of week also takes 7 for Sunday.
    pub max: u32,
    /// The names of its values, from the smallest on.
    pub names: &'static [&'static str],
}

pub(super) const SECOND: Field = Field { name: "second", min: 0, max: 59, names: &[] };
pub(super) const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
pub(super) const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
pub(super) const DAY: Field = Field { name: "day of month", min: 1, max: 31, names: &[] };
pub(super) const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
pub(super) const WEEKDAY: Field =
    Field { name: "day of week", min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Field {
    /// All its values.
    pub const fn all(&self) -> u64 {
        bits(self.min, self.max)
    }

    const fn size(&self) -> u32 {
        self.max - self.min + 1
    }

    /// Day of week is a ring in which Sunday has two numbers.
    const fn has_two_sundays(&self) -> bool {
        self.max == 6
    }

    /// What it takes, for an error's help.
    fn takes(&self) -> String {
        let names = match self.names {
            [first, .., last] if self.has_two_sundays() => format!(", 7 for Sunday, or {first} to {last}"),
            [first, .., last] => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        format!("use {} to {}{names}", self.min, self.max)
    }

    /// The set of a field that takes only lists, ranges and steps.
    pub fn set(&self, word: Part<'_>) -> Result<u64, Invalid> {
        word.items().into_iter().try_fold(0, |set, item| Ok(set | self.item(item)?))
    }

    /// One item of the list: `*`, `*/n`, `a`, `a/n`, `a-b` or `a-b/n`.
    fn item(&self, item: Part<'_>) -> Result<u64, Invalid> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        let (low, high) = self.range(range, step.is_some())?;
        // Values count on from the last to the first: `fri-mon`, `22-2`. 7 is only ever the end of a range.
        let length = if high >= low { high - low } else { high + self.size() - low };
        let values = (0..=length).step_by(step.unwrap_or(1) as usize);
        Ok(values.fold(0, |set, ahead| set | 1 << ((low + ahead - self.min) % self.size() + self.min)))
    }

    fn range(&self, range: Part<'_>, stepped: bool) -> Result<(u32, u32), Invalid> {
        if range.text == "*" {
            return Ok((self.min, self.max));
        }
        if range.text == "?" {
            let in_day_field = self.name == DAY.name || self.has_two_sundays();
            let refused = || range.invalid(self.name, "has a meaning only in the two day fields", "use `*`");
            return in_day_field.then_some((self.min, self.max)).ok_or_else(refused);
        }
        let sunday_first = |value: u32| if self.has_two_sundays() && value == 7 { 0 } else { value };
        let Some((low, high)) = range.split_once('-') else {
            let low = sunday_first(self.value(range)?);
            return Ok((low, if stepped { self.max } else { low }));
        };
        let (low, high) = (self.value(low)?, self.value(high)?);
        // `7-2` begins with Sunday; `5-7` ends with it.
        Ok(if low == 7 && self.has_two_sundays() { (0, sunday_first(high)) } else { (low, high) })
    }

    /// A number or a name.
    pub fn value(&self, part: Part<'_>) -> Result<u32, Invalid> {
        if part.text.is_empty() {
            return Err(part.missing(self.name, "a value", self.takes()));
        }
        if part.text.chars().all(|c| c.is_ascii_digit()) {
            let most = if self.has_two_sundays() { 7 } else { self.max };
            let value = part.text.parse().ok().filter(|value| (self.min..=most).contains(value));
            return value.ok_or_else(|| part.invalid(self.name, "is out of range", self.takes()));
        }
        if let Some(at) = self.names.iter().position(|name| name.eq_ignore_ascii_case(part.text)) {
            return Ok(self.min + at as u32);
        }
        if self.names.is_empty() || !part.text.chars().all(char::is_alphabetic) {
            return Err(part.invalid(self.name, "is not a value", self.takes()));
        }
        let small = part.text.to_lowercase();
        let whole = self.names.iter().find(|name| small.starts_with(**name)).copied();
        let meant = whole.or_else(|| nearest(&small, self.names.iter().copied()));
        let meant = meant.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
        Err(part.invalid(self.name, "is no name of a value", format!("{meant}{}", self.takes())))
    }

    fn step(&self, part: Part<'_>) -> Result<u32, Invalid> {
        let help = format!("use a step from 1 to {}, as in `*/2`", self.size());
        if part.text.is_empty() {
            return Err(part.missing(self.name, "a step", help));
        }
        if !part.text.chars().all(|c| c.is_ascii_digit()) {
            return Err(part.invalid(self.name, "is not a step", help));
        }
        match part.text.parse() {
            Ok(0) => Err(part.invalid(self.name, "is not a step", help)),
            Ok(step) if step <= self.size() => Ok(step),
            _ => {
                let help = format!("{help}; for longer intervals use `@every`, as in `@every 90m`");
                Err(part.invalid(self.name, "is a step over more than the whole field", help))
            }
        }
    }
}

/// The field day of month.
pub(super) fn days(word: Part<'_>) -> Result<Days, Invalid> {
    let mut days = Days { star: word.text.starts_with(['*', '?']), ..Days::default() };
    for item in word.items() {
        if item.text.eq_ignore_ascii_case("l") {
            days.last = true;
        } else if item.text.eq_ignore_ascii_case("lw") {
            days.last_working = true;
        } else if item.text.starts_with(['l', 'L']) {
            let help = "use `L` for the last day of the month or `LW` for its last day from Monday to Friday";
            return Err(item.invalid(DAY.name, "is not a day", help));
        } else if let Some(day) = item.strip_last('w') {
            days.nearest_working |= 1 << DAY.value(day)?;
        } else {
            days.set |= DAY.item(item)?;
        }
    }
    if days.set == DAY.all() {
        days = Days { star: days.star, set: days.set, ..Days::default() };
    }
    Ok(days)
}

/// The field day of week.
pub(super) fn weekdays(word: Part<'_>) -> Result<Weekdays, Invalid> {
    let mut weekdays = Weekdays { star: word.text.starts_with(['*', '?']), ..Weekdays::default() };
    for item in word.items() {
        if let Some((day, nth)) = item.split_once('#') {
            let day = WEEKDAY.value(day)? % 7;
            let week = match nth.text.as_bytes() {
                [digit @ b'1'..=b'5'] => u32::from(digit - b'1'),
                [] => return Err(nth.missing(WEEKDAY.name, "a number", "use 1 to 5, as in `mon#2`")),
                _ => return Err(nth.invalid(WEEKDAY.name, "is not 1 to 5", "use 1 to 5, as in `mon#2`")),
            };
            weekdays.nth |= 1 << (7 * week + day);
        } else if let Some(day) = item.strip_last('l') {
            if day.text.is_empty() {
                let help = "say which day, as in `friL` for the last Friday of the month";
                return Err(item.invalid(WEEKDAY.name, "is not a day", help));
            }
            weekdays.last |= 1 << (WEEKDAY.value(day)? % 7);
        } else {
            weekdays.set |= WEEKDAY.item(item)?;
        }
    }
    // What every Monday says already, the second and the last one need not say again.
    weekdays.last &= !weekdays.set;
    weekdays.nth &= !(0..5).fold(0, |every, week| every | weekdays.set << (7 * week));
    Ok(weekdays)
}
