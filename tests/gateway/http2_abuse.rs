//! What HTTP/2 lets a client ask for almost nothing. Each test is named after the attack; while it goes on others are served, and it
//! costs no memory that stays.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Frame, Frames, Gateway, House, PATIENCE, Upstream, block, eventually, frame};

const ROUTES: &str = "
- { id: open, path: '/open/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }";

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

/// More than an attack without large answers may leave behind.
const MEMORY_KIB: u64 = 48 * 1024;

fn gateway(upstream: &Upstream) -> Gateway {
    House::new(upstream, ROUTES)
        .set("/limits/header_timeout", json!("1s"))
        .set("/limits/body_stall", json!("1s"))
        .set("/limits/write_stall", json!("1s"))
        .set("/limits/keepalive", json!("3s"))
        .start()
}

/// Attacks, while another connection asks and is answered; in the end the memory is as it was.
fn attacked<T: Send>(gateway: &Gateway, attack: impl FnOnce() -> T + Send) -> T {
    attacked_within(gateway, MEMORY_KIB, attack)
}

/// The same, with so much memory.
fn attacked_within<T: Send>(gateway: &Gateway, most: u64, attack: impl FnOnce() -> T + Send) -> T {
    gateway.get_anonymously("/open/warm");
    let before = gateway.resident();
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let out = thread::scope(|scope| {
        let attacking = scope.spawn(|| {
            let out = attack();
            over.store(true, SeqCst);
            out
        });
        while !over.load(SeqCst) && !attacking.is_finished() {
            assert_eq!(gateway.get_anonymously("/open/other").status, 200);
            served.fetch_add(1, SeqCst);
        }
        attacking.join().unwrap()
    });
    assert!(served.load(SeqCst) > 0);
    // What has just ended may take a moment to be given back.
    eventually(&format!("memory below {most} KiB and {before} KiB"), || {
        (gateway.resident() < before + most).then_some(())
    });
    out
}

fn id(at: usize) -> u32 {
    u32::try_from(at).unwrap() * 2 + 1
}

fn get(at: usize, path: &str) -> Vec<u8> {
    frame(1, END_STREAM | END_HEADERS, id(at), &block("GET", path, &[]))
}

fn cut(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metric("cogward_connections_cut_total", &[&format!("cause=\"{cause}\"")])
}

fn said_goodbye(frames: &[Frame]) -> bool {
    frames.iter().any(|frame| frame.kind == GOAWAY && frame.payload.get(4..8) != Some(&[0; 4]))
}

fn flood(name: &str, make: impl Fn(usize) -> Vec<u8> + Send + Sync) {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream);
    let (sent, _) = attacked(&gateway, || {
        let frames = Frames::connect(gateway.listener, &[]);
        // A hundred at a time.
        frames.flood(10_000, |at| (0..100).flat_map(|more| make(at * 100 + more)).collect())
    });
    eventually(name, || (cut(&gateway, "flooded") + cut(&gateway, "http2_error") >= 1.0).then_some(()));
    println!("{name}: the connection ended after {} frames", sent * 100);
}

#[test]
fn a_ping_flood_is_cut() {
    flood("PING", |_| frame(6, 0, 0, b"pingpong"));
}

#[test]
fn a_flood_of_unasked_ping_answers_is_cut() {
    flood("PING ACK", |_| frame(6, 1, 0, b"pingpong"));
}

#[test]
fn a_settings_flood_is_cut() {
    flood("SETTINGS", |_| frame(4, 0, 0, b""));
}

#[test]
fn an_empty_data_flood_is_cut() {
    flood("empty DATA", |at| match at {
        0 => frame(1, END_HEADERS, 1, &block("POST", "/open/a", &[])),
        _ => frame(0, 0, 1, b""),
    });
}

#[test]
fn a_padded_data_flood_is_cut() {
    flood("DATA of padding", |at| match at {
        0 => frame(1, END_HEADERS, 1, &block("POST", "/open/a", &[])),
        _ => frame(0, 8, 1, b"\x01\0"),
    });
}

#[test]
fn a_priority_flood_is_cut() {
    flood("PRIORITY", |_| frame(2, 0, 1, &[0, 0, 0, 0, 7]));
}

#[test]
fn a_window_update_flood_is_cut() {
    flood("WINDOW_UPDATE", |_| frame(8, 0, 0, &[0, 0, 0, 1]));
}

#[test]
fn a_flood_of_unknown_frames_is_cut() {
    flood("unknown", |_| frame(0xfe, 0, 0, b"?"));
}

#[test]
fn rapid_reset_is_cut() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream);
    let (sent, frames) = attacked(&gateway, || {
        let frames = Frames::connect(gateway.listener, &[]);
        frames.flood(1_000, |at| {
            let pair =
                |more| [get(at * 100 + more, "/open/a"), frame(RST_STREAM, 0, id(at * 100 + more), &[0, 0, 0, 8])];
            (0..100).flat_map(pair).flatten().collect()
        })
    });
    assert!(said_goodbye(&frames) || cut(&gateway, "flooded") == 1.0, "{frames:?}");
    println!("rapid reset: the connection ended after at most {} requests", (sent + 1) * 100);
}

#[test]
fn rapid_reset_is_cut_also_where_each_stream_was_accepted() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream);
    let streams = attacked(&gateway, || {
        let mut frames = Frames::connect(gateway.listener, &[]);
        let mut streams = 0;
        // Room for all answers.
        assert!(frames.try_send(&frame(8, 0, 0, &[0x7f, 0, 0, 0])));
        // Answered, so surely accepted, and only then reset.
        while frames.try_send(&get(streams, "/nowhere")) {
            let answered = std::iter::from_fn(|| frames.next())
                .any(|frame| frame.stream == id(streams) && frame.flags & END_STREAM != 0);
            if !answered || !frames.try_send(&frame(RST_STREAM, 0, id(streams), &[0, 0, 0, 8])) {
                break;
            }
            streams += 1;
            assert!(streams < 9_000, "below the limit of requests on one connection");
        }
        streams
    });
    eventually("account", || (cut(&gateway, "flooded") == 1.0).then_some(()));
    println!("rapid reset of answered streams: the connection ended after {streams}");
}

#[test]
fn made_you_reset_is_cut() {
    for (name, fault) in [
        ("WINDOW_UPDATE of 0", frame(8, 0, 0, &[0; 4])),
        ("a window that overflows", frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("DATA behind the end", frame(0, 0, 0, b"more")),
        ("PRIORITY of a wrong length", frame(2, 0, 0, &[0; 4])),
    ] {
        let upstream = Upstream::start();
        let gateway = gateway(&upstream);
        let (sent, frames) = attacked(&gateway, || {
            Frames::connect(gateway.listener, &[]).flood(20_000, |at| {
                let mut fault = fault.clone();
                fault[5..9].copy_from_slice(&id(at).to_be_bytes());
                [get(at, "/open/a"), fault].concat()
            })
        });
        eventually(name, || (cut(&gateway, "stream_refused") + cut(&gateway, "http2_error") >= 1.0).then_some(()));
        let resets = frames.iter().filter(|frame| frame.kind == RST_STREAM).count();
        println!("MadeYouReset by {name}: the connection ended after {sent} requests and {resets} resets");
    }
}

#[test]
fn a_continuation_flood_is_cut() {
    for payload in [&b""[..], b"\0\x01a\x01b", &[0; 16_000]] {
        let upstream = Upstream::start();
        let gateway = gateway(&upstream);
        attacked(&gateway, || {
            Frames::connect(gateway.listener, &[]).flood(100_000, |at| match at {
                0 => frame(1, END_STREAM, 1, &block("GET", "/open/a", &[])),
                _ => frame(9, 0, 1, payload),
            })
        });
        eventually("account", || (cut(&gateway, "http2_error") >= 1.0).then_some(()));
    }
}

/// A field that goes into the table of the decoder, and then so many times by its index.
fn bomb(times: usize) -> Vec<u8> {
    let mut block = block("GET", "/open/a", &[]);
    block.extend(b"\x40\x06x-bomb\x7f\x81\x17");
    block.extend([b'a'; 3072]);
    block.extend(vec![0xbe; times]);
    block
}

#[test]
fn an_hpack_bomb_is_refused() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream);
    for times in [20, 10_000] {
        let frames = attacked(&gateway, || {
            let mut frames = Frames::connect(gateway.listener, &[]);
            for at in 0..50 {
                if !frames.try_send(&frame(1, END_STREAM | END_HEADERS, id(at), &bomb(times))) {
                    break;
                }
            }
            frames.until_closed()
        });
        assert!(frames.iter().any(|frame| [1, RST_STREAM, GOAWAY].contains(&frame.kind)), "{frames:?}");
    }
    assert!(upstream.take().iter().all(|seen| !seen.has("x-bomb")), "no bomb arrives");
}

#[test]
fn many_tiny_fields_are_refused() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream);
    // Within the bytes of a head but beyond its fields; beyond both; beyond one frame.
    for count in [300, 3_000] {
        let frames = attacked(&gateway, || {
            let mut frames = Frames::connect(gateway.listener, &[]);
            let head = block("GET", "/open/a", &vec![("a", ""); count]);
            assert!(frames.try_send(&frame(1, END_STREAM | END_HEADERS, 1, &head)));
            frames.until_closed()
        });
        assert!(frames.iter().any(|frame| frame.stream == 1), "{count}: {frames:?}");
    }
    assert_eq!(
        gateway.metric("cogward_decisions_total", &["reason=\"headers_too_large\""]),
        1.0,
        "told by the gateway"
    );
    assert_eq!(cut(&gateway, "stream_refused"), 1.0, "told by h2");
    let seen = upstream.take();
    assert!(seen.iter().all(|seen| !seen.has("a")), "{seen:?}");
}

/// A part of a large answer.
static BLOCK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

#[test]
fn a_hundred_streams_without_a_window_are_reset() {
    let upstream = Upstream::with(|request, stream| {
        use std::io::Write;
        // What the other connection is given must not be cut where this machine is slow to read it.
        let blocks = if request.target() == "/open/big" { 64 } else { 1 };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", blocks * BLOCK.len());
        stream.write_all(head.as_bytes()).is_ok() && (0..blocks).all(|_| stream.write_all(&BLOCK).is_ok())
    });
    let gateway = gateway(&upstream);
    let began = Instant::now();
    // The answers have 400 MiB in all. What is held of each has a limit, and the allocator does not give all of it back.
    let all = attacked_within(&gateway, 100 * 1024, || {
        let mut frames = Frames::connect(gateway.listener, &[(4, 0)]);
        for at in 0..100 {
            assert!(frames.try_send(&get(at, "/open/big")));
        }
        frames.until_closed()
    });
    let reset: BTreeSet<_> = all.iter().filter(|frame| frame.kind == RST_STREAM).map(|frame| frame.stream).collect();
    assert_eq!(reset, (0..100).map(id).collect(), "{all:?}");
    println!("100 streams at window 0: all reset and closed after {:?}", began.elapsed());
}

#[test]
fn a_window_that_drips_does_not_hold_a_stream() {
    let upstream = Upstream::with(|_, stream| {
        use std::io::Write;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n").is_ok()
            && stream.write_all(&[b'x'; 60_000]).is_ok()
    });
    let gateway = gateway(&upstream);
    attacked(&gateway, || {
        let mut frames = Frames::connect(gateway.listener, &[(4, 1)]);
        assert!(frames.try_send(&get(0, "/open/big")));
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "the stream goes on");
            match frames.next() {
                Some(frame) if frame.kind == RST_STREAM => break,
                // One byte more, but not at once.
                Some(data) if data.kind == 0 => {
                    thread::sleep(Duration::from_millis(20));
                    frames.try_send(&frame(8, 0, 1, &[0, 0, 0, 1]));
                }
                Some(_) => {}
                None => break,
            }
        }
    });
}

#[test]
fn a_body_that_never_comes_resets_its_stream() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream);
    let reset = attacked(&gateway, || {
        let mut frames = Frames::connect(gateway.listener, &[]);
        for at in 0..50 {
            let head = block("POST", "/open/a", &[("content-length", "100")]);
            assert!(frames.try_send(&frame(1, END_HEADERS, id(at), &head)));
        }
        frames.until_closed().iter().filter(|frame| frame.kind == RST_STREAM).count()
    });
    assert_eq!((reset, cut(&gateway, "body_stalled")), (50, 50.0));
}

#[test]
fn half_a_preface_and_frames_that_drip_are_closed() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream);
    attacked(&gateway, || {
        for begun in
            [&b"PRI * HTTP/2.0\r\n\r\nSM"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x10\x01"]
        {
            let mut frames = Frames::silent(gateway.listener);
            frames.try_send(begun);
            let mut closed = false;
            for _ in 0..200 {
                thread::sleep(Duration::from_millis(50));
                if !frames.try_send(b"\0") {
                    closed = true;
                    break;
                }
            }
            assert!(closed, "{}", begun.escape_ascii());
        }
    });
    assert_eq!(cut(&gateway, "frame_stalled"), 1.0);
}

#[test]
fn more_streams_than_the_limit_are_refused() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/limits/streams", json!(2))
        .set("/limits/body_stall", json!("1s"))
        .set("/limits/keepalive", json!("1s"))
        .start();
    let mut frames = Frames::connect(gateway.listener, &[]);
    for at in 0..3 {
        assert!(frames.try_send(&frame(1, END_HEADERS, id(at), &block("POST", "/open/a", &[]))));
    }
    let all = frames.until_closed();
    let settings = all.iter().find(|frame| frame.kind == 4 && frame.flags == 0).unwrap();
    assert!(settings.payload.chunks(6).any(|one| one == [0, 3, 0, 0, 0, 2]), "{settings:?}");
    let refused = all.iter().find(|frame| frame.kind == RST_STREAM && frame.payload == [0, 0, 0, 7]).unwrap();
    assert_eq!(refused.stream, id(2));
    assert_eq!(cut(&gateway, "stream_refused"), 1.0);
}
