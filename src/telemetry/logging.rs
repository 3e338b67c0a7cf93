//! The log: one JSON object per event, to standard error.
//!
//! Owns the level, the caps on what other crates may say, redaction, and the rate. Libraries below us print raw requests: pingora writes
//! up to two kilobytes of a broken request head at `error`, whole header maps at `debug`, and query strings in between. Invariant: whatever
//! level is asked for, no credential reaches the log, and one event is one line.

use std::{
    fmt,
    io::{self, Write},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Map, Value};
use thiserror::Error;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_log::{LogTracer, NormalizeEvent, log};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::{LookupSpan, Registry},
};

use super::{
    json,
    spool::{Output, Plan, Spool},
    text,
};

/// Longest value of a field, in bytes.
const LONGEST_VALUE: usize = 4096;

/// Most lines in one second of our own, and of all libraries together. The rest is counted and told afterwards.
const OWN_RATE: u32 = 1000;
const FOREIGN_RATE: u32 = 50;

/// Bytes that may wait while the writer holds as many again.
const LONGEST_QUEUE: usize = 1 << 20;

/// How long the last lines may take at the end.
const FLUSH: Duration = Duration::from_millis(500);

/// How much is told about our own work. Libraries are capped below this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// And what is odd.
    Warn,
    /// And what changed: starts, reloads, keys.
    #[default]
    Info,
    /// And what helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// A value of `COGWARD_LOG` that is no level.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a log level; levels are: off, error, warn, info, debug, trace")]
pub struct VerbosityError(String);

impl FromStr for Verbosity {
    type Err = VerbosityError;

    fn from_str(word: &str) -> Result<Self, VerbosityError> {
        match word.to_ascii_lowercase().as_str() {
            "off" => Ok(Self::Off),
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(VerbosityError(word.to_owned())),
        }
    }
}

impl From<Verbosity> for LevelFilter {
    fn from(verbosity: Verbosity) -> Self {
        match verbosity {
            Verbosity::Off => Self::OFF,
            Verbosity::Error => Self::ERROR,
            Verbosity::Warn => Self::WARN,
            Verbosity::Info => Self::INFO,
            Verbosity::Debug => Self::DEBUG,
            Verbosity::Trace => Self::TRACE,
        }
    }
}

/// The log cannot be started.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// Another logger is in place already.
    #[error("logging was started before")]
    Again,
    /// The writer thread cannot be started.
    #[error("the log's writer cannot be started")]
    Thread(#[source] io::Error),
}

/// The log of this process. Dropped, it writes out what waits.
#[derive(Debug)]
pub struct Log {
    spool: Arc<Spool>,
    dropped: Arc<AtomicUsize>,
}

impl Log {
    /// Tells how many lines were lost since the start.
    pub fn dropped(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || dropped.load(Relaxed)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // What is not written by then is lost: whoever holds standard error does not read it.
        let _ = self.spool.flush(FLUSH);
    }
}

/// A writer that never waits: one call is one line.
struct Lines(Arc<Spool>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the log of this process, on standard error. Once. From then on a panic is an event of the log too.
pub fn start(verbosity: Verbosity) -> Result<Log, LoggingError> {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = dropped.clone();
    let plan = Plan {
        name: "log",
        output: Output::Stderr(io::stderr()),
        longest_queue: LONGEST_QUEUE,
        on_loss: Box::new(move |_, lines| {
            counted.fetch_add(usize::try_from(lines).unwrap_or(usize::MAX), Relaxed);
        }),
        // A log that cannot be written has nobody to tell but the metric.
        on_fault: Box::new(|_| {}),
    };
    // SECURITY: a standard error that nobody reads must not stop a request: `test_a_log_that_nobody_reads_stops_no_request`.
    let spool = Arc::new(Spool::start(plan).map_err(LoggingError::Thread)?);
    // Only libraries use the `log` crate, and none of them is heard above `info`.
    LogTracer::builder().with_max_level(log::LevelFilter::Info).init().map_err(|_| LoggingError::Again)?;
    let subscriber = subscriber(verbosity, Lines(spool.clone()));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Again)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tell_panic(panic.payload(), place.as_deref());
    }));
    Ok(Log { spool, dropped })
}

/// Where it happened, and its message only where that is a text of the program: a message that was put together may quote a request.
fn tell_panic(payload: &dyn std::any::Any, place: Option<&str>) {
    // SECURITY: held by `a_panic_is_one_line_without_request_data`.
    let text = payload.downcast_ref::<&'static str>().copied();
    tracing::error!(place, text, "a task panicked");
}

/// The same log over another writer.
pub fn subscriber<W: Write + Send + 'static>(verbosity: Verbosity, writer: W) -> impl Subscriber + Send + Sync {
    Registry::default().with(JsonLines {
        most: verbosity.into(),
        writer: Mutex::new(writer),
        own: Mutex::new(Rate::of(OWN_RATE)),
        foreign: Mutex::new(Rate::of(FOREIGN_RATE)),
    })
}

/// What a crate may say at most, whatever level is asked for.
fn ceiling(target: &str) -> LevelFilter {
    // SECURITY: below these levels the crates print headers and bodies: `no_level_makes_a_library_print_a_request`.
    const QUIET: [&str; 9] =
        ["pingora", "h2", "rustls", "hyper", "http", "jsonwebtoken", "tokio_rustls", "reqwest", "cel"];
    if is_own(target) {
        LevelFilter::TRACE
    } else if ["pingora_core::protocols", "pingora_core::apps"].iter().any(|module| target.starts_with(module)) {
        LevelFilter::ERROR
    } else if QUIET.iter().any(|name| target.starts_with(name)) {
        LevelFilter::WARN
    } else {
        LevelFilter::INFO
    }
}

fn is_own(target: &str) -> bool {
    target == "cogward" || target.starts_with("cogward::")
}

/// At most so many in a second.
#[derive(Debug)]
struct Rate {
    most: u32,
    second: u64,
    used: u32,
    suppressed: u64,
}

impl Rate {
    fn of(most: u32) -> Self {
        Self { most, second: 0, used: 0, suppressed: 0 }
    }

    /// Is there room for one more? If so: how many had none since the last that did.
    fn admit(&mut self, second: u64) -> Option<u64> {
        if second != self.second {
            (self.second, self.used) = (second, 0);
        }
        if self.used >= self.most {
            self.suppressed += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

struct JsonLines<W> {
    most: LevelFilter,
    writer: Mutex<W>,
    own: Mutex<Rate>,
    foreign: Mutex<Rate>,
}

impl<W: Write + Send + 'static> JsonLines<W> {
    fn write(&self, level: &Level, target: &str, mut fields: Fields) {
        let now = super::since_epoch();
        let rate = if is_own(target) { &self.own } else { &self.foreign };
        let admitted = rate.lock().unwrap_or_else(PoisonError::into_inner).admit(now.as_secs());
        let Some(suppressed) = admitted else { return };
        if suppressed > 0 {
            fields.others.insert("suppressed".into(), suppressed.into());
        }
        let mut line = Vec::with_capacity(256);
        let event = Line {
            time: text::rfc3339(now),
            level: level.as_str(),
            target,
            message: fields.message,
            fields: fields.others,
        };
        if json::write_line(&event, &mut line).is_ok() {
            // Where standard error is gone there is nobody left to tell.
            let _ = self.writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Write + Send + 'static,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let most = self.most.min(ceiling(metadata.target()));
        metadata.is_event() && *metadata.level() <= most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // An event of the `log` crate carries its real origin in its fields.
        let bridged = event.normalized_metadata();
        let metadata = bridged.as_ref().unwrap_or_else(|| event.metadata());
        let mut fields =
            Fields { foreign: !is_own(metadata.target()), bridged: bridged.is_some(), ..Fields::default() };
        event.record(&mut fields);
        self.write(metadata.level(), metadata.target(), fields);
    }
}

/// One line.
#[derive(serde::Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    target: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

/// The fields of an event, made fit to be printed.
#[derive(Debug, Default)]
struct Fields {
    foreign: bool,
    bridged: bool,
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: &str) {
        let name = field.name();
        if self.bridged && name.starts_with("log.") {
            return;
        }
        let value = if self.foreign { &*without_request(value) } else { value };
        let shown = if is_secret(name) { text::REDACTED.into() } else { text::presentable(value, LONGEST_VALUE) };
        if name == "message" {
            self.message = shown.into_owned();
        } else {
            self.others.insert(name.to_owned(), shown.into_owned().into());
        }
    }

    fn put_number(&mut self, field: &Field, value: Value) {
        let value = if is_secret(field.name()) { text::REDACTED.into() } else { value };
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut chain = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        self.put(field, &chain);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if !self.bridged {
            self.put_number(field, value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_number(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_number(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put_number(field, value.into());
    }
}

/// Fields whose value is a credential by their name.
fn is_secret(field: &str) -> bool {
    ["authorization", "proxy_authorization", "cookie", "set_cookie", "token", "password", "secret"]
        .iter()
        .any(|name| field.eq_ignore_ascii_case(name))
}

/// A library's text without the bytes of a request that it quotes: pingora's ` buf: ...` and the queries of its request summaries.
fn without_request(value: &str) -> std::borrow::Cow<'_, str> {
    const QUOTED: &str = "buf: ";
    if !value.contains(QUOTED) && !value.contains('?') {
        return value.into();
    }
    let (kept, quoted) = value.split_once(QUOTED).map_or((value, false), |(kept, _)| (kept, true));
    let mut clean = String::with_capacity(kept.len());
    let mut in_query = false;
    for c in kept.chars() {
        in_query = (in_query || c == '?') && !c.is_whitespace() && c != ',';
        match (in_query, c) {
            (true, '?') => clean.push_str("?…"),
            (true, _) => {}
            (false, c) => clean.push(c),
        }
    }
    if quoted {
        clean.push_str("[request left out]");
    }
    clean.into()
}

#[cfg(test)]
mod tests;
