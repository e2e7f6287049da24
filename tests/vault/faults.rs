//! Faults inside the store are told to those who run it, not to its callers.

use aws_sdk_secretsmanager::error::ProvideErrorMetadata;

use crate::place::Place;
use crate::served::Served;

#[tokio::test]
async fn a_caller_hears_nothing_of_the_inside() {
    let place = Place::new();
    let served = Served::start(&place);
    let client = served.client();
    let created = client.create_secret().name("a").secret_string("one");
    created.send().await.unwrap();
    let file = rusqlite::Connection::open(place.database()).unwrap();
    file.execute_batch("PRAGMA foreign_keys = off; ALTER TABLE label RENAME TO lost")
        .unwrap();
    let failed = client.get_secret_value().secret_id("a").send().await;
    let error = failed.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("InternalServiceError"));
    let message = error.message().unwrap_or_default();
    assert!(message.contains("its log says more"), "{message}");
    for inside in ["label", "table", place.directory().to_str().unwrap()] {
        assert!(!message.contains(inside), "{message}");
    }
    file.execute_batch("ALTER TABLE lost RENAME TO label")
        .unwrap();
    let got = client.get_secret_value().secret_id("a").send().await;
    assert_eq!(got.unwrap().secret_string(), Some("one"));
}
