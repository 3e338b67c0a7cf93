//! How many frames a HTTP/2 client may send that ask for nothing.
//!
//! PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown frames and DATA without data cost the gateway work and the client nothing; requests
//! that are reset at once cost even more. Both have a budget that refills with time; requests and answers refill the first one too, since
//! each of them is followed by such frames. Reads the clock only where a budget is used up.

use tokio::time::Instant;

use super::frames::{CONTINUATION, DATA, END_STREAM, HEADERS, PUSH_PROMISE, RST_STREAM};

/// Frames that a connection may send at once.
const BURST: u32 = 1000;

/// Frames that it may send each second after that.
const PER_SECOND: u32 = 100;

/// Frames that go with one request: its priority, its windows.
const PER_REQUEST: u32 = 3;

/// Frames that go with one DATA frame that was sent: the windows of stream and connection.
const PER_DATA: u32 = 2;

/// What is left of both budgets.
#[derive(Debug)]
pub(super) struct Budget {
    control: Bucket,
    resets: Bucket,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Budget {
        Budget { control: Bucket { left: BURST, since: now }, resets: Bucket { left: BURST, since: now } }
    }

    /// A frame has begun. False when it is one too many.
    pub(super) fn allows(&mut self, kind: u8, flags: u8, length: usize) -> bool {
        match kind {
            DATA if length > 0 || flags & END_STREAM != 0 => true,
            HEADERS => {
                self.control.earn(PER_REQUEST);
                true
            }
            // h2 counts the one and refuses the other.
            CONTINUATION | PUSH_PROMISE => true,
            // SECURITY: `rapid_reset_is_cut_also_where_each_stream_was_accepted`.
            RST_STREAM => self.resets.spend(Instant::now),
            // SECURITY: `a_ping_flood_is_cut`, `a_settings_flood_is_cut`, `an_empty_data_flood_is_cut`.
            _ => self.control.spend(Instant::now),
        }
    }

    /// So many DATA frames were sent.
    pub(super) fn sent(&mut self, frames: u32) {
        self.control.earn(frames.saturating_mul(PER_DATA));
    }
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    /// Until when time has been paid out.
    since: Instant,
}

impl Bucket {
    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(BURST);
    }

    fn spend(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            let now = now();
            let earned = now.duration_since(self.since).as_millis() * u128::from(PER_SECOND) / 1000;
            if earned == 0 {
                return false;
            }
            self.since = now;
            self.earn(u32::try_from(earned).unwrap_or(u32::MAX));
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: u8 = 6;

    fn sent(budget: &mut Budget, kind: u8) -> u32 {
        (0..1_000_000).take_while(|_| budget.allows(kind, 0, 8)).count() as u32
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends_with_the_burst_and_time_refills_it() {
        for kind in [2, RST_STREAM, 4, PING, 7, 8, 0xfe] {
            let mut budget = Budget::new(Instant::now());
            assert_eq!(sent(&mut budget, kind), BURST, "{kind}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(sent(&mut budget, kind), PER_SECOND, "{kind}");
            tokio::time::advance(Duration::from_secs(3600)).await;
            assert_eq!(sent(&mut budget, kind), BURST, "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_with_requests_and_answers_is_no_flood() {
        let mut budget = Budget::new(Instant::now());
        for _ in 0..100_000 {
            assert!(budget.allows(HEADERS, 4, 10));
            assert!((0..PER_REQUEST).all(|_| budget.allows(8, 0, 4)));
            budget.sent(1);
            assert!((0..PER_DATA).all(|_| budget.allows(8, 0, 4)));
            assert!(budget.allows(DATA, 0, 1) && budget.allows(DATA, END_STREAM, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_do_not_pay_for_their_resets() {
        let mut budget = Budget::new(Instant::now());
        let resets = (0..1_000_000).take_while(|_| budget.allows(HEADERS, 4, 10) && budget.allows(RST_STREAM, 0, 4));
        assert_eq!(resets.count() as u32, BURST);
    }
}
