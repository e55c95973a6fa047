//! What types alone do not check of a new job.

use crate::error::Invalid;
use crate::job::NewJob;
use crate::limits::{
    MAX_BATCH, MAX_BATCH_BYTES, MAX_HORIZON, MAX_METADATA_BYTES, MAX_METADATA_ENTRIES, MAX_TAG_CHARS, MAX_TAGS,
};

pub(crate) fn new_job(job: &NewJob, max_payload: usize) -> Result<(), Invalid> {
    args(job.args.get(), max_payload)?;
    if job.delay_ms.is_some() && job.run_at.is_some() {
        return Err(Invalid::new("run_at", "is given together with delay_ms", "use one of the two"));
    }
    let horizon = MAX_HORIZON.as_millis() as u64;
    if let Some(delay) = job.delay_ms.filter(|&delay| delay > horizon) {
        return Err(Invalid::new("delay_ms", format!("is {delay}"), format!("use at most {horizon} (100 years)")));
    }
    // Also keeps every instant within what a Redis sorted set holds exactly.
    let latest = 4_102_444_800_000 + horizon;
    for (field, at) in [("run_at", job.run_at), ("expires_at", job.expires_at)] {
        if let Some(at) = at.filter(|at| at.as_millis() > latest) {
            let help = "use milliseconds since 1970-01-01 UTC, not beyond the year 2200";
            return Err(Invalid::new(field, format!("is {}", at.as_millis()), help));
        }
    }
    if let (Some(expires), Some(run)) = (job.expires_at, job.run_at)
        && expires <= run
    {
        return Err(Invalid::new("expires_at", "is not after run_at", "let it expire after it becomes available"));
    }
    if job.timeout_ms == Some(0) {
        return Err(Invalid::new("timeout_ms", "is 0", "use at least 1, or leave it out"));
    }
    if let Some(policy) = &job.retry {
        policy.validate("retry")?;
    }
    if let Some(unique) = &job.unique {
        unique.validate(job.delay_ms)?;
        if unique.debounce.is_some() && job.expires_at.is_some() {
            let help = "leave it out: max_wait_ms says when it is due at the latest";
            return Err(Invalid::new("expires_at", "is given together with unique.debounce", help));
        }
    }
    tags(&job.tags)?;
    metadata(job)
}

pub(crate) fn args(json: &str, max_payload: usize) -> Result<(), Invalid> {
    if json.len() > max_payload {
        let help = format!("send at most {max_payload} bytes, or store the data and pass a reference to it");
        return Err(Invalid::new("args", format!("is {} bytes long", json.len()), help));
    }
    Ok(())
}

/// Checks an enqueue call as a whole: how many jobs, and how many bytes of arguments.
pub fn batch(jobs: &[NewJob]) -> Result<(), Invalid> {
    if jobs.len() > MAX_BATCH {
        let help = format!("send at most {MAX_BATCH} a call");
        return Err(Invalid::new("jobs", format!("has {} entries", jobs.len()), help));
    }
    let bytes: usize = jobs.iter().map(|job| job.args.get().len()).sum();
    if bytes > MAX_BATCH_BYTES {
        let help = format!("send at most {MAX_BATCH_BYTES} bytes a call");
        return Err(Invalid::new("jobs", format!("has {bytes} bytes of arguments"), help));
    }
    Ok(())
}

fn tags(tags: &[String]) -> Result<(), Invalid> {
    if tags.len() > MAX_TAGS {
        return Err(Invalid::new("tags", format!("has {} entries", tags.len()), format!("use at most {MAX_TAGS}")));
    }
    for tag in tags {
        self::tag(tag)?;
    }
    Ok(())
}

pub(crate) fn tag(tag: &str) -> Result<(), Invalid> {
    if tag.is_empty() || tag.chars().count() > MAX_TAG_CHARS || tag.chars().any(char::is_control) {
        let help = format!("use 1 to {MAX_TAG_CHARS} characters, none of them a control character");
        return Err(Invalid::new("tags", format!("contains {tag:?}"), help));
    }
    Ok(())
}

fn metadata(job: &NewJob) -> Result<(), Invalid> {
    if job.metadata.len() > MAX_METADATA_ENTRIES {
        let help = format!("use at most {MAX_METADATA_ENTRIES}");
        return Err(Invalid::new("metadata", format!("has {} entries", job.metadata.len()), help));
    }
    let bytes: usize = job.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_METADATA_BYTES {
        let help = format!("use at most {MAX_METADATA_BYTES} bytes for all keys and values together");
        return Err(Invalid::new("metadata", format!("is {bytes} bytes long"), help));
    }
    Ok(())
}
