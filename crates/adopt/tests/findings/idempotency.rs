//! Row: an idempotency key without a time to live holds for no time at all.

use std::time::Duration;

use apalis_core::backend::TaskSink as _;
use apalis_redis::Config;

use crate::stage::{OUT_OF_DATE, Stage, task};

#[tokio::test]
async fn an_idempotency_key_holds_only_with_a_time_to_live() {
    for (life, jobs) in [(None, 2), (Some(Duration::from_mins(5)), 1)] {
        let stage = Stage::with(Config::default().queue("jobs").idempotency_ttl(life));
        let mut storage = stage.storage().await;
        for number in [1, 2] {
            storage.push_task(task(number).idempotency_key("order-1").build()).await.unwrap();
        }
        let waiting: u32 = stage.ask(&["ZCARD", &stage.config.scheduled_jobs_set()]).await;
        assert_eq!(waiting, jobs, "{OUT_OF_DATE}: with {life:?}");
    }
}
