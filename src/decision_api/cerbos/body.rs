//! The bytes of a question: bounded one by one, and all together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use ::http::header;
use pingora::protocols::http::ServerSession;

use super::fault::{Code, Fault};
use crate::edge::Exchange;

/// Bytes that all questions together may have while they are read and decided.
const MOST_HELD: usize = 64 << 20;

/// The memory for questions. One per process.
#[derive(Debug, Default)]
pub struct Budget {
    held: AtomicUsize,
}

impl Budget {
    fn take(&self, bytes: usize) -> bool {
        let taken =
            self.held.fetch_update(Relaxed, Relaxed, |held| held.checked_add(bytes).filter(|held| *held <= MOST_HELD));
        taken.is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
    }
}

/// A question that was read; its memory is given back when it is dropped.
pub(super) struct Body {
    bytes: Vec<u8>,
    budget: Arc<Budget>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes.len());
    }
}

impl Body {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads at most so many bytes.
    pub(super) async fn read(
        session: &mut ServerSession,
        exchange: &Exchange,
        most: usize,
        budget: &Arc<Budget>,
    ) -> Result<Self, Fault> {
        let announced =
            session.get_header(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if let Some(length) = announced.filter(|length| *length > most) {
            return Err(too_large(length, most));
        }
        if session.get_header(header::EXPECT).is_some() && !session.is_http2() {
            session.set_close_on_response_before_downstream_finish(false);
            session.write_continue_response().await.map_err(|_| broken(exchange))?;
        }
        let mut body = Self { bytes: Vec::new(), budget: Arc::clone(budget) };
        exchange.body_awaited();
        while let Some(part) = session.read_request_body().await.map_err(|_| broken(exchange))? {
            exchange.body_progress(part.len());
            body.add(&part, most)?;
        }
        exchange.body_complete();
        Ok(body)
    }

    fn add(&mut self, part: &[u8], most: usize) -> Result<(), Fault> {
        // SECURITY: `a_question_over_the_limit_is_refused`.
        let length = self.bytes.len() + part.len();
        if length > most {
            return Err(too_large(length, most));
        }
        // SECURITY: many large questions at once are as much as one that has no end: `questions_together_hold_bounded_memory`.
        if !self.budget.take(part.len()) {
            return Err(Fault::new(Code::Unavailable, "there are too many large requests at once"));
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }
}

fn too_large(length: usize, most: usize) -> Fault {
    Fault::new(Code::ResourceExhausted, format!("received message larger than max ({length} vs. {most})"))
}

fn broken(exchange: &Exchange) -> Fault {
    if exchange.cut().is_some() {
        return Fault::new(Code::DeadlineExceeded, "the request did not arrive in time");
    }
    Fault::invalid("unexpected EOF")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_together_hold_bounded_memory() {
        let budget = Arc::new(Budget::default());
        let part = vec![0; 4 << 20];
        let read = || {
            let mut body = Body { bytes: Vec::new(), budget: Arc::clone(&budget) };
            body.add(&part, 4 << 20).map(|()| body)
        };
        let held: Vec<_> = (0..16).map(|_| read().unwrap()).collect();
        assert_eq!(read().err().unwrap().code, Code::Unavailable);
        drop(held);
        assert!(read().is_ok());
        assert_eq!(budget.held.load(Relaxed), 0);
    }

    #[test]
    fn a_question_over_the_limit_is_refused() {
        let mut body = Body { bytes: Vec::new(), budget: Arc::default() };
        body.add(&[0; 6], 10).unwrap();
        assert_eq!(body.add(&[0; 5], 10).unwrap_err().code, Code::ResourceExhausted);
    }
}
