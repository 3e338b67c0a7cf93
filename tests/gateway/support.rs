//! A gateway process under its own settings, and what stands around it.
//!
//! Every test starts its own process on free ports and ends it. Nothing waits for a time to pass: what takes a moment is asked for
//! until it is so, up to [`PATIENCE`].

mod client;
mod frames;
mod h2;
mod upstream;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cogward::{
    admission::now,
    dev::{DEMO_CLIENT, DEMO_POOL, DemoKey},
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use client::{Answer, Client};
pub(crate) use frames::{Frame, Frames, block, frame};
pub(crate) use h2::{H2, H2Request};
pub(crate) use upstream::{Recorded, Upstream, ok};

/// The longest that anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The app client whose tokens are machines'.
pub(crate) const MACHINE: &str = "machine-client";

/// Asks until the answer is there.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Holds an upstream until a test lets it go on.
pub(crate) struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(false), Condvar::new()))
    }

    pub(crate) fn wait(&self) {
        let _open = self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap();
    }

    pub(crate) fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

/// An upstream that holds requests for `/slow` until the gate opens.
pub(crate) fn slow() -> (Arc<Gate>, Upstream) {
    let gate = Gate::new();
    let held = Arc::clone(&gate);
    let upstream = Upstream::with(move |request, stream| {
        if request.target() == "/slow" {
            held.wait();
        }
        ok(request, stream)
    });
    (gate, upstream)
}

/// The key that the gateways of this process trust.
pub(crate) fn key() -> &'static DemoKey {
    static KEY: OnceLock<DemoKey> = OnceLock::new();
    KEY.get_or_init(|| DemoKey::generate().unwrap())
}

/// The claims of a good access token.
pub(crate) fn access(sub: &str, groups: &[&str]) -> Value {
    let seconds = now().seconds();
    let mut claims = json!({
        "iss": format!("https://cognito-idp.eu-west-1.amazonaws.com/{DEMO_POOL}"), "sub": sub, "username": sub,
        "client_id": DEMO_CLIENT, "token_use": "access", "scope": "openid", "iat": seconds - 60, "exp": seconds + 3600,
    });
    if !groups.is_empty() {
        claims["cognito:groups"] = json!(groups);
    }
    claims
}

/// `claims` with others over them; a `null` takes one away.
pub(crate) fn with(mut claims: Value, others: Value) -> Value {
    let all = claims.as_object_mut().unwrap();
    for (name, value) in others.as_object().unwrap() {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// A token of these claims.
pub(crate) fn signed(claims: &Value) -> String {
    key().sign_claims(claims).unwrap()
}

/// A good access token.
pub(crate) fn token(sub: &str, groups: &[&str]) -> String {
    signed(&access(sub, groups))
}

/// A good client-credentials token.
pub(crate) fn machine(scopes: &str) -> String {
    signed(&with(access(MACHINE, &[]), json!({ "username": null, "client_id": MACHINE, "scope": scopes })))
}

/// Files of a gateway that does not run yet.
pub(crate) struct House {
    folder: Arc<TempDir>,
    pub(crate) settings: Value,
    environment: Vec<(&'static str, &'static str)>,
}

impl House {
    /// A gateway before `upstream` with these routes, which start at the left margin.
    pub(crate) fn new(upstream: &Upstream, routes: &str) -> Self {
        Self::before(&[upstream.address()], routes)
    }

    /// A gateway before the servers of one upstream.
    pub(crate) fn before(servers: &[SocketAddr], routes: &str) -> Self {
        let folder = TempDir::with_prefix("cogward-").unwrap();
        fs::write(folder.path().join("jwks.json"), key().jwks()).unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        fs::write(folder.path().join("policies/routes.yaml"), routes_file(routes)).unwrap();
        let endpoints: Vec<_> = servers.iter().map(|address| format!("http://{address}")).collect();
        let settings = json!({
            "listeners": [{ "address": "127.0.0.1:0" }],
            "admin": { "address": "127.0.0.1:0" },
            "threads": 2,
            "shutdown_delay": "0s",
            "identity": { "providers": [{ "id": "main", "cognito": {
                "user_pool_id": DEMO_POOL, "client_ids": [DEMO_CLIENT, MACHINE], "token_use": ["access"],
                "jwks": { "file": "jwks.json" },
            } }] },
            "upstreams": [{ "id": "app", "endpoints": endpoints }],
            "policies": { "path": "policies" },
            "audit": { "destination": { "file": "audit.jsonl" } },
        });
        Self { folder: Arc::new(folder), settings, environment: Vec::new() }
    }

    /// Sets one value of the settings, by pointer; what is on the way is made.
    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Self {
        let mut place = &mut self.settings;
        for name in pointer.split('/').skip(1) {
            place = match name.parse::<usize>() {
                Ok(at) => &mut place[at],
                Err(_) => &mut place[name],
            };
        }
        *place = value;
        self
    }

    /// Another environment variable.
    pub(crate) fn environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Writes one more file.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the gateway until it answers and is ready.
    pub(crate) fn start(self) -> Gateway {
        let gateway = self.start_unready();
        eventually("readiness", || (gateway.admin_get("/readyz").status == 200).then_some(()));
        gateway
    }

    /// Runs the gateway until its listeners are bound.
    pub(crate) fn start_unready(self) -> Gateway {
        let config = self.path("cogward.yaml");
        fs::write(&config, self.settings.to_string()).unwrap();
        let mut child = command()
            .args(["serve", "--config"])
            .arg(&config)
            .envs(self.environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        let reader = log.follow(child.stderr.take().unwrap());
        let found = (log.address_of("listening"), log.address_of("admin listening"));
        let (Some(listener), Some(admin)) = found else {
            let _ = child.kill();
            panic!("the gateway did not start:\n{}", log.text());
        };
        Gateway { house: self, child, log, reader: Some(reader), listener, admin }
    }

    /// Runs the gateway to its end, which it must find by itself: exit code and standard error.
    pub(crate) fn fails(self) -> (Option<i32>, String) {
        let config = self.path("cogward.yaml");
        fs::write(&config, self.settings.to_string()).unwrap();
        run(&["serve", "--config", config.to_str().unwrap()])
    }
}

/// A new process that is to take over from a running gateway, in the same folder. Its addresses are not known yet.
pub(crate) struct Heir(Gateway);

impl Heir {
    /// Waits until the process has said this; fails when it ends before.
    #[track_caller]
    pub(crate) fn said(&self, text: &str) {
        eventually(text, || {
            let (is_over, log) = (self.0.log.is_over(), self.0.log());
            assert!(log.contains(text) || !is_over, "it ended without `{text}`:\n{log}");
            log.contains(text).then_some(())
        });
    }

    pub(crate) fn signal(&self, name: &str) {
        self.0.signal(name);
    }

    pub(crate) fn kill(&mut self) {
        self.0.child.kill().unwrap();
        self.0.child.wait().unwrap();
    }

    /// Waits for the end of the process: exit code and what it said.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        (self.0.ended().code(), self.0.log())
    }

    /// The process as the gateway that it has become.
    pub(crate) fn serves(mut self) -> Gateway {
        self.said("this process serves now");
        self.0.listener = self.0.log.address_of("listening").unwrap();
        self.0.admin = self.0.log.address_of("admin listening").unwrap();
        self.0
    }
}

/// A policy file of these routes.
pub(crate) fn routes_file(routes: &str) -> String {
    format!("apiVersion: cogward/v1\nroutes:\n{routes}\n")
}

/// The binary, with nothing of this process's environment that it could read.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cogward"));
    command.env_remove("COGWARD_LOG").stdin(Stdio::null());
    command
}

/// Runs a command to its end: exit code, and what it said on both outputs.
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::default();
    let readers = [log.follow(child.stdout.take().unwrap()), log.follow(child.stderr.take().unwrap())];
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > end => {
                let _ = child.kill();
                panic!("{arguments:?} does not end:\n{}", log.text());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    for reader in readers {
        reader.join().unwrap();
    }
    (status.code(), log.text())
}

/// What a process writes.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    text: String,
    is_over: bool,
}

impl Log {
    fn follow(&self, from: impl std::io::Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut written = log.0.0.lock().unwrap();
                written.text.push_str(&line);
                written.text.push('\n');
                log.0.1.notify_all();
            }
            log.0.0.lock().unwrap().is_over = true;
            log.0.1.notify_all();
        })
    }

    fn text(&self) -> String {
        self.0.0.lock().unwrap().text.clone()
    }

    fn is_over(&self) -> bool {
        self.0.0.lock().unwrap().is_over
    }

    /// Waits for the line with this message; `None` when the process ended before.
    fn address_of(&self, message: &str) -> Option<SocketAddr> {
        let end = Instant::now() + PATIENCE;
        let mut written = self.0.0.lock().unwrap();
        loop {
            let lines = written.text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found = lines.into_iter().find(|line| line["message"] == message);
            if let Some(line) = found {
                let place = line.get("address").or_else(|| line["fields"].get("address")).unwrap();
                return Some(place.as_str().unwrap().parse().unwrap());
            }
            if written.is_over || Instant::now() > end {
                return None;
            }
            written = self.0.1.wait_timeout(written, Duration::from_millis(100)).unwrap().0;
        }
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    house: House,
    child: Child,
    log: Log,
    reader: Option<JoinHandle<()>>,
    pub(crate) listener: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    /// A new connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.listener)
    }

    /// Sends these bytes on a connection of their own and reads one answer.
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(bytes);
        client.answer()
    }

    /// A GET with this token.
    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\r\n\r\n"))
    }

    /// A GET of nobody.
    pub(crate) fn get_anonymously(&self, path: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: app\r\n\r\n"))
    }

    pub(crate) fn admin_get(&self, path: &str) -> Answer {
        let mut client = Client::connect(self.admin);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"));
        client.answer()
    }

    pub(crate) fn status(&self) -> Value {
        self.admin_get("/status").json()
    }

    /// The sum of all series of a metric whose labels hold all of these texts.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.admin_get("/metrics").text();
        let series = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.house.path(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.house.folder.path()
    }

    pub(crate) fn settings(&self) -> Value {
        self.house.settings.clone()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Starts a process that waits for the sockets of this one, with settings that may differ.
    pub(crate) fn heir(&self, change: impl FnOnce(&mut Value)) -> Heir {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let mut settings = self.settings();
        change(&mut settings);
        let config = self.path(&format!("heir-{}.yaml", NUMBER.fetch_add(1, Relaxed)));
        fs::write(&config, settings.to_string()).unwrap();
        let mut child = command()
            .args(["serve", "--upgrade", "--config"])
            .arg(&config)
            .envs(self.house.environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        let reader = Some(log.follow(child.stderr.take().unwrap()));
        let (folder, environment) = (Arc::clone(&self.house.folder), self.house.environment.clone());
        let house = House { folder, settings, environment };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Heir(Gateway { house, child, log, reader, listener: nowhere, admin: nowhere })
    }

    /// The audit lines, once there are at least so many.
    pub(crate) fn audit(&self, at_least: usize) -> Vec<Value> {
        eventually("audit lines", || {
            let lines = self.audit_now();
            (lines.len() >= at_least).then_some(lines)
        })
    }

    /// The audit lines that are written by now.
    pub(crate) fn audit_now(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// The memory that the process holds, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Where a listener of the decision API is: `Http` or `Grpc`.
    pub(crate) fn api(&self, transport: &str) -> SocketAddr {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut found = lines
            .filter(|line| line["message"] == "decision API listening" && line["fields"]["transport"] == transport);
        found.next().unwrap()["fields"]["address"].as_str().unwrap().parse().unwrap()
    }

    /// What the process has said on standard error.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end of the process.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = eventually("the end of the process", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if thread::panicking() {
            // Shown by the test harness for a test that fails.
            print!("--- log of the gateway\n{}", self.log.text());
        }
    }
}
