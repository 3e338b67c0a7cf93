use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::*;
use crate::reload::testing::{Behaviour, KeyServer, jwks, provider, settings};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What the one task that swaps has seen.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Word>>>);

/// The result of a fetch, what it changed, and the key ids that then served.
type Word = (&'static str, KeyChange, Vec<String>);

impl Seen {
    fn codes(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(|(code, _, _)| *code).collect()
    }

    fn swaps(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|(_, change, _)| *change == KeyChange::Ring).count()
    }

    /// The key ids of the first provider in the ring that serves.
    fn kids(&self) -> Vec<String> {
        self.0.lock().unwrap().last().map(|(_, _, kids)| kids.clone()).unwrap_or_default()
    }
}

fn kids(ring: &KeyRing, provider: usize) -> Vec<String> {
    ring.get(provider).map(|keys| keys.kids().map(str::to_owned).collect()).unwrap_or_default()
}

/// One provider on that server, with a task in the place of the one that swaps.
fn one_provider(server: &KeyServer) -> (KeyRequests, ProviderId, Seen) {
    let (mut table, mut events) = server.table();
    let settings = settings(vec![provider("main", "https://keys.example/main")]);
    table.arrange(&settings, &[None]);
    let (requests, seen) = (table.requests(), Seen::default());
    let log = seen.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            // Swapping takes its time: whoever asked must not go on before.
            sleep(SECOND / 10).await;
            let change = table.note(&event);
            let code = match &event.news {
                KeyNews::Fetched { .. } => "ok",
                KeyNews::Failed(code) => code,
                KeyNews::Dropped => "dropped",
            };
            log.0.lock().unwrap().push((code, change, kids(&table.ring(), 0)));
        }
    });
    (requests, ProviderId::new("main"), seen)
}

fn answers(kids: &[&str]) -> Behaviour {
    Behaviour::Answers(jwks(kids))
}

/// The time between each fetch and the one before it.
fn gaps(server: &KeyServer) -> Vec<Duration> {
    server.fetches().windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_at_once_and_then_every_refresh() {
    let server = KeyServer::new(answers(&["a"]));
    let (_, _, seen) = one_provider(&server);
    sleep(SECOND).await;
    assert_eq!((server.count(), seen.kids()), (1, vec!["a".to_owned()]));
    sleep(10 * HOUR).await;
    assert!(gaps(&server).iter().all(|gap| (HOUR * 9 / 10..=HOUR + SECOND).contains(gap)), "{:?}", gaps(&server));
    assert_eq!(seen.swaps(), 1, "the same keys change nothing");
}

#[tokio::test(start_paused = true)]
async fn a_key_server_that_is_down_at_the_start_is_asked_until_keys_are_held() {
    let server = KeyServer::new(Behaviour::Fails);
    let (_, _, seen) = one_provider(&server);
    sleep(120 * SECOND).await;
    let gaps = gaps(&server);
    // With the time that the news of a failure takes.
    assert!(gaps[0] <= SECOND * 4 / 10 && gaps[1] <= SECOND * 7 / 10 && gaps[1] > gaps[0], "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= 11 * SECOND), "{gaps:?}");
    assert!((14..=24).contains(&server.count()), "{}", server.count());
    assert_eq!(seen.swaps(), 0);
    server.behaves(answers(&["a"]));
    sleep(10 * SECOND).await;
    assert_eq!(seen.kids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_serve_through_an_outage_and_not_for_ever() {
    let server = KeyServer::new(answers(&["a"]));
    let (_, _, seen) = one_provider(&server);
    sleep(SECOND).await;
    server.behaves(Behaviour::Fails);
    sleep(24 * HOUR - 2 * SECOND).await;
    assert_eq!(seen.kids(), ["a"]);
    assert!(!seen.codes().contains(&"dropped"));
    sleep(3 * SECOND).await;
    assert_eq!(seen.kids(), Vec::<String>::new());
    assert_eq!(seen.codes().iter().filter(|code| **code == "dropped").count(), 1);
    server.behaves(answers(&["a"]));
    sleep(11 * SECOND).await;
    assert_eq!(seen.kids(), ["a"], "the same keys are held anew");
    assert_eq!(seen.swaps(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_at_most_one_fetch_in_ten_seconds() {
    let server = KeyServer::new(answers(&["a"]));
    let _keys = one_provider(&server);
    sleep(HOUR + SECOND).await;
    server.behaves(Behaviour::Fails);
    let before = server.count();
    sleep(2 * HOUR).await;
    let during = server.count() - before;
    assert!((60..=200).contains(&during), "{during}");
    let worst = gaps(&server).into_iter().min().unwrap();
    assert!(worst >= 10 * SECOND, "{worst:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_dropped_in_time_although_a_fetch_hangs() {
    let server = KeyServer::new(answers(&["a"]));
    let (_, _, seen) = one_provider(&server);
    sleep(SECOND).await;
    server.behaves(Behaviour::Fails);
    sleep(24 * HOUR - 90 * SECOND).await;
    server.behaves(Behaviour::Hangs);
    server.takes(HOUR);
    sleep(90 * SECOND).await;
    assert_eq!(seen.kids(), Vec::<String>::new());
    assert_eq!(seen.codes().last(), Some(&"dropped"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_usable_keys_keeps_the_old_ones() {
    for (document, code) in [
        (&b"<html>maintenance</html>"[..], "not_a_key_set"),
        (b"{}", "not_a_key_set"),
        (br#"{"keys":[]}"#, "no_usable_key"),
        (br#"{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}"#, "no_usable_key"),
        (&jwks(&["a"])[..40], "not_a_key_set"),
        (b"", "not_a_key_set"),
    ] {
        let server = KeyServer::new(answers(&["a"]));
        let (requests, main, seen) = one_provider(&server);
        sleep(SECOND).await;
        server.behaves(Behaviour::Answers(document.to_vec()));
        assert_eq!(requests.refetch(&main).await, Refetch::Failed);
        assert_eq!((seen.kids(), seen.codes()), (vec!["a".to_owned()], vec!["ok", code]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_is_gone_after_a_refresh() {
    let server = KeyServer::new(answers(&["a", "b"]));
    let (_, _, seen) = one_provider(&server);
    sleep(SECOND).await;
    assert_eq!(seen.kids(), ["a", "b"]);
    server.behaves(answers(&["b"]));
    sleep(HOUR + SECOND).await;
    assert_eq!(seen.kids(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_serves_when_the_fetch_that_it_caused_returns() {
    let server = KeyServer::new(answers(&["old"]));
    let (requests, main, seen) = one_provider(&server);
    sleep(SECOND).await;
    server.behaves(answers(&["new", "old"]));
    assert_eq!(requests.refetch(&main).await, Refetch::Done);
    assert_eq!(seen.kids(), ["new", "old"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_began_before_a_rotation_and_asks_after_it_is_told_to_judge_anew() {
    let server = KeyServer::new(answers(&["old"]));
    let (requests, main, _) = one_provider(&server);
    sleep(60 * SECOND).await;
    server.behaves(answers(&["new"]));
    assert_eq!(requests.refetch(&main).await, Refetch::Done);
    assert_eq!(requests.refetch(&main).await, Refetch::Done);
    assert_eq!(server.count(), 2, "without another fetch");
    sleep(10 * SECOND).await;
    assert_eq!(requests.refetch(&main).await, Refetch::Done);
    assert_eq!((requests.refetch(&main).await, server.count()), (Refetch::NotDue, 3));
}

#[tokio::test(start_paused = true)]
async fn callers_at_the_same_time_share_one_fetch() {
    let server = KeyServer::new(answers(&["a"]));
    let (requests, main, _) = one_provider(&server);
    sleep(60 * SECOND).await;
    server.takes(SECOND);
    let callers: Vec<_> = (0..100)
        .map(|number| {
            let (requests, main) = (requests.clone(), main.clone());
            tokio::spawn(async move {
                sleep(number * SECOND / 200).await;
                requests.refetch(&main).await
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Refetch::Done);
    }
    assert_eq!(server.count(), 2);
    assert_eq!(requests.refetch(&main).await, Refetch::NotDue);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_costs_one_fetch_in_ten_seconds() {
    let server = KeyServer::new(answers(&["a"]));
    let (requests, main, seen) = one_provider(&server);
    sleep(SECOND).await;
    let before = server.count();
    for _ in 0..60_000 {
        requests.refetch(&main).await;
        sleep(Duration::from_millis(1)).await;
    }
    let during = server.count() - before;
    assert!((6..=7).contains(&during), "{during}");
    assert_eq!(seen.swaps(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_in_an_outage_adds_no_fetch() {
    for behaviour in [Behaviour::Fails, Behaviour::Hangs, answers(&[])] {
        let server = KeyServer::new(answers(&["a"]));
        let (requests, main, seen) = one_provider(&server);
        sleep(SECOND).await;
        server.behaves(behaviour);
        let flood = tokio::spawn(async move {
            loop {
                requests.refetch(&main).await;
                sleep(Duration::from_millis(50)).await;
            }
        });
        sleep(300 * SECOND).await;
        flood.abort();
        let gaps = gaps(&server).split_off(1);
        assert!((15..=30).contains(&gaps.len()), "{gaps:?}");
        assert!(gaps.iter().all(|gap| *gap >= 10 * SECOND), "{gaps:?}");
        assert_eq!(seen.kids(), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_waits_in_a_bounded_queue() {
    let server = KeyServer::new(answers(&["a"]));
    let (requests, main, _) = one_provider(&server);
    sleep(SECOND).await;
    server.behaves(Behaviour::Hangs);
    let callers: Vec<_> = (0..5 * MOST_WAITING)
        .map(|number| {
            let (requests, main) = (requests.clone(), main.clone());
            tokio::spawn(async move {
                // At twenty moments while the fetch hangs.
                sleep(SECOND / 10 * u32::try_from(number % 20).unwrap()).await;
                requests.refetch(&main).await
            })
        })
        .collect();
    let mut outcomes = HashMap::new();
    for caller in callers {
        *outcomes.entry(format!("{:?}", caller.await.unwrap())).or_insert(0) += 1;
    }
    assert!(outcomes["Failed"] <= MOST_WAITING, "{outcomes:?}");
    assert_eq!(outcomes["Failed"] + outcomes["NotDue"], 5 * MOST_WAITING);
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_a_url_is_never_fetched() {
    let server = KeyServer::new(answers(&["a"]));
    let (mut table, _events) = server.table();
    let mut settings = settings(vec![provider("main", "https://keys.example/main")]);
    settings.identity.providers[0].keys = KeySource::File("keys.json".into());
    let (file, _) = KeySet::parse(&jwks(&["f"]), &[Algorithm::ES256]).unwrap();
    table.arrange(&settings, &[Some(Arc::new(file))]);
    assert_eq!(kids(&table.ring(), 0), ["f"]);
    assert_eq!(table.requests().refetch(&ProviderId::new("main")).await, Refetch::NotDue);
    assert_eq!(table.requests().refetch(&ProviderId::new("who")).await, Refetch::NotDue);
    sleep(2 * HOUR).await;
    assert_eq!(server.count(), 0);
    let status = table.status(&settings);
    assert_eq!((status[0].keys, status[0].failing), (1, None));
    assert!(status[0].confirmed.is_some());
}

/// Acts on events until none comes.
async fn settle(table: &mut KeyTable, events: &mut mpsc::Receiver<KeyEvent>) {
    while let Ok(Some(event)) = timeout(SECOND, events.recv()).await {
        table.note(&event);
    }
}

#[tokio::test(start_paused = true)]
async fn providers_keep_their_keys_through_a_reload_unless_their_source_changed() {
    let server = KeyServer::new(answers(&["a"]));
    let (mut table, mut events) = server.table();
    let (one, two) = (provider("one", "https://k.example/1"), provider("two", "https://k.example/2"));
    let mut now = settings(vec![one, two]);
    table.arrange(&now, &[None, None]);
    settle(&mut table, &mut events).await;
    assert_eq!((kids(&table.ring(), 0).len(), kids(&table.ring(), 1).len(), server.count()), (1, 1, 2));

    // Another order and a newcomer before them: both keep their keys, and nothing but the newcomer is fetched.
    now.identity.providers.reverse();
    now.identity.providers.insert(0, provider("new", "https://k.example/3"));
    table.arrange(&now, &[None, None, None]);
    let ring = table.ring();
    assert_eq!([0, 1, 2].map(|place| kids(&ring, place).len()), [0, 1, 1]);
    settle(&mut table, &mut events).await;
    assert_eq!(server.fetches()[2..].iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["/3"]);

    // Another address starts anew, without the keys of the old one.
    now.identity.providers[1].keys = KeySource::Url("https://other.example/2".parse().unwrap());
    table.arrange(&now, &[None, None, None]);
    let ring = table.ring();
    assert_eq!([0, 1, 2].map(|place| kids(&ring, place).len()), [1, 0, 1]);
    settle(&mut table, &mut events).await;
    assert_eq!(server.count(), 4);

    // Other times keep the keys, and count from the last success.
    now.identity.keys.refresh = 2 * HOUR;
    table.arrange(&now, &[None, None, None]);
    let ring = table.ring();
    assert_eq!([0, 1, 2].map(|place| kids(&ring, place).len()), [1, 1, 1]);
    settle(&mut table, &mut events).await;
    assert_eq!(server.count(), 4);

    // Other algorithms accept other keys.
    now.identity.providers[2].provider.algorithms = vec![Algorithm::RS256];
    table.arrange(&now, &[None, None, None]);
    settle(&mut table, &mut events).await;
    assert_eq!(kids(&table.ring(), 2), Vec::<String>::new());
    let status = table.status(&now);
    assert_eq!((status[2].keys, status[2].failing, status[0].keys), (0, Some("no_usable_key"), 1));

    // A provider that is gone is fetched no more.
    now.identity.providers.truncate(1);
    table.arrange(&now, &[None]);
    let before = server.count();
    assert_eq!(table.requests().refetch(&ProviderId::new("one")).await, Refetch::NotDue);
    settle(&mut table, &mut events).await;
    assert_eq!(server.count(), before);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_of_the_old_address_does_not_fill_the_new_one() {
    let server = KeyServer::new(answers(&["old"]));
    let (mut table, mut events) = server.table();
    let mut now = settings(vec![provider("main", "https://old.example/")]);
    table.arrange(&now, &[None]);
    let late = events.recv().await.unwrap();
    now.identity.providers[0].keys = KeySource::Url("https://new.example/".parse().unwrap());
    table.arrange(&now, &[None]);
    assert_eq!(table.note(&late), KeyChange::Unheard);
    assert_eq!(kids(&table.ring(), 0), Vec::<String>::new());
}

#[tokio::test]
async fn the_client_and_the_life_work_together() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    pingora_rustls::install_default_crypto_provider();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await.unwrap();
        let body = jwks(&["a"]);
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
            .await
            .unwrap();
        stream.write_all(&body).await.unwrap();
    });
    let (mut table, mut events) = KeyTable::new(Arc::new(Fetcher::new().unwrap()));
    table.arrange(&settings(vec![provider("main", &url)]), &[None]);
    let event = timeout(10 * SECOND, events.recv()).await.unwrap().unwrap();
    assert_eq!(table.note(&event), KeyChange::Ring);
    assert_eq!(kids(&table.ring(), 0), ["a"]);
}
