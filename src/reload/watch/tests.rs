use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::gate::source;

/// So long that no test can mistake a poll for an event.
const NEVER: Duration = Duration::from_secs(3600);

struct Folder {
    root: TempDir,
    look: Arc<Notify>,
    watch: Watch,
}

impl Folder {
    /// Watches `cogward.yaml` and `policies/` of a new folder.
    async fn watched(poll: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("policies")).unwrap();
        fs::write(root.path().join("cogward.yaml"), "a: 1").unwrap();
        prepare(root.path());
        let look = Arc::new(Notify::new());
        let places =
            Places { files: vec![root.path().join("cogward.yaml")], folders: vec![root.path().join("policies")], poll };
        let watch = Watch::start(places, Arc::clone(&look));
        look.notified().await;
        Self { root, look, watch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    async fn is_seen(&self) {
        timeout(Duration::from_secs(2), self.look.notified()).await.expect("the change is seen within two seconds");
    }

    /// Waits until no look comes: on a busy machine the events of one change may come as several.
    async fn rests(&self) {
        for _ in 0..5 {
            if timeout(Duration::from_millis(400), self.look.notified()).await.is_err() {
                return;
            }
        }
        panic!("looks cause looks");
    }

    async fn is_quiet(&self) {
        assert!(timeout(Duration::from_millis(400), self.look.notified()).await.is_err(), "nothing is to be seen");
    }
}

fn swap(folder: &Path, version: &str) {
    let staged = folder.join("..data_tmp");
    symlink(version, &staged).unwrap();
    fs::rename(staged, folder.join("..data")).unwrap();
}

#[tokio::test]
async fn each_way_to_change_a_file_is_seen() {
    let folder = Folder::watched(NEVER, |root| fs::write(root.join("policies/a.yaml"), "one").unwrap()).await;
    folder.rests().await;

    fs::write(folder.path("policies/a.yaml"), "two").unwrap();
    folder.is_seen().await;
    folder.rests().await;

    fs::write(folder.path("policies/.a.swp"), "three").unwrap();
    folder.is_seen().await;
    folder.rests().await;
    fs::rename(folder.path("policies/.a.swp"), folder.path("policies/a.yaml")).unwrap();
    folder.is_seen().await;
    folder.rests().await;

    fs::set_permissions(folder.path("policies/a.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    folder.is_seen().await;
    folder.rests().await;

    fs::remove_file(folder.path("policies/a.yaml")).unwrap();
    folder.is_seen().await;
    folder.rests().await;

    fs::write(folder.path("cogward.yaml"), "a: 2").unwrap();
    folder.is_seen().await;
    folder.rests().await;
}

#[tokio::test]
async fn a_new_folder_and_what_is_later_written_in_it_are_seen() {
    let folder = Folder::watched(NEVER, |_| {}).await;
    fs::create_dir_all(folder.path("policies/team/deep")).unwrap();
    folder.is_seen().await;
    folder.rests().await;
    fs::write(folder.path("policies/team/deep/a.yaml"), "one").unwrap();
    folder.is_seen().await;
    folder.rests().await;
    fs::remove_dir_all(folder.path("policies")).unwrap();
    folder.is_seen().await;
    folder.rests().await;
    fs::create_dir(folder.path("policies")).unwrap();
    folder.is_seen().await;
    folder.rests().await;
    fs::write(folder.path("policies/a.yaml"), "two").unwrap();
    folder.is_seen().await;
    folder.rests().await;
}

#[tokio::test]
async fn what_links_lead_to_is_watched_too() {
    let elsewhere = TempDir::new().unwrap();
    fs::write(elsewhere.path().join("a.yaml"), "one").unwrap();
    let folder =
        Folder::watched(NEVER, |root| symlink(elsewhere.path().join("a.yaml"), root.join("policies/a.yaml")).unwrap())
            .await;
    fs::write(elsewhere.path().join("a.yaml"), "two").unwrap();
    folder.is_seen().await;
}

#[tokio::test]
async fn reading_and_neighbours_of_the_settings_cause_no_look() {
    let folder = Folder::watched(NEVER, |root| fs::write(root.join("policies/a.yaml"), "one").unwrap()).await;
    fs::read(folder.path("policies/a.yaml")).unwrap();
    fs::write(folder.path("audit.log"), "line").unwrap();
    folder.is_quiet().await;
}

#[tokio::test]
async fn a_burst_is_a_few_looks() {
    let folder = Folder::watched(NEVER, |_| {}).await;
    for number in 0..200 {
        fs::write(folder.path(&format!("policies/{number}.yaml")), "x").unwrap();
    }
    folder.is_seen().await;
    folder.rests().await;
}

#[tokio::test]
async fn a_folder_that_never_rests_is_looked_at_all_the_same() {
    let folder = Folder::watched(NEVER, |_| {}).await;
    let path = folder.path("policies/busy.yaml");
    let writer = tokio::spawn(async move {
        loop {
            fs::write(&path, "x").unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    });
    folder.is_seen().await;
    folder.is_seen().await;
    writer.abort();
}

#[tokio::test]
async fn the_poll_looks_where_no_event_comes() {
    let folder = Folder::watched(Duration::from_millis(50), |_| {}).await;
    folder.is_seen().await;
    folder.is_seen().await;
}

#[tokio::test]
async fn other_places_are_watched_after_a_change_of_settings() {
    let folder = Folder::watched(NEVER, |root| fs::create_dir(root.join("elsewhere")).unwrap()).await;
    let mut places = folder.watch.places.borrow().clone();
    places.folders = vec![folder.path("elsewhere")];
    folder.watch.set(places.clone());
    folder.is_seen().await;
    folder.rests().await;
    folder.watch.set(places);
    folder.is_quiet().await;
    fs::write(folder.path("elsewhere/a.yaml"), "x").unwrap();
    folder.is_seen().await;
    folder.rests().await;
    fs::write(folder.path("policies/a.yaml"), "x").unwrap();
    folder.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_config_map_swaps_are_noticed_to_the_last_content() {
    let folder = Folder::watched(NEVER, |root| {
        let policies = root.join("policies");
        fs::create_dir(policies.join("..v0")).unwrap();
        fs::write(policies.join("..v0/a.yaml"), "0").unwrap();
        swap(&policies, "..v0");
        symlink("..data/a.yaml", policies.join("a.yaml")).unwrap();
    })
    .await;
    let policies = folder.path("policies");
    let writer = tokio::task::spawn_blocking(move || {
        for number in 1..=1000 {
            let (version, old) = (format!("..v{number}"), format!("..v{}", number - 1));
            fs::create_dir(policies.join(&version)).unwrap();
            fs::write(policies.join(&version).join("a.yaml"), number.to_string()).unwrap();
            swap(&policies, &version);
            fs::remove_dir_all(policies.join(old)).unwrap();
        }
    });
    let policies = folder.path("policies");
    let last = async {
        let mut seen = String::new();
        while seen != "1000" {
            folder.look.notified().await;
            // A look amid a swap may find a file that is just going; a later look follows.
            seen = source::read_policies(&policies).0.first().map(|file| file.text.clone()).unwrap_or_default();
        }
    };
    timeout(Duration::from_secs(60), last).await.expect("the last content is seen");
    writer.await.unwrap();
    folder.rests().await;
}
