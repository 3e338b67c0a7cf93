//! Whether a connection stands between two frames, and what they are.
//!
//! Three trackers that follow frame headers: HTTP/2 as it is read (a client must finish what it has begun, and not send too many frames
//! that ask for nothing), HTTP/2 as it is written (what h2 refused by itself), WebSocket as it passes (a Close frame must not land
//! inside another frame). None judges what the frames say: h2 and the endpoints do.

use tokio::time::Instant;

use super::budget::Budget;

/// The connection preface of HTTP/2.
pub(in crate::edge) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types and flags of frames (RFC 9113 section 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// An answer of the gateway has a request id, and is longer; h2's own 431 for a list of fields that is too large is a status alone.
const STATUS_ALONE: usize = 8;

/// HTTP/2, client to server.
#[derive(Debug)]
pub(super) struct Http2Frames {
    preface: usize,
    head: FrameHead<9>,
    left: usize,
    data: bool,
    block: bool,
    budget: Budget,
}

/// What a read did to the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// At some moment nothing was unfinished.
    Rested,
    /// What was unfinished still is.
    Unfinished,
    /// There were too many that ask for nothing.
    Flooded,
}

impl Http2Frames {
    /// At the start of a connection.
    pub(super) fn new() -> Http2Frames {
        Http2Frames {
            preface: 0,
            head: FrameHead::default(),
            left: 0,
            data: false,
            block: false,
            budget: Budget::new(Instant::now()),
        }
    }

    /// So many DATA frames were sent to the client.
    pub(super) fn sent_data(&mut self, frames: u32) {
        self.budget.sent(frames);
    }

    /// Follows these bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Progress {
        let mut progress = Progress::Unfinished;
        while !bytes.is_empty() {
            let skip = if self.preface < PREFACE.len() {
                let skip = (PREFACE.len() - self.preface).min(bytes.len());
                self.preface += skip;
                skip
            } else if self.left > 0 {
                let skip = self.left.min(bytes.len());
                self.left -= skip;
                skip
            } else {
                let (taken, head) = self.head.take(bytes);
                if let Some([a, b, c, kind, flags, ..]) = head {
                    self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                    self.data = kind == DATA;
                    if kind == HEADERS || kind == CONTINUATION {
                        self.block = flags & END_HEADERS == 0;
                    }
                    if !self.budget.allows(kind, flags, self.left) {
                        return Progress::Flooded;
                    }
                }
                taken
            };
            bytes = bytes.get(skip..).unwrap_or_default();
            if !self.is_unfinished() {
                progress = Progress::Rested;
            }
        }
        progress
    }

    /// Whether the preface, a frame or a header block was begun and not finished.
    pub(super) fn is_unfinished(&self) -> bool {
        self.preface < PREFACE.len() || self.head.filled > 0 || self.left > 0 || self.block
    }

    /// Whether what is unfinished is the payload of a DATA frame.
    pub(super) fn is_in_data(&self) -> bool {
        self.left > 0 && self.data
    }
}

/// HTTP/2, server to client.
#[derive(Debug, Default)]
pub(super) struct Http2Answers {
    head: FrameHead<9>,
    kind: u8,
    left: usize,
    /// The first bytes of a payload, and how many.
    payload: (u64, usize),
    seen: Sent,
}

/// What was sent since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// DATA frames that are not empty.
    pub(super) data: u32,
    /// Streams that were refused for what the client did.
    pub(super) refusals: u32,
    /// The connection was ended for what the client did.
    pub(super) goodbyes: u32,
}

impl Http2Answers {
    /// Follows these bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (taken, head) = self.head.take(bytes);
                bytes = bytes.get(taken..).unwrap_or_default();
                let Some([a, b, c, kind, flags, ..]) = head else { continue };
                self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.kind = kind;
                self.payload = (0, 0);
                let is_refusal = kind == HEADERS && flags & END_STREAM != 0 && self.left <= STATUS_ALONE;
                self.seen.refusals += u32::from(is_refusal);
                self.seen.data += u32::from(kind == DATA && self.left > 0);
                continue;
            }
            let (payload, rest) = bytes.split_at_checked(self.left).unwrap_or((bytes, &[]));
            bytes = rest;
            self.left -= payload.len();
            if self.kind == RST_STREAM || self.kind == GOAWAY {
                self.read_code(payload);
            }
        }
    }

    /// The code stands in the first four bytes of a reset, and in the next four of a goodbye.
    fn read_code(&mut self, payload: &[u8]) {
        let at = if self.kind == RST_STREAM { 4 } else { 8 };
        for byte in payload {
            let (first, count) = self.payload;
            if count < at {
                self.payload = (first << 8 | u64::from(*byte), count + 1);
                if count + 1 == at
                    && is_for_the_client(u32::try_from(first & 0xff_ffff).unwrap_or(0) << 8 | u32::from(*byte))
                {
                    self.seen.refusals += u32::from(self.kind == RST_STREAM);
                    self.seen.goodbyes += u32::from(self.kind == GOAWAY);
                }
            }
        }
    }

    /// What was sent since the last time.
    pub(super) fn take(&mut self) -> Sent {
        std::mem::take(&mut self.seen)
    }

    /// Whether a frame of our own may be written now.
    pub(super) fn is_between(&self) -> bool {
        self.head.filled == 0 && self.left == 0
    }
}

/// Whether this error code tells a client that it did wrong: not that all is well, that the gateway failed, or that it cut a stream.
fn is_for_the_client(code: u32) -> bool {
    !matches!(code, 0 | 2 | 8)
}

/// WebSocket, in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WebSocketFrames {
    in_frames: bool,
    tail: u32,
    head: FrameHead<10>,
    left: u64,
    closing: bool,
}

/// The opcode of a Close frame.
const CLOSE: u8 = 8;

impl WebSocketFrames {
    /// Server to client: the frames stand behind the head of the 101.
    pub(super) fn of_server() -> Self {
        Self::default()
    }

    /// Client to server: nothing stands before the frames.
    pub(super) fn of_client() -> Self {
        Self { in_frames: true, ..Self::default() }
    }

    /// Follows these bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = bytes.get(self.step(bytes)..).unwrap_or_default();
        }
    }

    /// How many of these bytes belong to the frame that was begun; all, where it ends behind them.
    pub(super) fn to_boundary(mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(rest @ [_, ..]) = bytes.get(taken..)
            && !self.is_between()
        {
            taken += self.step(rest);
        }
        taken
    }

    /// Follows at least one byte, and at most to the end of a frame; tells how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let Some(first) = bytes.first() else { return 0 };
        if !self.in_frames {
            self.tail = self.tail << 8 | u32::from(*first);
            self.in_frames = self.tail == u32::from_be_bytes(*b"\r\n\r\n");
            return 1;
        }
        if self.left > 0 {
            let skip = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= skip as u64;
            return skip;
        }
        self.head.push(*first);
        if let Some(length) = self.payload() {
            let [kind, mask, ..] = self.head.bytes;
            self.closing |= kind & 0x0f == CLOSE;
            // The masking key stands before the payload.
            self.left = length.saturating_add(if mask & 0x80 == 0 { 0 } else { 4 });
            self.head.filled = 0;
        }
        1
    }

    /// The payload length, once the frame head is whole.
    fn payload(&self) -> Option<u64> {
        let [_, length, rest @ ..] = self.head.bytes;
        let [a, b, c, d, e, f, g, h] = rest;
        match (length & 0x7f, self.head.filled) {
            (126, 4) => Some(u64::from(u16::from_be_bytes([a, b]))),
            (127, 10) => Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            (short @ ..126, 2) => Some(u64::from(short)),
            _ => None,
        }
    }

    /// Whether a frame of our own may be written now.
    pub(super) fn is_between(&self) -> bool {
        self.in_frames && self.head.filled == 0 && self.left == 0
    }

    /// Whether a Close frame has begun: nothing may be said behind it.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }
}

/// The first bytes of a frame, as they come.
#[derive(Clone, Copy, Debug)]
struct FrameHead<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl<const N: usize> Default for FrameHead<N> {
    fn default() -> Self {
        FrameHead { bytes: [0; N], filled: 0 }
    }
}

impl<const N: usize> FrameHead<N> {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.filled) {
            *slot = byte;
            self.filled += 1;
        }
    }

    /// How many bytes were taken, and the head once it is whole.
    fn take(&mut self, bytes: &[u8]) -> (usize, Option<[u8; N]>) {
        let taken = (N - self.filled).min(bytes.len());
        bytes.iter().take(taken).for_each(|byte| self.push(*byte));
        if self.filled < N {
            return (taken, None);
        }
        self.filled = 0;
        (taken, Some(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn a_whole_preface_and_whole_frames_are_finished() {
        let wire = [PREFACE, &frame(4, 0, b""), &frame(HEADERS, END_HEADERS, b"abc"), &frame(0, 0, b"data")].concat();
        for piece in [1, 5, 9, wire.len()] {
            let mut frames = Http2Frames::new();
            assert!(frames.is_unfinished());
            wire.chunks(piece).for_each(|part| {
                frames.follow(part);
            });
            assert!(!frames.is_unfinished(), "in pieces of {piece}");
        }
    }

    #[test]
    fn half_a_preface_a_frame_or_a_header_block_is_unfinished() {
        for begun in [&frame(0, 0, b"data")[..5], &frame(0, 0, b"data")[..11], &frame(HEADERS, 0, b"abc")] {
            let mut frames = Http2Frames::new();
            frames.follow(&PREFACE[..20]);
            assert!(frames.is_unfinished());
            assert_eq!(frames.follow(&PREFACE[20..]), Progress::Rested);
            assert_eq!(frames.follow(begun), Progress::Unfinished);
            assert!(frames.is_unfinished());
        }
    }

    #[test]
    fn a_read_that_ends_one_frame_and_begins_another_has_rested() {
        let mut frames = Http2Frames::new();
        frames.follow(PREFACE);
        let wire = [frame(0, 0, b"data"), frame(0, 0, b"more")].concat();
        assert_eq!(frames.follow(&wire[..11]), Progress::Unfinished);
        assert!(frames.is_in_data());
        assert_eq!(frames.follow(&wire[11..20]), Progress::Rested);
        assert!(frames.is_unfinished());
    }

    #[test]
    fn what_h2_refused_is_read_from_what_it_wrote() {
        let goodbye = |code: u8| frame(GOAWAY, 0, &[0, 0, 0, 1, 0, 0, 0, code, b'w', b'h', b'y']);
        let wire = [
            frame(4, 0, b""),
            frame(RST_STREAM, 0, &[0, 0, 0, 8]),
            frame(RST_STREAM, 0, &[0, 0, 0, 1]),
            frame(RST_STREAM, 0, &[0, 0, 0, 7]),
            frame(0, 0, b"\0\0\0\x0b"),
            frame(0, 1, b""),
            frame(HEADERS, END_HEADERS | END_STREAM, b"H\x83i\x90\xff"),
            frame(HEADERS, END_HEADERS, b"\x88"),
            frame(HEADERS, END_HEADERS | END_STREAM, &[b'x'; 30]),
            goodbye(0),
            goodbye(11),
        ]
        .concat();
        for piece in [1, 3, 9, wire.len()] {
            let mut answers = Http2Answers::default();
            wire.chunks(piece).for_each(|part| answers.follow(part));
            assert_eq!(answers.take(), Sent { data: 1, refusals: 3, goodbyes: 1 }, "in pieces of {piece}");
            assert!(answers.is_between() && answers.take() == Sent::default());
        }
    }

    #[test]
    fn a_close_frame_may_stand_between_frames_only() {
        let long = [&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        let huge = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65_536]].concat();
        for message in [&[0x81, 2, b'h', b'i'][..], &long, &huge] {
            let mut frames = WebSocketFrames::of_server();
            frames.follow(b"HTTP/1.1 101 Switching Protocols\r\n\r");
            assert!(!frames.is_between());
            frames.follow(b"\n");
            assert!(frames.is_between());
            let (first, last) = message.split_at(message.len() - 1);
            frames.follow(first);
            assert!(!frames.is_between());
            frames.follow(last);
            assert!(frames.is_between());
        }
    }

    #[test]
    fn a_masked_frame_ends_behind_its_payload() {
        for message in [&b"\x81\x82KEY!hi"[..], &[&[0x82, 0xfe, 1, 0][..], b"KEY!", &[7; 256]].concat()] {
            let mut frames = WebSocketFrames::of_client();
            assert!(frames.is_between());
            frames.follow(&message[..message.len() - 1]);
            assert!(!frames.is_between());
            frames.follow(&message[message.len() - 1..]);
            assert!(frames.is_between() && !frames.is_closing());
            frames.follow(b"\x88\x80KEY!");
            assert!(frames.is_between() && frames.is_closing());
        }
    }

    #[test]
    fn the_rest_of_a_frame_is_told_from_what_follows() {
        let mut frames = WebSocketFrames::of_server();
        frames.follow(b"\r\n\r\n\x81\x05he");
        assert_eq!(frames.to_boundary(b"l"), 1);
        assert_eq!(frames.to_boundary(b"llo\x81\x01!"), 3);
        frames.follow(b"llo");
        assert_eq!(frames.to_boundary(b"\x81\x01!"), 0);
    }
}
