//! Where audit lines go.
//!
//! A request renders its line and hands it to the [`Spool`]; it never waits for the destination.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use serde::Serialize;
use thiserror::Error;

use crate::{
    config::AuditDestination,
    telemetry::{
        json,
        metrics::Metrics,
        spool::{Loss, Output, Plan, Spool},
    },
};

use super::{AuditRecord, CheckRecord};

/// Bytes that may wait while the writer holds as many again.
const LONGEST_QUEUE: usize = 8 << 20;

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
    spool: Option<Spool>,
    pub(super) metrics: Arc<Metrics>,
}

impl AuditSink {
    /// Opens the destination and starts the writer.
    pub fn open(destination: &AuditDestination, metrics: Arc<Metrics>) -> Result<Self, AuditError> {
        let output = match destination {
            AuditDestination::Off => return Ok(Self { spool: None, metrics }),
            AuditDestination::Stdout => Output::Stdout(io::stdout()),
            AuditDestination::File(path) => {
                Output::append_to(path).map_err(|fault| AuditError::Open(path.clone(), fault))?
            }
        };
        let counted = metrics.clone();
        let plan = Plan {
            name: "audit",
            output,
            longest_queue: LONGEST_QUEUE,
            on_loss: Box::new(move |loss, lines| counted.record_audit_loss(loss, lines)),
            on_fault: Box::new(|fault| match fault {
                Some(fault) => tracing::error!(error = %fault, "audit lines cannot be written and are lost"),
                None => tracing::warn!("audit lines can be written again"),
            }),
        };
        let spool = Spool::start(plan).map_err(AuditError::Thread)?;
        Ok(Self { spool: Some(spool), metrics })
    }

    /// Takes one line. Returns at once: a line that finds no room is counted and dropped.
    pub fn record(&self, record: &AuditRecord<'_>) {
        self.write(record);
    }

    /// The same for a call of the check API.
    pub fn record_check(&self, record: &CheckRecord<'_>) {
        self.write(record);
    }

    fn write(&self, record: &impl Serialize) {
        let Some(spool) = &self.spool else { return };
        let mut line = Vec::with_capacity(512);
        if json::write_line(record, &mut line).is_err() {
            return self.metrics.record_audit_loss(Loss::WriteFailed, 1);
        }
        spool.push(&line);
    }

    /// Opens the file anew, for log rotation. Done by the writer between two lines; a failure keeps the old file and is logged.
    pub fn reopen(&self) {
        if let Some(spool) = &self.spool {
            spool.reopen();
        }
    }

    /// How many lines were lost since the start.
    pub fn dropped(&self) -> u64 {
        self.metrics.audit_lost()
    }

    /// Waits until every line taken so far is written or lost. False when that took longer than `most`.
    pub fn flush(&self, most: Duration) -> bool {
        self.spool.as_ref().is_none_or(|spool| spool.flush(most))
    }

    /// Takes no more lines and waits until those taken are written. False when that took longer than `most`: the rest is lost.
    pub fn close(&self, most: Duration) -> bool {
        self.spool.as_ref().is_none_or(|spool| spool.close(most))
    }
}
