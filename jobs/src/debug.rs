//! The debug kinds: handlers whose behaviour is their argument.

use std::time::Duration;

use lovage_core::{LogLevel, Progress};
use lovage_payloads::{DebugAbort, DebugFail, DebugNoop, DebugProgress, DebugSleep};
use lovage_worker::{Handler, JobContext, JobError};

/// `debug.noop`: does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Noop;

impl Handler for Noop {
    type Args = DebugNoop;
    type Output = ();
    const KIND: &'static str = DebugNoop::KIND;

    async fn run(&self, _args: DebugNoop, _job: JobContext) -> Result<(), JobError> {
        Ok(())
    }
}

/// `debug.sleep`: waits, unless it is cancelled.
#[derive(Debug, Clone, Copy)]
pub struct Sleep;

impl Handler for Sleep {
    type Args = DebugSleep;
    type Output = ();
    const KIND: &'static str = DebugSleep::KIND;

    async fn run(&self, args: DebugSleep, job: JobContext) -> Result<(), JobError> {
        wait(args.ms, &job).await
    }
}

/// `debug.fail`: fails so many times, then succeeds.
#[derive(Debug, Clone, Copy)]
pub struct Fail;

impl Handler for Fail {
    type Args = DebugFail;
    type Output = ();
    const KIND: &'static str = DebugFail::KIND;

    async fn run(&self, args: DebugFail, job: JobContext) -> Result<(), JobError> {
        if args.times.is_some_and(|times| job.attempt() > times) {
            return Ok(());
        }
        Err(JobError::Retry(anyhow::Error::msg(args.message)))
    }
}

/// `debug.abort`: kills the worker's process, as a segmentation fault or the kernel's out-of-memory killer would.
#[derive(Debug, Clone, Copy)]
pub struct Abort;

impl Handler for Abort {
    type Args = DebugAbort;
    type Output = ();
    const KIND: &'static str = DebugAbort::KIND;

    async fn run(&self, _args: DebugAbort, _job: JobContext) -> Result<(), JobError> {
        std::process::abort()
    }
}

/// `debug.progress`: reports every step that it takes.
#[derive(Debug, Clone, Copy)]
pub struct ProgressSteps;

impl Handler for ProgressSteps {
    type Args = DebugProgress;
    type Output = u64;
    const KIND: &'static str = DebugProgress::KIND;

    async fn run(&self, args: DebugProgress, job: JobContext) -> Result<u64, JobError> {
        for done in 0..args.steps {
            job.progress(progress(done, args.steps));
            wait(args.ms, &job).await?;
            job.log(LogLevel::Info, format!("step {} of {} is done", done + 1, args.steps));
        }
        job.progress(progress(args.steps, args.steps));
        Ok(args.steps)
    }
}

fn progress(done: u64, total: u64) -> Progress {
    Progress { done, total: Some(total), unit: "steps".to_owned(), phase: "walking".to_owned(), ..Progress::default() }
}

async fn wait(ms: u64, job: &JobContext) -> Result<(), JobError> {
    tokio::select! {
        biased;
        () = job.cancelled().cancelled() => Err(JobError::Cancelled),
        () = tokio::time::sleep(Duration::from_millis(ms)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use lovage_worker::testing::DetachedJob;

    use super::*;

    fn job(kind: &str, attempt: u32) -> DetachedJob {
        DetachedJob::new("q".parse().unwrap(), kind.parse().unwrap(), "1".parse().unwrap(), attempt, 1)
    }

    #[tokio::test]
    async fn fail_fails_as_often_as_asked() {
        let fail =
            |times, attempt| Fail.run(DebugFail { message: "no".into(), times }, job(Fail::KIND, attempt).context());
        let error = fail(Some(2), 2).await.unwrap_err();
        assert_eq!(error.to_string(), "no");
        assert!(fail(Some(2), 3).await.is_ok());
        assert!(fail(Some(0), 1).await.is_ok());
        assert!(fail(None, 1_000).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn sleep_lasts_as_long_as_asked_and_ends_early_when_cancelled() {
        let began = tokio::time::Instant::now();
        let sleeper = job(Sleep::KIND, 1);
        Sleep.run(DebugSleep { ms: 5_000 }, sleeper.context()).await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        sleeper.cancel();
        let error = Sleep.run(DebugSleep { ms: 5_000 }, sleeper.context()).await.unwrap_err();
        assert!(matches!(error, JobError::Cancelled));
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_tells_every_step() {
        let walker = job(ProgressSteps::KIND, 1);
        let steps = ProgressSteps.run(DebugProgress { steps: 3, ms: 10 }, walker.context()).await.unwrap();
        assert_eq!((steps, walker.lines().len()), (3, 3));
        assert_eq!(walker.progress().map(|progress| (progress.done, progress.total)), Some((3, Some(3))));
    }
}
