//! The keep-alive loop of HTTP/1.
//!
//! Between two requests a connection holds its guard and nothing else: the session and its futures are made when a whole head has been
//! judged. pingora's own loop would keep 100 KB for each idle connection.

use std::time::Duration;

use pingora::{
    apps::{HttpPersistentSettings, HttpServerApp},
    protocols::{Stream, http::ServerSession},
};

use super::{
    drain::Ending,
    guard::Guard,
    head::{self, Greeting, Head},
    http2,
    refusal::Served,
};

/// How long the rest of a body that nobody wants may take, to keep the connection.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves a connection to its end. `greeting` says whether it may turn out to be HTTP/2.
pub(super) async fn serve<A>(served: &Served<A>, guard: Guard, mut greeting: Greeting, ending: &Ending)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let mut guard = Box::new(guard);
    let mut settings: Option<HttpPersistentSettings> = None;
    while is_spoken_to(&mut guard, ending).await {
        match head::read(&mut guard, greeting).await {
            Head::Granted => {}
            Head::Http2 => return http2::serve(&served.app, guard.into_http2(), &ending.soon).await,
            Head::Gone => return,
            Head::Refused(refusal) => {
                let answer = served.refusals.answer(refusal, guard.conn().peer());
                return guard.refuse(&answer).await;
            }
        }
        greeting = Greeting::Http1;
        // Given back when the answer is written.
        let _turn = guard.conn().take_turn(guard.limits().requests);
        let reuses = u32::try_from(guard.limits().requests_per_connection).unwrap_or(u32::MAX) - 1;
        let mut session = ServerSession::new_http1(guard);
        match settings.take() {
            Some(settings) => settings.apply_to_session(&mut session),
            None => session.set_keepalive_reuses_remaining(Some(reuses)),
        }
        // The guard knows better when a body stalls.
        session.set_read_timeout(None);
        session.set_total_drain_timeout(Some(DRAIN));
        let Some(reused) = served.app.process_new_http(session, &ending.soon).await else { return };
        let (stream, kept) = reused.consume();
        settings = kept;
        let Some(returned) = returned(stream) else { return };
        guard = returned;
    }
}

/// The guard, when the request on it is complete.
fn returned(stream: Stream) -> Option<Box<Guard>> {
    let guard = stream.into_any().downcast::<Guard>().ok()?;
    guard.is_at_rest().then_some(guard)
}

/// Waits for the first byte of the next request.
async fn is_spoken_to(guard: &mut Guard, ending: &Ending) -> bool {
    if !guard.input().is_empty() {
        return true;
    }
    let idle = guard.limits().keepalive;
    let mut now = ending.now.clone();
    tokio::select! {
        biased;
        spoken = tokio::time::timeout(idle, guard.fill()) => matches!(spoken, Ok(Ok(true))),
        _ = now.wait_for(|now| *now) => false,
    }
}
