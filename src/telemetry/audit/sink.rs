//! The way out for audit lines: a bounded buffer and one writer thread.
//!
//! A request renders its line and appends it to the buffer; it never waits for the destination. The writer takes all that is there at
//! once, so that a busy gateway makes few system calls and an idle one makes none. Invariant: a line is written whole, or counted as lost.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;

use crate::{
    config::AuditDestination,
    telemetry::{
        json,
        metrics::{AuditLoss, Metrics},
    },
};

use super::AuditRecord;

/// Bytes that may wait while the writer holds as many again.
const LONGEST_QUEUE: usize = 8 << 20;

/// How long the writer lets lines gather once there is one.
const LINGER: Duration = Duration::from_millis(2);

/// A buffer that grew past this in a burst is given back.
const KEPT_CAPACITY: usize = 1 << 20;

/// An audit destination that cannot be used.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The file cannot be opened for appending.
    #[error("the audit file `{}` cannot be opened", .0.display())]
    Open(PathBuf, #[source] io::Error),
    /// The writer thread cannot be started.
    #[error("the audit writer cannot be started")]
    Thread(#[source] io::Error),
}

/// Takes audit lines. One per process; shared by `Arc`.
#[derive(Debug)]
pub struct AuditSink {
    /// Absent when audit is off.
    queue: Option<Arc<Queue>>,
    pub(super) metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// Something for the writer to do.
    wake: Condvar,
    /// The writer got on.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that ever came in.
    accepted: u64,
    /// Lines that the writer is done with, one way or the other.
    settled: u64,
    reopen: bool,
    closing: bool,
    ended: bool,
}

impl AuditSink {
    /// Opens the destination and starts the writer.
    pub fn open(destination: &AuditDestination, metrics: Arc<Metrics>) -> Result<Self, AuditError> {
        let output = match destination {
            AuditDestination::Off => return Ok(Self { queue: None, metrics }),
            AuditDestination::Stdout => Output::Stdout(io::stdout()),
            AuditDestination::File(path) => {
                let file = append_to(path).map_err(|fault| AuditError::Open(path.clone(), fault))?;
                Output::File(path.clone(), file)
            }
        };
        let queue = Arc::new(Queue::default());
        let writer = Writer { output, queue: queue.clone(), metrics: metrics.clone(), torn: false, failing: false };
        std::thread::Builder::new().name("audit".into()).spawn(move || writer.run()).map_err(AuditError::Thread)?;
        Ok(Self { queue: Some(queue), metrics })
    }

    /// Takes one line. Returns at once: a line that finds no room is counted and dropped.
    pub fn record(&self, record: &AuditRecord<'_>) {
        let Some(queue) = &self.queue else { return };
        let mut line = Vec::with_capacity(512);
        if json::write_line(record, &mut line).is_err() {
            return self.metrics.record_audit_loss(AuditLoss::WriteFailed, 1);
        }
        if let Err(loss) = queue.push(&line) {
            self.metrics.record_audit_loss(loss, 1);
        }
    }

    /// Opens the file anew, for log rotation. Done by the writer between two lines; a failure keeps the old file and is logged.
    pub fn reopen(&self) {
        if let Some(queue) = &self.queue {
            queue.state().reopen = true;
            queue.wake.notify_one();
        }
    }

    /// How many lines were lost since the start.
    pub fn dropped(&self) -> u64 {
        self.metrics.audit_lost()
    }

    /// Waits until every line taken so far is written or lost. False when that took longer than `most`.
    pub fn flush(&self, most: Duration) -> bool {
        let Some(queue) = &self.queue else { return true };
        let state = queue.state();
        let target = state.accepted;
        !queue.wait(state, most, |state| state.settled < target && !state.ended)
    }

    /// Takes no more lines and waits until those taken are written. False when that took longer than `most`: the rest is lost.
    pub fn close(&self, most: Duration) -> bool {
        let Some(queue) = &self.queue else { return true };
        let mut state = queue.state();
        state.closing = true;
        queue.wake.notify_one();
        !queue.wait(state, most, |state| !state.ended)
    }
}

impl Drop for AuditSink {
    /// Lets the writer end by itself; [`close`](Self::close) waits for it.
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.state().closing = true;
            queue.wake.notify_one();
        }
    }
}

impl Queue {
    /// Nobody panics while holding the lock, and the state is whole between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) -> Result<(), AuditLoss> {
        let mut state = self.state();
        if state.closing {
            return Err(AuditLoss::Closed);
        }
        // SECURITY: memory for a destination that stands still is bounded: `a_destination_that_stands_still_slows_no_request`.
        if state.waiting.len() + line.len() > LONGEST_QUEUE {
            return Err(AuditLoss::QueueFull);
        }
        let idle = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        state.accepted += 1;
        drop(state);
        if idle {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for the writer while `pending`. True when it still is after `most`.
    fn wait(&self, state: MutexGuard<'_, State>, most: Duration, pending: impl Fn(&State) -> bool) -> bool {
        let (state, _) = self
            .progress
            .wait_timeout_while(state, most, |state| pending(state))
            .unwrap_or_else(PoisonError::into_inner);
        pending(&state)
    }

    /// Waits for work and takes all of it. `batch` is empty when it is handed in.
    fn take(&self, batch: &mut Vec<u8>) -> Orders {
        let state = self.state();
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closing && !state.reopen;
        let state = self.wake.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        let gathering = |state: &mut State| !state.closing && state.waiting.len() < LONGEST_QUEUE / 2;
        let (mut state, _) =
            self.wake.wait_timeout_while(state, LINGER, gathering).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.waiting, batch);
        Orders { reopen: std::mem::take(&mut state.reopen), closing: state.closing }
    }

    fn settle(&self, lines: u64, closing: bool) {
        let mut state = self.state();
        state.settled += lines;
        state.ended = closing;
        drop(state);
        self.progress.notify_all();
    }
}

struct Orders {
    reopen: bool,
    closing: bool,
}

enum Output {
    Stdout(io::Stdout),
    File(PathBuf, File),
}

impl Output {
    fn stream(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(stdout) => stdout,
            Self::File(_, file) => file,
        }
    }
}

/// Lives on its own thread.
struct Writer {
    output: Output,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    /// The last thing that was written is half a line.
    torn: bool,
    /// The last write failed: said once in the log, not per batch.
    failing: bool,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let orders = self.queue.take(&mut batch);
            if orders.reopen {
                self.reopen();
            }
            let lines = count_lines(&batch);
            self.write(&batch);
            batch.clear();
            batch.shrink_to(KEPT_CAPACITY);
            // Nothing is taken in any more once `closing` is set, so what was taken with it was the last.
            self.queue.settle(lines, orders.closing);
            if orders.closing {
                return;
            }
        }
    }

    fn reopen(&mut self) {
        let Output::File(path, file) = &mut self.output else { return };
        match append_to(path) {
            Ok(fresh) => {
                *file = fresh;
                self.torn = false;
            }
            Err(fault) => {
                tracing::error!(path = %path.display(), error = %fault, "the audit file cannot be opened anew, the old one stays");
            }
        }
    }

    fn write(&mut self, batch: &[u8]) {
        let stream = self.output.stream();
        if self.torn && stream.write_all(b"\n").is_ok() {
            self.torn = false;
        }
        let (written, fault) = if self.torn { (0, None) } else { write_counted(stream, batch) };
        let (done, lost) = batch.split_at_checked(written).unwrap_or((batch, &[]));
        if !lost.is_empty() {
            self.torn |= done.last().is_some_and(|&byte| byte != b'\n');
            self.metrics.record_audit_loss(AuditLoss::WriteFailed, count_lines(lost));
        }
        match (fault, self.failing) {
            (Some(fault), false) => tracing::error!(error = %fault, "audit lines cannot be written and are lost"),
            (None, true) if !done.is_empty() => tracing::warn!("audit lines can be written again"),
            (Some(_), true) | (None, _) => {}
        }
        self.failing = !lost.is_empty() || (self.failing && done.is_empty());
    }
}

/// Writes all, or tells how far it came.
fn write_counted(stream: &mut dyn Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return (written, Some(fault)),
        }
    }
    (written, stream.flush().err())
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).map(|_| 1).sum()
}

/// Opens for appending; a file that is not there yet is created for its owner alone.
fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
