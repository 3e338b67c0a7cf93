//! The way out for lines: a bounded buffer and one writer thread.
//!
//! Whoever has a line appends it to the buffer and never waits for the destination. The writer takes all that is there at once, so that a
//! busy gateway makes few system calls and an idle one makes none. Invariant: a line is written whole, or counted as lost.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long the writer lets lines gather once there is one.
const LINGER: Duration = Duration::from_millis(2);

/// A buffer that grew past this in a burst is given back.
const KEPT_CAPACITY: usize = 1 << 20;

/// Why a line was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The destination is slower than the lines come.
    QueueFull,
    /// The destination refused it: a full disk, a closed pipe.
    WriteFailed,
    /// It came after the end.
    Closed,
}

impl Loss {
    /// Every way to lose a line.
    pub const ALL: [Self; 3] = [Self::QueueFull, Self::WriteFailed, Self::Closed];

    /// The word for it as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::WriteFailed => "write_failed",
            Self::Closed => "closed",
        }
    }
}

/// Hears of lost lines: why, and how many.
pub(super) type OnLoss = Box<dyn Fn(Loss, u64) + Send + Sync>;

/// Hears that the destination refuses lines, and that it takes them again.
pub(super) type OnFault = Box<dyn Fn(Option<&io::Error>) + Send + Sync>;

/// Where lines go, and who hears when they do not arrive.
pub(super) struct Plan {
    /// The name of the writer's thread.
    pub(super) name: &'static str,
    pub(super) output: Output,
    /// Bytes that may wait while the writer holds as many again.
    pub(super) longest_queue: usize,
    pub(super) on_loss: OnLoss,
    pub(super) on_fault: OnFault,
}

/// Takes lines. Shared by `Arc`.
pub(super) struct Spool {
    queue: Arc<Queue>,
}

struct Queue {
    longest: usize,
    on_loss: OnLoss,
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

impl fmt::Debug for Spool {
    // Not the lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").finish_non_exhaustive()
    }
}

impl Spool {
    /// Starts the writer.
    pub(super) fn start(plan: Plan) -> io::Result<Self> {
        let Plan { name, output, longest_queue, on_loss, on_fault } = plan;
        let queue = Arc::new(Queue {
            longest: longest_queue,
            on_loss,
            state: Mutex::default(),
            wake: Condvar::new(),
            progress: Condvar::new(),
        });
        let writer = Writer { output, queue: queue.clone(), on_fault, torn: false, failing: false };
        std::thread::Builder::new().name(name.into()).spawn(move || writer.run())?;
        Ok(Self { queue })
    }

    /// Takes one line, with its line feed. Returns at once: a line that finds no room is counted and dropped.
    pub(super) fn push(&self, line: &[u8]) {
        if let Err(loss) = self.queue.push(line) {
            (self.queue.on_loss)(loss, 1);
        }
    }

    /// Opens the file anew, for log rotation. Done by the writer between two lines; a failure keeps the old file and is told.
    pub(super) fn reopen(&self) {
        self.queue.state().reopen = true;
        self.queue.wake.notify_one();
    }

    /// Waits until every line taken so far is written or lost. False when that took longer than `most`.
    pub(super) fn flush(&self, most: Duration) -> bool {
        let state = self.queue.state();
        let target = state.accepted;
        !self.queue.wait(state, most, |state| state.settled < target && !state.ended)
    }

    /// Takes no more lines and waits until those taken are written. False when that took longer than `most`: the rest is lost.
    pub(super) fn close(&self, most: Duration) -> bool {
        let mut state = self.queue.state();
        state.closing = true;
        self.queue.wake.notify_one();
        !self.queue.wait(state, most, |state| !state.ended)
    }
}

impl Drop for Spool {
    /// Lets the writer end by itself; [`close`](Self::close) waits for it.
    fn drop(&mut self) {
        self.queue.state().closing = true;
        self.queue.wake.notify_one();
    }
}

impl Queue {
    /// Nobody panics while holding the lock, and the state is whole between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) -> Result<(), Loss> {
        let mut state = self.state();
        if state.closing {
            return Err(Loss::Closed);
        }
        // SECURITY: memory for a destination that stands still is bounded: `a_destination_that_stands_still_slows_no_request`.
        if state.waiting.len() + line.len() > self.longest {
            return Err(Loss::QueueFull);
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
        let gathering = |state: &mut State| !state.closing && state.waiting.len() < self.longest / 2;
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

/// A destination of lines.
pub(super) enum Output {
    Stdout(io::Stdout),
    Stderr(io::Stderr),
    File(PathBuf, File),
}

impl Output {
    /// A file that is appended to; one that is not there yet is created for its owner alone.
    pub(super) fn append_to(path: &Path) -> io::Result<Self> {
        append_to(path).map(|file| Self::File(path.to_owned(), file))
    }

    fn stream(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(stdout) => stdout,
            Self::Stderr(stderr) => stderr,
            Self::File(_, file) => file,
        }
    }
}

/// Lives on its own thread.
struct Writer {
    output: Output,
    queue: Arc<Queue>,
    on_fault: OnFault,
    /// The last thing that was written is half a line.
    torn: bool,
    /// The last write failed: told once, not per batch.
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
                tracing::error!(path = %path.display(), error = %fault, "a file of lines cannot be opened anew, the old one stays");
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
            (self.queue.on_loss)(Loss::WriteFailed, count_lines(lost));
        }
        match (fault, self.failing) {
            (Some(fault), false) => (self.on_fault)(Some(&fault)),
            (None, true) if !done.is_empty() => (self.on_fault)(None),
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
