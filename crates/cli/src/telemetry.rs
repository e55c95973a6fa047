//! Logs on standard error: text for people, or one flat JSON object a line. `reference.rs` lists the names.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{self, Config};
use crate::error::{Failure, Outcome};

/// What a role tells. `sqlx` would quote the statements of exports, which are arguments of jobs, and apalis repeats
/// what the worker says.
const ROLE: &str = "info,sqlx=error,apalis=warn,apalis_core=warn,apalis_cron=error";
/// What any other command tells: what is wrong. How its job ended it says itself.
const COMMAND: &str = "warn,sqlx=error,apalis=warn,apalis_core=warn,lovage_worker::executor=off";

/// Starts logging. A role tells what it does, any other command only what is wrong.
pub fn start(config: &Config, is_role: bool) -> Outcome {
    let directives = config.log.as_deref().unwrap_or(if is_role { ROLE } else { COMMAND });
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        let help = "use a level or a list such as warn,lovage_worker=debug";
        Failure::usage("log", format!("log: {directives:?} cannot be read ({error}); {help}"))
    })?;
    let registry = tracing_subscriber::registry().with(Wanted(filter));
    let started = if config.log_json {
        registry.with(JsonLines::new(config)).try_init()
    } else {
        registry.with(fmt::layer().with_writer(io::stderr).with_ansi(colours()).with_target(false)).try_init()
    };
    started.map_err(|error| Failure::Failed(format!("logging does not start: {error}")))
}

/// What is told, for all layers alike. A filter of one layer forgets an event that follows a mere question whether something
/// would be told, which sqlx asks at each statement.
struct Wanted(EnvFilter);

/// Spans are always kept, whatever the level: they carry the job's id to the line that tells of its failure.
fn is_span_of_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("lovage")
}

impl<S: Subscriber> Layer<S> for Wanted {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_span_of_ours(metadata) {
            return Interest::always();
        }
        Layer::<S>::register_callsite(&self.0, metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        is_span_of_ours(metadata) || Layer::<S>::enabled(&self.0, metadata, context)
    }
}

/// Colours only for a person who did not say `NO_COLOR` (<https://no-color.org>).
fn colours() -> bool {
    io::stderr().is_terminal() && !config::no_color()
}

/// Writes one flat JSON object an event: what is the same for all, the fields of its spans, its own fields.
struct JsonLines {
    head: Map<String, Value>,
}

impl JsonLines {
    fn new(config: &Config) -> Self {
        let mut head = Map::new();
        head.insert("service".into(), json!("lovage"));
        head.insert("version".into(), json!(env!("CARGO_PKG_VERSION")));
        head.insert("host".into(), json!(config::host()));
        if let Some(environment) = &config.environment {
            head.insert("env".into(), json!(environment));
        }
        Self { head }
    }
}

/// The fields of a span, kept with it.
struct Fields(Map<String, Value>);

struct Collect<'a>(&'a mut Map<String, Value>);

impl Visit for Collect<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), json!(format!("{value:?}")));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Collect(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(Fields(fields)) = span.extensions_mut().get_mut() {
            values.record(&mut Collect(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = self.head.clone();
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(Fields(fields)) = span.extensions().get() {
                line.extend(fields.clone());
            }
        }
        event.record(&mut Collect(&mut line));
        let mut timestamp = String::new();
        // Without a time the line is still worth writing.
        let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
        line.insert("timestamp".into(), json!(timestamp));
        line.insert("level".into(), json!(event.metadata().level().as_str()));
        line.insert("target".into(), json!(event.metadata().target()));
        let text = format!("{}\n", Value::Object(line));
        // If standard error is gone there is nobody to tell.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}
