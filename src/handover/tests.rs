use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::UnixListener as StdListener,
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::*;

/// Nothing in these tests takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("cogward-").unwrap();
    let path = folder.path().join("upgrade.sock");
    (folder, path)
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn offered(role: Role, listener: &TcpListener) -> Offered {
    let configured = listener.local_addr().unwrap();
    Offered { role, configured, socket: listener.try_clone().unwrap().into() }
}

fn raw(text: &str, socket: impl Into<OwnedFd>) -> Offered {
    Offered { role: Role::Listener, configured: text.parse().unwrap(), socket: socket.into() }
}

async fn offer(path: &Path, offered: Vec<Offered>, most: Duration) -> Result<(), HandoverError> {
    hand_over(path, offered, most, std::future::pending()).await
}

/// What the old process hears of an offer that the new one does not take.
async fn refused(offered: Vec<Offered>) {
    let (_folder, path) = place();
    let meeting = Meeting::open(&path).unwrap();
    let taking = tokio::spawn(meeting.take_over(PATIENCE));
    let told = offer(&path, offered, PATIENCE).await;
    assert!(matches!(told, Err(HandoverError::Gone)), "{told:?}");
    // Whoever came next would be heard.
    assert!(!taking.is_finished());
    taking.abort();
}

#[tokio::test]
async fn sockets_go_over_with_their_addresses_and_roles() {
    let (_folder, path) = place();
    let meeting = Meeting::open(&path).unwrap();
    let (one, two) = (listener(), listener());
    let offers = vec![offered(Role::Listener, &one), offered(Role::Admin, &two)];
    let place = path.clone();
    let old = tokio::spawn(async move { offer(&place, offers, PATIENCE).await });
    let (takeover, inherited) = meeting.take_over(PATIENCE).await.unwrap();
    let seen: Vec<_> = inherited.iter().map(|one| (one.role, one.configured)).collect();
    assert_eq!(seen, [(Role::Listener, one.local_addr().unwrap()), (Role::Admin, two.local_addr().unwrap())]);
    assert!(!old.is_finished(), "the old process lets go only when the new one is ready");
    takeover.confirm().await.unwrap();
    old.await.unwrap().unwrap();
    assert!(!path.exists(), "the socket file goes with the meeting");
    // Both ends are one socket: what waits for the old one is there for the new one.
    let waiting = std::net::TcpStream::connect(one.local_addr().unwrap()).unwrap();
    drop(one);
    let (_, peer) = inherited[0].socket.accept().unwrap();
    assert_eq!(peer, waiting.local_addr().unwrap());
}

#[tokio::test]
async fn an_offer_of_many_sockets_goes_over_whole_and_one_of_too_many_does_not() {
    let (_folder, path) = place();
    let meeting = Meeting::open(&path).unwrap();
    let listener = listener();
    let offers = |count| (0..count).map(|_| offered(Role::Listener, &listener)).collect::<Vec<_>>();
    let (place, many) = (path.clone(), offers(128));
    let old = tokio::spawn(async move { offer(&place, many, PATIENCE).await });
    let (takeover, inherited) = meeting.take_over(PATIENCE).await.unwrap();
    assert_eq!(inherited.len(), 128);
    takeover.confirm().await.unwrap();
    old.await.unwrap().unwrap();

    let _meeting = Meeting::open(&path).unwrap();
    let told = offer(&path, offers(129), PATIENCE).await;
    assert!(matches!(told, Err(HandoverError::TooMany(129))), "{told:?}");
}

#[tokio::test]
async fn with_nobody_there_the_old_process_keeps_its_sockets() {
    let (_folder, path) = place();
    let listener = listener();
    let told = offer(&path, vec![offered(Role::Listener, &listener)], PATIENCE).await;
    assert!(matches!(told, Err(HandoverError::NobodyWaits { .. })), "{told:?}");
    // What a process that was killed has left.
    drop(StdListener::bind(&path).unwrap());
    let told = offer(&path, vec![offered(Role::Listener, &listener)], PATIENCE).await;
    assert!(matches!(told, Err(HandoverError::NobodyWaits { .. })), "{told:?}");
    // The next new process makes it anew.
    drop(Meeting::open(&path).unwrap());
    assert!(!path.exists());
}

#[tokio::test]
async fn a_new_process_that_dies_or_stays_silent_changes_nothing() {
    let (_folder, path) = place();
    let listener = listener();
    let meeting = Meeting::open(&path).unwrap();
    let dying = tokio::spawn(async move { drop(meeting.take_over(PATIENCE).await.unwrap()) });
    let told = offer(&path, vec![offered(Role::Listener, &listener)], PATIENCE).await;
    assert!(matches!(told, Err(HandoverError::Gone)), "{told:?}");
    dying.await.unwrap();

    let meeting = Meeting::open(&path).unwrap();
    let silent = tokio::spawn(async move { meeting.take_over(PATIENCE).await.unwrap() });
    let told = offer(&path, vec![offered(Role::Listener, &listener)], Duration::from_millis(50)).await;
    assert!(matches!(told, Err(HandoverError::Silent(_))), "{told:?}");
    // Too late: the old process goes on, so the new one must not serve.
    let (takeover, _) = silent.await.unwrap();
    assert!(matches!(takeover.confirm().await, Err(HandoverError::Gone)));
}

#[tokio::test]
async fn an_old_process_that_stops_leaves_no_listener_with_the_new_one() {
    let (_folder, path) = place();
    let listener = listener();
    let meeting = Meeting::open(&path).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let offers = vec![offered(Role::Listener, &listener)];
    let old = tokio::spawn(async move { hand_over(&path, offers, PATIENCE, async { drop(stopped.await) }).await });
    let (mut takeover, inherited) = meeting.take_over(PATIENCE).await.unwrap();
    stop.send(()).unwrap();
    assert!(matches!(old.await.unwrap(), Err(HandoverError::Stopping)));
    takeover.abandoned().await;
    assert_eq!(inherited.len(), 1);
}

#[tokio::test]
async fn a_new_process_that_cannot_take_over_says_why() {
    let (_folder, path) = place();
    let listener = listener();
    let meeting = Meeting::open(&path).unwrap();
    let declining = tokio::spawn(async move {
        let (takeover, _) = meeting.take_over(PATIENCE).await.unwrap();
        takeover.decline(&format!("no certificate\n{}", "x".repeat(5000))).await;
    });
    let told = offer(&path, vec![offered(Role::Listener, &listener)], PATIENCE).await;
    let Err(HandoverError::Declined(reason)) = told else { panic!("{told:?}") };
    assert!(reason.starts_with("no certificate x"), "{reason}");
    assert!(reason.len() <= 512, "{reason}");
    declining.await.unwrap();
}

#[tokio::test]
async fn the_new_process_gives_up_when_nobody_comes() {
    let (_folder, path) = place();
    let told = Meeting::open(&path).unwrap().take_over(Duration::from_millis(50)).await;
    let Err(error @ HandoverError::NobodyCame { .. }) = told else { panic!("{told:?}") };
    assert!(error.to_string().contains("upgrade.sock"), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn two_new_processes_do_not_wait_at_one_place() {
    let (_folder, path) = place();
    let meeting = Meeting::open(&path).unwrap();
    let told = Meeting::open(&path);
    assert!(matches!(told, Err(HandoverError::Taken { .. })), "{told:?}");
    // The first one is still there, and takes the visit of the second for nothing.
    let listener = listener();
    let offers = vec![offered(Role::Listener, &listener)];
    let old = tokio::spawn(async move { offer(&path, offers, PATIENCE).await });
    meeting.take_over(PATIENCE).await.unwrap().0.confirm().await.unwrap();
    old.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_replaced() {
    let (_folder, path) = place();
    fs::write(&path, "precious").unwrap();
    let told = Meeting::open(&path);
    assert!(matches!(told, Err(HandoverError::InTheWay { .. })), "{told:?}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_folder_that_others_may_write_to_is_refused() {
    let (folder, path) = place();
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let told = Meeting::open(&path);
        assert!(matches!(told, Err(HandoverError::OpenFolder { .. })), "{mode:o}: {told:?}");
    }
    for mode in [0o700, 0o755] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        Meeting::check(&path).unwrap();
    }
    let told = Meeting::check(Path::new("/nowhere/at/all.sock"));
    let Err(error @ HandoverError::NoFolder { .. }) = told else { panic!("{told:?}") };
    assert!(error.to_string().contains("/nowhere/at"), "{error}");
}

#[tokio::test]
async fn the_socket_is_its_owners_alone() {
    let (_folder, path) = place();
    let _meeting = Meeting::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_stranger_cannot_take_the_sockets() {
    // Both ends ask the kernel who the other is; root is a stranger like any other. With processes of two users:
    // tests/interop/test_life_cycle.py.
    meeting::belongs(1000, 1000).unwrap();
    for (peer, own) in [(0, 1000), (1000, 0), (1001, 1000)] {
        let told = meeting::belongs(peer, own);
        assert!(matches!(told, Err(HandoverError::Stranger { .. })), "{told:?}");
    }
}

#[tokio::test]
async fn a_descriptor_that_is_no_listening_socket_is_refused() {
    let connected = std::net::TcpStream::connect(listener().local_addr().unwrap());
    refused(vec![raw("127.0.0.1:1", fs::File::open("/dev/null").unwrap())]).await;
    refused(vec![raw("127.0.0.1:1", UdpSocket::bind("127.0.0.1:0").unwrap())]).await;
    let (_folder, path) = place();
    refused(vec![raw("127.0.0.1:1", StdListener::bind(path).unwrap())]).await;
    drop(connected);
}

#[tokio::test]
async fn a_socket_that_listens_elsewhere_than_it_is_said_to_is_refused() {
    refused(vec![raw("127.0.0.1:1", listener())]).await;
    refused(vec![raw("127.0.0.2:0", listener())]).await;
    refused(vec![raw("[::1]:0", listener())]).await;
}

#[tokio::test]
async fn an_offer_without_an_end_is_cut_off() {
    let (_folder, path) = place();
    let taking = tokio::spawn(take_over_at(Meeting::open(&path).unwrap()));
    for text in
        [vec![b'x'; 64 * 1024], b"{}\n".to_vec(), b"{\"protocol\":2,\"sockets\":[]}\n".to_vec(), b"\xff\n".to_vec()]
    {
        let mut stranger = UnixStream::connect(&path).await.unwrap();
        let _ = stranger.write_all(&text).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stranger.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"");
    }
    let listener = listener();
    let named = "{\"protocol\":1,\"sockets\":[{\"role\":\"admin\",\"address\":\"127.0.0.1:1\"}]}\n";
    let mut stranger = UnixStream::connect(&path).await.unwrap();
    stranger.write_all(named.as_bytes()).await.unwrap();
    assert_eq!(stranger.read(&mut [0]).await.unwrap(), 0, "a socket is named and none is there");
    // After all that the right one is heard.
    offer(&path, vec![offered(Role::Admin, &listener)], PATIENCE).await.unwrap();
    assert_eq!(taking.await.unwrap(), 1);
}

async fn take_over_at(meeting: Meeting) -> usize {
    let (takeover, inherited) = meeting.take_over(PATIENCE).await.unwrap();
    takeover.confirm().await.unwrap();
    inherited.len()
}

#[tokio::test]
async fn a_word_without_an_end_is_cut_off() {
    let (_folder, path) = place();
    let waiting = UnixListener::bind(&path).unwrap();
    let listener = listener();
    let babbling = tokio::spawn(async move {
        let (mut stream, _) = waiting.accept().await.unwrap();
        let _ = stream.write_all(&[b'x'; 64 * 1024]).await;
        stream
    });
    let told = offer(&path, vec![offered(Role::Listener, &listener)], PATIENCE).await;
    assert!(matches!(told, Err(HandoverError::Garbled(_))), "{told:?}");
    babbling.await.unwrap();
}
