//! Queues as they are shown.

use std::time::Duration;

use lovage_core::{Counts, QueueName, QueueView, State, Subject, Timestamp};
use serde::Serialize;

use super::flow::{FlowLine, PauseLine, Remark, Urgency};
use super::page::Page;
use super::table::Table;
use lovage_core::duration;

/// Characters of a line that fits most terminals.
const LINE: usize = 100;
/// What the remarks of a queue have at least, however long its name is.
const REMARKS: usize = 32;

/// A queue for programs and people.
#[derive(Debug, Serialize)]
pub struct QueueLine {
    name: QueueName,
    counts: Counts,
    oldest_available_ms: Option<u64>,
    paused: Option<PauseLine>,
    flow: Vec<FlowLine>,
}

impl From<QueueView> for QueueLine {
    fn from(view: QueueView) -> Self {
        let own = view.flow.iter().find(|flow| flow.subject == Subject::Queue);
        let paused = view.paused.or_else(|| own.and_then(|flow| flow.paused.clone()));
        Self {
            name: view.name,
            counts: view.counts,
            oldest_available_ms: view.oldest_available_ms,
            paused: paused.map(PauseLine::from),
            flow: view.flow.into_iter().map(FlowLine::from).collect(),
        }
    }
}

impl QueueLine {
    /// The table of `lovage queue list`, to be read at a glance. What has ended well is left to `lovage queue stats`.
    pub fn table(lines: &[Self], now: Timestamp) -> Table {
        let head = ["queue", "available", "sched", "running", "retry", "discard", "oldest", "held by"];
        let mut table = Table::new(&head, "No queues yet: a queue appears with its first job.");
        for line in lines {
            let counts = &line.counts;
            let numbers = [counts.available, counts.scheduled, counts.running, counts.retryable, counts.discarded];
            let mut row = vec![line.name.to_string()];
            row.extend(numbers.map(|number| number.to_string()));
            row.push(line.oldest().unwrap_or_else(|| "-".to_owned()));
            table.row(row);
        }
        let room = LINE.saturating_sub(table.width(head.len() - 1)).max(REMARKS);
        table.last_cells(lines.iter().map(|line| line.held(room, now)));
        table
    }

    /// The page of `lovage queue stats`.
    pub fn page(&self, now: Timestamp) -> String {
        let mut page = Page::default();
        page.row("queue", &self.name);
        page.option("paused", self.pause(now));
        for state in State::ALL {
            page.row(state.name(), &self.counts.of(state));
        }
        page.option("oldest", self.oldest());
        if self.flow.is_empty() {
            return page.text();
        }
        format!("{}\n\n{}", page.text(), FlowLine::table(&self.flow, now).render().trim_end())
    }

    fn oldest(&self) -> Option<String> {
        self.oldest_available_ms.map(|ms| duration::human(Duration::from_millis(ms)))
    }

    fn pause(&self, now: Timestamp) -> Option<String> {
        self.paused.as_ref().map(|pause| pause.sentence(now))
    }

    /// What holds its jobs back, the urgent first, in about `room` characters.
    fn held(&self, room: usize, now: Timestamp) -> String {
        // The pause of the queue stands in both; once is enough.
        let pause = self.pause(now).map(|pause| (Urgency::Paused, pause));
        let flows = self.flow.iter().flat_map(|flow| flow.remarks(now));
        let mut remarks: Vec<Remark> = flows.filter(|(urgency, _)| *urgency != Urgency::Paused).chain(pause).collect();
        remarks.sort_by_key(|(urgency, _)| *urgency);
        shorten(&remarks, room)
    }
}

/// As many remarks as there is room for, at least one, and how many more there are.
fn shorten(remarks: &[Remark], room: usize) -> String {
    let Some((_, first)) = remarks.first() else { return "-".to_owned() };
    let more = |shown: usize| match remarks.len() - shown {
        0 => String::new(),
        left => format!(", +{left} more"),
    };
    let count = |text: &str| text.chars().count();
    let mut text = first.clone();
    let mut shown = 1;
    for (_, next) in &remarks[1..] {
        let longer = format!("{text}, {next}");
        if count(&longer) + count(&more(shown + 1)) > room {
            break;
        }
        (text, shown) = (longer, shown + 1);
    }
    let rest = more(shown);
    let left = room.saturating_sub(count(&rest));
    // What stands in brackets is the first that can be missed.
    if count(&text) > left
        && let Some(start) = text.rfind(" (")
    {
        text.truncate(start);
    }
    if count(&text) > left {
        text = text.chars().take(left.saturating_sub(1)).chain(['…']).collect();
    }
    text + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks(texts: &[&str]) -> Vec<Remark> {
        texts.iter().map(|text| (Urgency::Limit, (*text).to_owned())).collect()
    }

    #[test]
    fn remarks_are_shown_as_far_as_there_is_room() {
        let all = remarks(&["paused by ann: upgrade", "3 of 10 running", "100/s"]);
        assert_eq!(shorten(&[], 32), "-");
        let breaker = remarks(&["breaker open until 12:00:30Z (20 failures)"]);
        assert_eq!(shorten(&breaker, 42), breaker[0].1);
        assert_eq!(shorten(&breaker, 41), "breaker open until 12:00:30Z");
        assert_eq!(shorten(&all, 80), "paused by ann: upgrade, 3 of 10 running, 100/s");
        assert_eq!(shorten(&all, 48), "paused by ann: upgrade, 3 of 10 running, 100/s");
        assert_eq!(shorten(&all, 32), "paused by ann: upgrade, +2 more");
        assert_eq!(shorten(&all, 30), "paused by ann: upgra…, +2 more");
        for room in 30..80 {
            assert!(shorten(&all, room).chars().count() <= room, "{room}");
        }
    }
}
