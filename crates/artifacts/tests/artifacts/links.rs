//! Links: a browser without credentials fetches the file under its name, for a while.

use std::time::Duration;

use crate::signature::{holds, value};
use crate::stores::{self, Lease, attempt, manifest, publish, stage};
use lovage_artifacts::{ArtifactError, ArtifactStore, Link, LinkOptions, ManifestFile, SignedLink, StoreConfig};
use lovage_core::Timestamp;
use lovage_testkit::S3Server;
use url::Url;

const NAME: &str = "订单 2024 (é)+.csv";

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

async fn file(store: &ArtifactStore) -> ManifestFile {
    let staged = stage(store, &attempt("linked", 1, 1), NAME, &["id,名\n1,王\n".as_bytes()]).await;
    publish(store, staged, Lease::held()).await.unwrap().manifest().files[0].clone()
}

async fn signed(store: &ArtifactStore, file: &ManifestFile, options: &LinkOptions) -> SignedLink {
    match store.link(file, options).await.unwrap() {
        Link::Signed(link) => link,
        Link::Path(path) => panic!("a bucket has no path: {}", path.display()),
    }
}

#[tokio::test]
async fn a_bucket_signs_an_address_that_anybody_can_fetch_under_any_name() {
    let server = S3Server::start("files");
    for prefix in ["", "some/prefix"] {
        let store = stores::s3(&server, prefix);
        let file = file(&store).await;
        for (name, escaped) in [
            (None, "%E8%AE%A2%E5%8D%95%202024%20%28%C3%A9%29+.csv"),
            (Some("下载.csv".parse().unwrap()), "%E4%B8%8B%E8%BD%BD.csv"),
        ] {
            let link = signed(&store, &file, &LinkOptions { name, ..LinkOptions::at(now()) }).await;
            assert_eq!(link.expires_at, now().plus(Duration::from_hours(1)));
            let answer = reqwest::get(link.reveal()).await.unwrap();
            assert_eq!(answer.status(), 200);
            let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("content-type"), "text/csv");
            let disposition = header("content-disposition");
            assert!(disposition.starts_with("attachment; filename=\"__"), "{disposition}");
            assert!(disposition.ends_with(&format!("; filename*=UTF-8''{escaped}")), "{disposition}");
            assert_eq!(answer.text().await.unwrap(), "id,名\n1,王\n");
            let unsigned = link.reveal().split_once('?').unwrap().0;
            assert_eq!(reqwest::get(unsigned).await.unwrap().status(), 403, "without the signature it is nothing");
        }
    }
}

/// Whether a link is old or changed is the service's to find out, and the server of the tests does not look. What it
/// would look at is checked here instead: that everything is signed.
#[tokio::test]
async fn all_of_a_link_is_covered_by_its_signature() {
    let server = S3Server::start("files");
    let store = stores::s3(&server, "p");
    let file = file(&store).await;
    let options = LinkOptions { expires_in: Duration::from_mins(5), ..LinkOptions::at(now()) };
    let link = signed(&store, &file, &options).await;
    let address = link.reveal();
    let url = Url::parse(address).unwrap();
    assert_eq!(value(&url, "X-Amz-Expires"), "300");
    assert_eq!(value(&url, "X-Amz-SignedHeaders"), "host");
    assert!(holds(address, "test"), "signed with the store's secret: {address}");
    for (what, with) in [
        ("X-Amz-Expires=300", "X-Amz-Expires=301"),
        ("response-content-disposition=attachment", "response-content-disposition=inline"),
        ("response-content-type=text", "response-content-type=html"),
        ("/linked/", "/other/"),
    ] {
        assert!(address.contains(what), "{what} is not in {address}");
        assert!(!holds(&address.replace(what, with), "test"), "{what} can be changed");
    }
}

#[tokio::test]
async fn a_link_works_between_a_second_and_seven_days() {
    let server = S3Server::start("files");
    let store = stores::s3(&server, "p");
    let file = file(&store).await;
    for wrong in [Duration::ZERO, Duration::from_hours(24 * 7 + 1)] {
        let error = store.link(&file, &LinkOptions { expires_in: wrong, ..LinkOptions::at(now()) }).await.unwrap_err();
        assert!(error.to_string().starts_with("expires: is "), "{error}");
    }
    let week = Duration::from_hours(24 * 7);
    let link = signed(&store, &file, &LinkOptions { expires_in: week, ..LinkOptions::at(now()) }).await;
    assert_eq!(value(&Url::parse(link.reveal()).unwrap(), "X-Amz-Expires"), "604800");
}

#[tokio::test]
async fn a_folder_answers_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let store = stores::folder(&folder);
    let file = file(&store).await;
    let Link::Path(path) = store.link(&file, &LinkOptions::at(now())).await.unwrap() else {
        panic!("a folder signs nothing")
    };
    assert!(path.is_absolute());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "id,名\n1,王\n");
    std::fs::remove_file(path).unwrap();
    let error = store.link(&file, &LinkOptions::at(now())).await.unwrap_err();
    assert!(matches!(error, ArtifactError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn what_cannot_sign_says_so() {
    let memory = stores::memory();
    let error = memory.link(&file(&memory).await, &LinkOptions::at(now())).await.unwrap_err();
    assert!(error.to_string().contains("cannot sign links"), "{error}");

    let server = S3Server::start("files");
    let known = file(&stores::s3(&server, "p")).await;
    let open =
        StoreConfig::new("s3://files/p").with("AWS_ENDPOINT_URL", server.endpoint()).with("AWS_SKIP_SIGNATURE", "true");
    let open = ArtifactStore::open(&open).unwrap();
    let error = open.link(&known, &LinkOptions::at(now())).await.unwrap_err();
    assert!(error.to_string().contains("cannot sign links"), "an open bucket has no credentials: {error}");
}

#[tokio::test]
async fn a_file_is_chosen_by_its_name() {
    let store = stores::memory();
    let owner = attempt("two", 1, 1);
    let files = [stage(&store, &owner, "a.csv", &[b"1"]).await, stage(&store, &owner, "b.csv", &[b"2"]).await];
    let two = manifest(&owner, files.to_vec());
    assert_eq!(two.file(Some("b.csv")).unwrap().name, "b.csv");
    let error = two.file(None).unwrap_err().to_string();
    assert_eq!(error, "file: is missing, and job two has 2 files; name one of: a.csv, b.csv");
    let error = two.file(Some("c.csv")).unwrap_err();
    assert!(matches!(error, ArtifactError::NotFound(_)) && error.to_string().contains("a.csv, b.csv"), "{error}");
    let one = manifest(&owner, files[..1].to_vec());
    assert_eq!(one.file(None).unwrap().name, "a.csv");
}
