//! The handlers of a worker by kind, with their types erased.

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;
use lovage_core::{Invalid, Kind, RawJson};
use serde_json::value::RawValue;

use crate::context::JobContext;
use crate::handler::{Handler, JobError, KindOptions};
use crate::kind_slots::KindSlots;

/// The handlers of a worker.
#[derive(Default)]
pub struct Registry {
    handlers: BTreeMap<Kind, Registered>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds()).finish()
    }
}

impl Registry {
    /// No handlers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler. Errs if its kind is no valid name, is taken, or has options that make no sense.
    pub fn register<H: Handler>(&mut self, handler: H) -> Result<(), Invalid> {
        let kind: Kind = H::KIND.parse()?;
        let options = handler.options();
        options.retry.validate(&format!("{kind}.retry"))?;
        if options.timeout.is_zero() {
            return Err(Invalid::new(format!("{kind}.timeout"), "is 0", "use at least 1 ms"));
        }
        if options.max_running == Some(0) {
            return Err(Invalid::new(format!("{kind}.max_running"), "is 0", "use at least 1, or leave it out"));
        }
        if self.handlers.contains_key(&kind) {
            let problem = format!("{kind} is registered twice");
            return Err(Invalid::new("kind", problem, "give every handler a kind of its own"));
        }
        let slots = KindSlots::new(options.max_running);
        let index = self.handlers.len() + 1;
        let registered = Registered { index, options, slots, handler: Box::new(handler) };
        self.handlers.insert(kind, registered);
        Ok(())
    }

    /// As [`Registry::register`], for a list of handlers in a program's start.
    ///
    /// # Panics
    /// If the handler cannot be registered: the program is wrong, and says why at its start.
    #[must_use]
    pub fn with<H: Handler>(mut self, handler: H) -> Self {
        if let Err(error) = self.register(handler) {
            panic!("cannot register the handler {}: {error}", std::any::type_name::<H>());
        }
        self
    }

    /// The kinds that can be run, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.handlers.keys()
    }

    /// The kinds in the order of their index.
    pub(crate) fn kinds_by_index(&self) -> Vec<&Kind> {
        let mut kinds: Vec<_> = self.handlers.iter().collect();
        kinds.sort_by_key(|(_, registered)| registered.index);
        kinds.into_iter().map(|(kind, _)| kind).collect()
    }

    pub(crate) fn find(&self, kind: &Kind) -> Option<&Registered> {
        self.handlers.get(kind)
    }
}

/// A handler in the registry.
pub(crate) struct Registered {
    /// From 1, in the order of registration.
    pub index: usize,
    pub options: KindOptions,
    pub slots: KindSlots,
    pub handler: Box<dyn Erased>,
}

/// How a handler's run ended.
pub(crate) type Ended = Result<Option<RawJson>, JobError>;

/// A handler without its types: JSON in, JSON out.
pub(crate) trait Erased: Send + Sync {
    fn run<'a>(&'a self, args: &'a RawValue, job: JobContext) -> BoxFuture<'a, Ended>;
}

impl<H: Handler> Erased for H {
    fn run<'a>(&'a self, args: &'a RawValue, job: JobContext) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let args = decode(args.get()).map_err(JobError::Discard)?;
            let output = Handler::run(self, args, job).await?;
            encode(&output)
        })
    }
}

fn decode<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, anyhow::Error> {
    serde_json::from_str(json).map_err(|_| {
        // Only a failure pays for finding out where it is.
        let mut reader = serde_json::Deserializer::from_str(json);
        match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Err(error) if error.path().to_string() == "." => anyhow::anyhow!("args: {}", error.inner()),
            Err(error) => anyhow::anyhow!("args.{}: {}", error.path(), error.inner()),
            Ok(_) => anyhow::anyhow!("args: text follows after the value"),
        }
    })
}

fn encode(output: &impl serde::Serialize) -> Ended {
    use lovage_core::limits::MAX_RESULT_BYTES;
    let json = serde_json::value::to_raw_value(output)
        .map_err(|error| JobError::Discard(anyhow::anyhow!("the result cannot be written as JSON: {error}")))?;
    if json.get().len() > MAX_RESULT_BYTES {
        let bytes = json.get().len();
        let problem = "store it as an artifact and return a reference to it";
        let error = anyhow::anyhow!("the result is {bytes} bytes long, more than {MAX_RESULT_BYTES}; {problem}");
        return Err(JobError::Discard(error));
    }
    Ok(Some(json).filter(|json| json.get() != "null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Args {
        #[expect(dead_code, reason = "only its decoding is tested")]
        sizes: Vec<u32>,
    }

    #[test]
    fn arguments_that_do_not_fit_name_the_path() {
        let error = decode::<Args>(r#"{"sizes": [1, "two"]}"#).unwrap_err().to_string();
        assert!(error.starts_with("args.sizes[1]: invalid type: string \"two\", expected u32"), "{error}");
        let error = decode::<Args>("7").unwrap_err().to_string();
        assert!(error.starts_with("args: invalid type"), "{error}");
    }

    struct Capped;
    impl Handler for Capped {
        type Args = ();
        type Output = ();
        const KIND: &'static str = "capped";
        fn options(&self) -> KindOptions {
            KindOptions { max_running: Some(1), ..KindOptions::default() }
        }
        async fn run(&self, (): (), _: JobContext) -> Result<(), JobError> {
            Ok(())
        }
    }

    #[test]
    fn a_kind_is_registered_once() {
        let mut registry = Registry::new();
        registry.register(Capped).unwrap();
        let error = registry.register(Capped).unwrap_err().to_string();
        assert!(error.contains("capped is registered twice"), "{error}");
    }

    #[test]
    fn a_result_of_nothing_is_no_result() {
        assert!(encode(&()).unwrap().is_none());
        assert_eq!(encode(&7).unwrap().unwrap().get(), "7");
        let too_long = encode(&"x".repeat(lovage_core::limits::MAX_RESULT_BYTES)).unwrap_err();
        assert!(matches!(too_long, JobError::Discard(_)));
    }
}
