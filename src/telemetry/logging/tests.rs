use std::sync::Arc;

use serde_json::Value;
use tracing::{Dispatch, dispatcher::with_default};

use super::*;

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1LTEifQ.c2lnbmF0dXJl";

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written while `act` runs.
fn logged(verbosity: Verbosity, act: impl FnOnce()) -> String {
    let captured = Captured::default();
    with_default(&Dispatch::new(subscriber(verbosity, captured.clone())), act);
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// As the bridge hands a record of the `log` crate on.
fn through_log(target: &str, level: log::Level, message: &str) {
    log::Log::log(
        &LogTracer::new(),
        &log::Record::builder().target(target).level(level).args(format_args!("{message}")).build(),
    );
}

#[test]
fn an_event_is_one_object_with_time_level_target_message_and_fields() {
    let text = logged(Verbosity::Info, || {
        tracing::info!(target: "cogward::reload", generation = 3_u64, files = ?["a"], applied = true, "policies applied");
    });
    let [line] = &lines(&text)[..] else { panic!("{text}") };
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{text}");
    assert!(text.starts_with("{\"time\":\"2"), "{text}");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], "cogward::reload");
    assert_eq!(line["message"], "policies applied");
    assert_eq!(line["fields"], serde_json::json!({ "generation": 3, "files": "[\"a\"]", "applied": true }));
}

#[test]
fn no_token_survives_in_any_field_at_any_level() {
    let fault = io::Error::other(format!("upstream said {TOKEN}"));
    let text = logged(Verbosity::Trace, || {
        tracing::error!(target: "cogward", "message with {TOKEN}");
        tracing::warn!(target: "cogward", field = TOKEN, "a string");
        tracing::info!(target: "cogward", field = ?vec![("authorization", TOKEN)], "a debug value");
        tracing::debug!(target: "cogward", field = %format!("Bearer {TOKEN}"), "a display value");
        tracing::trace!(target: "cogward", error = &fault as &dyn std::error::Error, "an error");
        tracing::error!(target: "pingora_proxy", "{TOKEN}");
        through_log("pingora_proxy", log::Level::Error, &format!("header authorization: Bearer {TOKEN}"));
        through_log("notify", log::Level::Info, TOKEN);
    });
    assert_eq!(text.lines().count(), 8, "{text}");
    assert_eq!(text.matches("[redacted]").count(), 8, "{text}");
    assert!(!text.contains("eyJ") && !text.contains("c2lnbmF0dXJl"), "{text}");
}

#[test]
fn a_field_that_is_named_like_a_credential_is_never_shown() {
    let text = logged(Verbosity::Trace, || {
        tracing::info!(target: "cogward", Authorization = "Basic dTpw", cookie = "s=1", token = 5_u64, "fields");
    });
    for secret in ["dTpw", "s=1", "\"token\":5"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(text.matches("[redacted]").count(), 3, "{text}");
}

#[test]
fn no_level_makes_a_library_print_a_request() {
    let text = logged(Verbosity::Trace, || {
        for target in ["pingora_core::protocols::http::v1::server", "pingora_core::apps::http_app"] {
            for level in [log::Level::Warn, log::Level::Info, log::Level::Debug, log::Level::Trace] {
                through_log(target, level, "Cookie: session=secret");
            }
        }
        for target in ["pingora_proxy", "pingora_proxy::proxy_h1", "h2::codec", "rustls::conn", "hyper::proto", "http"]
        {
            for level in [log::Level::Info, log::Level::Debug, log::Level::Trace] {
                through_log(target, level, "Cookie: session=secret");
            }
        }
        tracing::debug!(target: "h2::hpack", "Cookie: session=secret");
        tracing::info!(target: "h2::hpack", "Cookie: session=secret");
        through_log("mio::poll", log::Level::Debug, "Cookie: session=secret");
        through_log("cogwardly", log::Level::Debug, "Cookie: session=secret");
    });
    assert_eq!(text, "");
}

#[test]
fn the_raw_head_of_a_broken_request_and_the_query_of_a_summary_are_left_out() {
    let text = logged(Verbosity::Info, || {
        through_log(
            "pingora_core::apps::http_app",
            log::Level::Error,
            "HTTP server fails to read from downstream: InvalidHTTPHeader context: buf: GET / HTTP/1.1\\r\\nCookie: session=secret cause: x",
        );
        through_log(
            "pingora_proxy",
            log::Level::Error,
            "Fail to proxy: timed out, status: 502, GET /a?code=secret, Host: a.example",
        );
    });
    assert!(!text.contains("secret"), "{text}");
    let lines = lines(&text);
    assert_eq!(
        lines[0]["message"],
        "HTTP server fails to read from downstream: InvalidHTTPHeader context: [request left out]"
    );
    assert_eq!(lines[1]["message"], "Fail to proxy: timed out, status: 502, GET /a?…, Host: a.example");
    assert_eq!(lines[1]["target"], "pingora_proxy", "the origin is told, not the bridge");
    assert_eq!(lines[1].get("fields"), None);
}

#[test]
fn the_level_holds() {
    let all = || {
        tracing::error!(target: "cogward", "e");
        tracing::warn!(target: "cogward", "w");
        tracing::info!(target: "cogward", "i");
        tracing::debug!(target: "cogward", "d");
        tracing::trace!(target: "cogward", "t");
    };
    for (verbosity, count) in [
        (Verbosity::Off, 0),
        (Verbosity::Error, 1),
        (Verbosity::Warn, 2),
        (Verbosity::Info, 3),
        (Verbosity::Debug, 4),
        (Verbosity::Trace, 5),
    ] {
        assert_eq!(logged(verbosity, all).lines().count(), count, "{verbosity:?}");
    }
}

#[test]
fn a_word_that_is_no_level_is_refused() {
    assert_eq!("WARN".parse(), Ok(Verbosity::Warn));
    assert_eq!(Verbosity::default(), Verbosity::Info);
    for word in ["", "inof", "pingora=trace", "3"] {
        assert!(word.parse::<Verbosity>().is_err(), "{word}");
    }
    assert_eq!(
        "inof".parse::<Verbosity>().unwrap_err().to_string(),
        "`inof` is not a log level; levels are: off, error, warn, info, debug, trace"
    );
}

#[test]
fn control_characters_cannot_forge_a_line() {
    let text = logged(Verbosity::Info, || {
        tracing::info!(target: "cogward", path = "/a\n{\"level\":\"ERROR\"}\u{2028}\u{1b}[31m\u{85}", "seen\r\nforged");
    });
    assert_eq!(text.lines().count(), 1);
    assert!(!text.trim_end().contains(|c: char| c.is_control() || c == '\u{2028}'), "{text}");
}

#[test]
fn a_long_value_is_cut() {
    let text = logged(Verbosity::Info, || tracing::info!(target: "cogward", "{}", "x".repeat(1 << 20)));
    assert!(text.len() < LONGEST_VALUE + 300, "{}", text.len());
}

#[test]
fn a_flood_is_cut_off_and_told_afterwards() {
    let mut rate = Rate::of(2);
    assert_eq!([rate.admit(7), rate.admit(7), rate.admit(7), rate.admit(7)], [Some(0), Some(0), None, None]);
    assert_eq!([rate.admit(8), rate.admit(8), rate.admit(8)], [Some(2), Some(0), None]);

    let text = logged(Verbosity::Info, || {
        for _ in 0..20_000 {
            through_log("pingora_core::services", log::Level::Error, "Downstream handshake error");
        }
        tracing::info!(target: "cogward", "still heard");
    });
    let most = FOREIGN_RATE as usize * 60;
    assert!(text.lines().count() <= most, "{}", text.lines().count());
    assert!(text.contains("still heard"), "our own lines have their own room");
}

#[test]
fn a_panic_is_one_line_without_request_data() {
    let text = logged(Verbosity::Error, || {
        tell_panic(&format!("index out of\nbounds in {TOKEN}"), Some("src/a.rs:1:2"));
        tell_panic(&"static", None);
        tell_panic(&7_u8, None);
    });
    let lines = lines(&text);
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["message"], "a task panicked");
    let fields = serde_json::json!({ "place": "src/a.rs:1:2" });
    assert_eq!(lines[0]["fields"], fields);
    assert_eq!(lines[1]["fields"]["text"], "static");
    assert_eq!(lines[2].get("fields"), None);
}
