//! Makes a job of a task. Pure: what it answers follows from what was read.

use std::collections::BTreeMap;

use lovage_core::limits::{MAX_ATTEMPTS, MAX_BATCH_BYTES};
use lovage_core::{JobId, NewJob, RawJson, RetryPolicy, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::adoption::Adoption;

/// The attempts that apalis writes down when the producer asks for no number. They cannot be told from a wish for the
/// same number, so they mean: as the kind has it.
const NO_WISH: u32 = 25;
/// What apalis itself keeps about a task beside the producer's metadata.
const APALIS_OWN: [&str; 8] =
    ["attempts", "max_attempts", "status", "idempotency_key", "locked_at", "locked_by", "result", "done_at"];

/// Where apalis' `TracingContext` keeps the producer's trace: id of the trace, of the span, flags, state.
const TRACE: &str = "apalis_core.tracing.context";

/// A task as it lies in apalis' keys.
#[derive(Debug, Default)]
pub(crate) struct Task {
    /// Its id.
    pub id: String,
    /// When it is due, in seconds since 1970; 0 is now.
    pub due: f64,
    /// What it carries; nothing if somebody removed it.
    pub payload: Option<Vec<u8>>,
    /// What apalis knows about it, with the producer's metadata.
    pub meta: BTreeMap<String, String>,
}

impl Task {
    /// The job that it becomes, or why it cannot become one.
    pub(crate) fn job(&self, adoption: &Adoption) -> Result<NewJob, String> {
        let payload = self.payload.as_ref().ok_or("its payload is gone: apalis' vacuum removes it too early")?;
        if payload.len() > MAX_BATCH_BYTES {
            return Err(format!("its payload has {} bytes, more than any queue takes", payload.len()));
        }
        let args: RawJson = serde_json::from_slice(payload)
            .map_err(|error| format!("its payload is not JSON ({error}); let the producer use apalis' JsonCodec"))?;
        let mut job = NewJob::with_raw_args(adoption.queue.clone(), adoption.kind.clone(), args);
        let id = self.job_id(&adoption.source).map_err(|error| error.to_string())?;
        job.run_at = Some(Timestamp::from_millis((self.due * 1_000.0).max(0.0) as u64));
        job.retry = self.retry();
        job.metadata = self.metadata(adoption, &id);
        job.id = Some(id);
        Ok(job)
    }

    /// An id that nobody else has, by its form, stays as it is: the producer finds its job under it. Others are only
    /// known to be unique within their source.
    fn job_id(&self, source: &str) -> Result<JobId, lovage_core::Invalid> {
        if is_ulid(&self.id) || is_uuid(&self.id) {
            return self.id.parse();
        }
        let plain = format!("{source}:{}", self.id);
        plain.parse().or_else(|_| {
            let digest = Sha256::digest(plain.as_bytes());
            let hex = digest.iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            format!("apalis:{hex}").parse()
        })
    }

    /// The attempts that are left of those that the producer asked for.
    fn retry(&self) -> Option<RetryPolicy> {
        let number = |field: &str| self.meta.get(field).and_then(|text| text.parse::<u32>().ok());
        let most = number("max_attempts").filter(|most| *most != NO_WISH)?;
        let left = most.saturating_sub(number("attempts").unwrap_or(0)).clamp(1, MAX_ATTEMPTS);
        Some(RetryPolicy { max_attempts: left, ..RetryPolicy::default() })
    }

    fn metadata(&self, adoption: &Adoption, id: &JobId) -> BTreeMap<String, String> {
        let own = |name: &str| APALIS_OWN.contains(&name);
        let mut metadata: BTreeMap<String, String> =
            self.meta.iter().filter(|(name, _)| !own(name)).map(|(name, text)| (name.clone(), text.clone())).collect();
        metadata.insert("adopted_from".to_owned(), adoption.source.clone());
        if id.as_str() != self.id {
            metadata.insert("apalis_id".to_owned(), self.id.clone());
        }
        if let Some(parent) = metadata.get(TRACE).and_then(|text| traceparent(text)) {
            metadata.entry("traceparent".to_owned()).or_insert(parent);
        }
        if let Some(key) = self.meta.get("idempotency_key").filter(|key| !key.is_empty()) {
            metadata.insert("idempotency_key".to_owned(), key.clone());
        }
        metadata
    }
}

/// The form that everybody else has for it: <https://www.w3.org/TR/trace-context/>.
fn traceparent(context: &str) -> Option<String> {
    let mut parts = context.splitn(4, ';');
    let mut digits =
        |count: usize| parts.next().filter(|id| id.len() == count && id.bytes().all(|b| b.is_ascii_hexdigit()));
    let (trace, span) = (digits(32)?, digits(16)?);
    let flags: u8 = parts.next().and_then(|flags| flags.parse().ok()).unwrap_or(0);
    Some(format!("00-{trace}-{span}-{flags:02x}"))
}

/// 26 letters and digits: <https://github.com/ulid/spec>.
fn is_ulid(id: &str) -> bool {
    id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// 8-4-4-4-12 hexadecimal digits: RFC 9562.
fn is_uuid(id: &str) -> bool {
    let lengths = id.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ULID: &str = "01J9ZQ4X3V6N8M2K5T7R1W0YBC";

    fn adoption() -> Adoption {
        "shop::Email@emails=email.send".parse().unwrap()
    }

    fn task(id: &str, meta: &[(&str, &str)]) -> Task {
        let meta = meta.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Task { id: id.to_owned(), due: 1_700_000_000.0, payload: Some(b"{\"to\":\"a\"}".to_vec()), meta }
    }

    #[test]
    fn a_task_keeps_its_id_its_time_and_its_metadata() {
        let own = [("attempts", "0"), ("max_attempts", "25"), ("status", "Pending"), ("idempotency_key", "")];
        let job = task(ULID, &[&own[..], &[("traceparent", "00-1")]].concat()).job(&adoption()).unwrap();
        assert_eq!(job.id.unwrap().as_str(), ULID);
        assert_eq!((job.queue.as_str(), job.kind.as_str(), job.args.get()), ("emails", "email.send", "{\"to\":\"a\"}"));
        assert_eq!(job.run_at, Some(Timestamp::from_millis(1_700_000_000_000)));
        assert_eq!(job.retry, None, "25 is what apalis writes when nobody asked");
        let metadata: Vec<_> = job.metadata.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(metadata, [("adopted_from", "shop::Email"), ("traceparent", "00-1")]);
    }

    #[test]
    fn ids_that_two_sources_could_share_are_told_apart() {
        let id = |source: &str, id: &str| {
            let adoption = format!("{source}@emails=email.send").parse().unwrap();
            task(id, &[]).job(&adoption).unwrap()
        };
        let uuid = "0193a3c0-5f1e-7c2a-9d53-000000000001";
        assert_eq!(id("eu", uuid).id.unwrap().as_str(), uuid);
        assert_eq!(id("eu", "42").id.unwrap().as_str(), "eu:42");
        assert_eq!(id("us", "42").metadata["apalis_id"], "42");
        let strange = id("eu", "order 42/ü").id.unwrap();
        assert!(strange.as_str().starts_with("apalis:") && strange.as_str().len() == 39, "{strange}");
        assert_ne!(strange, id("us", "order 42/ü").id.unwrap());
        assert_eq!(strange, id("eu", "order 42/ü").id.unwrap(), "the same task is the same job");
    }

    #[test]
    fn attempts_that_were_used_do_not_come_back() {
        let left = |most: &str, used: &str| {
            let job = task(ULID, &[("max_attempts", most), ("attempts", used)]).job(&adoption()).unwrap();
            job.retry.map(|policy| policy.max_attempts)
        };
        assert_eq!(left("5", "0"), Some(5));
        assert_eq!(left("5", "3"), Some(2));
        assert_eq!(left("5", "5"), Some(1));
        assert_eq!(left("100000", "0"), Some(MAX_ATTEMPTS));
        assert_eq!(left("25", "3"), None);
    }

    #[test]
    fn what_is_not_json_or_gone_is_said() {
        let with = |payload| Task { payload, ..task(ULID, &[]) }.job(&adoption()).unwrap_err();
        assert!(with(Some(vec![0x92, 0xa1, 0x61])).contains("not JSON"));
        assert!(with(Some(b"{} {}".to_vec())).contains("not JSON"));
        assert!(with(None).contains("gone"));
    }
}
