//! Changing a job that is not running: what people do before they redrive it.

use async_trait::async_trait;
use lovage_core::{Change, EventKind, IllegalChange, JobId, JobSpec, NewJob, QueueName, State};

use super::desk::{Batch, Desk};
use super::fault::Fault;
use super::line::line_order;
use super::operate::not_found;
use super::row::Row;
use super::step::Step;
use super::writer::Command;
use crate::api::Edit;

/// An edit call.
#[derive(Debug)]
pub(super) struct EditJob {
    pub queue: QueueName,
    pub id: JobId,
    pub edit: Edit,
    pub max_payload: usize,
}

#[async_trait]
impl Command for EditJob {
    type Answer = ();

    async fn run(&self, step: &mut Step<'_>) -> Result<(), Fault> {
        let missing = || not_found(&self.queue, &self.id);
        let mut desk = step.desk(&self.queue).await?.ok_or_else(missing)?;
        let mut row = desk.row(&self.id).await?.ok_or_else(missing)?;
        if row.state == State::Running {
            return Err(IllegalChange { from: row.state, change: Change::Redrive }.into());
        }
        if self.edit.args.is_some() || self.edit.tags.is_some() {
            desk.edit_content(&row, self).await?;
        }
        if let Some(priority) = self.edit.priority {
            row.priority = priority.level();
            if row.state == State::Available {
                row.sort = line_order(row.priority, row.place);
            }
        }
        desk.record(&row, EventKind::Edited, None);
        desk.save(&Batch { rows: vec![row], errors: Vec::new() }).await
    }
}

impl Desk<'_> {
    async fn edit_content(&mut self, row: &Row, call: &EditJob) -> Result<(), Fault> {
        let sql = "SELECT text FROM spec WHERE seq = ?1";
        let text: Option<String> = sqlx::query_scalar(sql).bind(row.seq).fetch_optional(&mut *self.conn).await?;
        let spec = JobSpec::decode(&text.unwrap_or_default());
        let mut spec = spec.map_err(|error| Fault::Unreadable(format!("job {}: {error}", row.id)))?;
        call.edit.apply(&mut spec);
        // Held to the limits of a new job.
        let mut as_new = NewJob::with_raw_args(call.queue.clone(), spec.kind.clone(), spec.args.clone());
        as_new.tags.clone_from(&spec.tags);
        as_new.validate(call.max_payload)?;
        self.write_contents(&[(row.seq, spec.encode())]).await
    }
}
