//! One action on a whole state, a bounded slice a call: no operator stops the queue, however big it is.

use async_trait::async_trait;
use lovage_core::{Invalid, QueueName, State};

use super::fault::Fault;
use super::row::{Row, code, row_columns, second_code};
use super::step::Step;
use super::sweep::SLICE;
use super::writer::Command;
use crate::api::{BulkAction, BulkProgress};

/// Where a slice or a page ended: the order of its last job and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub sort: i64,
    pub id: String,
}

impl Cursor {
    /// Before everything.
    pub(super) fn start() -> Self {
        Self { sort: i64::MIN, id: String::new() }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let parsed = text.split_once(':').and_then(|(sort, id)| Some(Self { sort: sort.parse().ok()?, id: id.into() }));
        let help = "send the cursor of the answer before, or none to begin again";
        parsed.ok_or_else(|| Invalid::new("cursor", format!("{text:?} is none of ours"), help))
    }

    pub(super) fn text(&self) -> String {
        format!("{}:{}", self.sort, self.id)
    }
}

/// A bulk call.
#[derive(Debug)]
pub(super) struct ActOnState {
    pub queue: QueueName,
    pub state: State,
    pub action: BulkAction,
    pub cursor: Cursor,
}

#[async_trait]
impl Command for ActOnState {
    type Answer = BulkProgress;

    async fn run(&self, step: &mut Step<'_>) -> Result<BulkProgress, Fault> {
        let nothing = BulkProgress { done: 0, cursor: None };
        if !self.action.allows(self.state) {
            return Ok(nothing);
        }
        let Some(mut desk) = step.desk(&self.queue).await? else { return Ok(nothing) };
        let sql = concat!(
            "SELECT ",
            row_columns!(),
            " FROM job WHERE seq IN (SELECT seq FROM (SELECT * FROM (SELECT seq, sort, id FROM job WHERE queue = ?1 \
             AND state = ?2 AND (sort, id) > (?3, ?4) ORDER BY sort, id LIMIT ?5 + 0) UNION ALL \
             SELECT * FROM (SELECT seq, sort, id FROM job WHERE queue = ?1 AND state = ?6 AND (sort, id) > (?3, ?4) \
             ORDER BY sort, id LIMIT ?5 + 0)) ORDER BY sort, id LIMIT ?5 + 0) ORDER BY job.sort, job.id"
        );
        let rows = sqlx::query(sql)
            .bind(desk.line.key)
            .bind(code(self.state))
            .bind(self.cursor.sort)
            .bind(&self.cursor.id)
            .bind(SLICE as i64)
            .bind(second_code(self.state))
            .fetch_all(&mut *desk.conn)
            .await?;
        let rows = rows.iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
        let done = rows.len() as u64;
        let last = rows.last().filter(|_| rows.len() == SLICE);
        let cursor = last.map(|row| Cursor { sort: row.sort, id: row.id.to_string() }.text());
        desk.act(self.action, rows).await?;
        Ok(BulkProgress { done, cursor })
    }
}
