//! One rule of Secrets Manager a test.

use super::*;
use crate::secret::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Deletion};
use crate::vault::tx::DAY;
use crate::vault::{delete, search};

fn kind<T>(result: Result<T, VaultError>) -> &'static str {
    match result {
        Ok(_) => "success",
        Err(e) => e.aws_type(),
    }
}

#[test]
pub(super) fn a_secret_id_is_a_name_an_arn_or_a_partial_arn() {
    let mut m = Memory::new();
    m.create("prod/a", "one", 1).unwrap();
    let arn = m.describe("prod/a").unwrap().arn.to_string();
    let (partial, suffix) = arn.rsplit_once('-').unwrap();
    assert_eq!(
        partial,
        "arn:aws:secretsmanager:local:000000000000:secret:prod/a"
    );
    assert!(suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric()));
    for id in ["prod/a", &arn, partial] {
        assert_eq!(m.get(id, AWSCURRENT).unwrap(), "one");
    }
    for id in [
        "prod",
        "prod/a-",
        &arn.replace("local", "eu-west-1"),
        &arn[..arn.len() - 1],
    ] {
        assert_eq!(kind(m.get(id, AWSCURRENT)), "ResourceNotFoundException");
    }
    assert_eq!(kind(m.get("", AWSCURRENT)), "InvalidParameterException");

    // A name that looks like another's ARN does not take its place.
    let lookalike = format!("prod/a-{suffix}");
    m.create(&lookalike, "two", 1).unwrap();
    assert_eq!(m.get(&arn, AWSCURRENT).unwrap(), "one");
    assert_eq!(m.get(&lookalike, AWSCURRENT).unwrap(), "two");
}

#[test]
pub(super) fn names_tokens_values_and_labels_have_limits() {
    let mut m = Memory::new();
    let longest = "a".repeat(512);
    m.create(&longest, "v", 1).unwrap();
    m.create("A-z_0/9+=.@", &"x".repeat(65_536), 1).unwrap();
    for name in ["", "a b", "a!", "ä", "a\0", &"a".repeat(513)] {
        assert_eq!(kind(m.create(name, "v", 1)), "ValidationException");
    }
    for value in ["", &"x".repeat(65_537)] {
        assert_eq!(kind(m.create("b", value, 1)), "InvalidParameterException");
    }
    for token in ["x".repeat(31), "x".repeat(65)] {
        let put = m.tx(|tx| create(tx, "b", None, &text("v"), Some(&token)));
        assert_eq!(kind(put), "InvalidParameterException");
    }
    for label in ["", &"x".repeat(257)] {
        assert_eq!(
            kind(m.put(&longest, "w", &[label], 2)),
            "InvalidParameterException"
        );
    }
    assert_eq!(
        kind(m.describe("b")),
        "ResourceNotFoundException",
        "nothing was left behind"
    );
}

#[test]
pub(super) fn a_repeated_request_is_harmless_and_another_value_is_refused() {
    let mut m = Memory::new();
    m.create("a", "one", 1).unwrap();
    m.create("a", "one", 1).unwrap();
    assert_eq!(kind(m.create("a", "two", 1)), "ResourceExistsException");
    assert_eq!(kind(m.create("a", "one", 2)), "ResourceExistsException");

    m.put("a", "two", &[], 2).unwrap();
    m.put("a", "three", &[], 3).unwrap();
    // Again, and late: nothing moves.
    m.put("a", "two", &[], 2).unwrap();
    assert_eq!(m.get("a", AWSCURRENT).unwrap(), "three");
    assert_eq!(kind(m.put("a", "other", &[], 2)), "ResourceExistsException");
}

#[test]
pub(super) fn current_leaves_previous_behind() {
    let mut m = Memory::new();
    m.create("a", "one", 1).unwrap();
    assert_eq!(m.staged("a", AWSCURRENT), Some(token(1)));
    assert_eq!(m.staged("a", AWSPREVIOUS), None);
    m.put("a", "two", &[], 2).unwrap();
    assert_eq!(m.get("a", AWSPREVIOUS).unwrap(), "one");
    m.put("a", "three", &[AWSPENDING], 3).unwrap();
    assert_eq!(m.get("a", AWSCURRENT).unwrap(), "two");
    m.stage("a", AWSCURRENT, Some(3), Some(2)).unwrap();
    assert_eq!(m.staged("a", AWSCURRENT), Some(token(3)));
    assert_eq!(m.staged("a", AWSPREVIOUS), Some(token(2)));
    assert_eq!(
        m.staged("a", AWSPENDING),
        Some(token(3)),
        "it stays on what is promoted"
    );
    // And back.
    m.stage("a", AWSCURRENT, Some(2), Some(3)).unwrap();
    assert_eq!(m.staged("a", AWSPREVIOUS), Some(token(3)));
    assert_eq!(m.staged("a", AWSPENDING), None, "it is not left behind");
    assert_eq!(m.describe("a").unwrap().versions.len(), 2);
}

#[test]
pub(super) fn a_label_is_taken_only_from_the_version_that_is_named() {
    let mut m = Memory::new();
    m.create("a", "one", 1).unwrap();
    m.put("a", "two", &["blue"], 2).unwrap();
    let unnamed = m.stage("a", AWSCURRENT, Some(2), None).unwrap_err();
    assert!(
        unnamed
            .to_string()
            .contains("RemoveFromVersionId can't be empty")
    );
    assert_eq!(
        kind(m.stage("a", AWSCURRENT, Some(2), Some(2))),
        "InvalidParameterException"
    );
    assert_eq!(
        kind(m.stage("a", AWSCURRENT, None, Some(1))),
        "InvalidParameterException"
    );
    assert_eq!(
        kind(m.stage("a", AWSCURRENT, None, None)),
        "InvalidParameterException"
    );
    assert_eq!(
        kind(m.stage("a", "green", Some(9), None)),
        "ResourceNotFoundException"
    );
    assert_eq!(
        kind(m.stage("a", "green", Some(1), Some(2))),
        "InvalidParameterException"
    );
    m.stage("a", "green", Some(1), None).unwrap();
    m.stage("a", "green", Some(1), None).unwrap();
    m.stage("a", "blue", None, Some(2)).unwrap();
    assert_eq!(m.staged("a", "blue"), None);
    assert_eq!(m.staged("a", "green"), Some(token(1)));
}

#[test]
pub(super) fn a_version_carries_twenty_labels() {
    let mut m = Memory::new();
    m.create("a", "one", 1).unwrap();
    for n in 0..19 {
        m.stage("a", &format!("l{n}"), Some(1), None).unwrap();
    }
    assert_eq!(
        kind(m.stage("a", "l19", Some(1), None)),
        "LimitExceededException"
    );
    assert_eq!(
        m.describe("a").unwrap().versions[&VersionId::new(token(1))].len(),
        20
    );
    let many: Vec<String> = (0..21).map(|n| format!("l{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(kind(m.put("a", "two", &many, 2)), "LimitExceededException");
    assert_eq!(m.staged("a", "l0"), Some(token(1)), "all of it was undone");
}

#[test]
pub(super) fn a_rotation_begins_with_an_empty_version_that_may_be_filled() {
    let mut m = Memory::new();
    m.create("a", "one", 1).unwrap();
    let reserve = |m: &mut Memory, n| {
        m.tx(|tx| versions::reserve(tx, "a", Some(&token(n))))
            .map(|_| ())
    };
    reserve(&mut m, 2).unwrap();
    reserve(&mut m, 2).unwrap();
    assert_eq!(kind(reserve(&mut m, 3)), "InvalidRequestException");
    assert_eq!(kind(reserve(&mut m, 1)), "ResourceExistsException");
    assert_eq!(m.staged("a", AWSPENDING), Some(token(2)));
    assert_eq!(kind(m.get("a", AWSPENDING)), "ResourceNotFoundException");
    assert_eq!(
        kind(m.stage("a", AWSCURRENT, Some(2), Some(1))),
        "InvalidRequestException"
    );

    m.put("a", "two", &[AWSPENDING], 2).unwrap();
    assert_eq!(m.get("a", AWSPENDING).unwrap(), "two");
    assert_eq!(
        kind(m.put("a", "other", &[AWSPENDING], 2)),
        "ResourceExistsException"
    );
    m.stage("a", AWSCURRENT, Some(2), Some(1)).unwrap();

    // A rotation that was given up is not brought back by a late answer.
    reserve(&mut m, 4).unwrap();
    m.stage("a", AWSPENDING, None, Some(4)).unwrap();
    assert_eq!(
        kind(m.put("a", "late", &[AWSPENDING], 4)),
        "InvalidRequestException"
    );
}

#[test]
pub(super) fn a_version_is_read_by_id_and_must_match_a_stage_given_with_it() {
    let mut m = Memory::new();
    m.create("a", "one", 1).unwrap();
    m.put("a", "two", &[], 2).unwrap();
    let mut get =
        |version: &str, stage| m.tx(|tx| get(tx, "a", Some(version), stage).map(|v| v.stages));
    assert_eq!(get(&token(1), None).unwrap(), [AWSPREVIOUS]);
    assert_eq!(get(&token(2), Some(AWSCURRENT)).unwrap(), [AWSCURRENT]);
    assert_eq!(
        kind(get(&token(1), Some(AWSCURRENT))),
        "InvalidRequestException"
    );
    assert_eq!(kind(get(&token(3), None)), "ResourceNotFoundException");
}

#[test]
pub(super) fn versions_without_a_label_are_kept_for_a_day_and_a_hundred_for_ever() {
    let count = |m: &mut Memory| -> i64 { m.tx(|tx| Ok(tx.rows.count_versions()?)).unwrap() };
    let mut m = Memory::new();
    m.create("a", "v", 0).unwrap();
    for n in 1..150 {
        m.put("a", "v", &[], n).unwrap();
    }
    assert_eq!(count(&mut m), 150, "all are younger than a day");
    m.now += DAY + 1;
    m.put("a", "v", &[], 150).unwrap();
    assert_eq!(
        count(&mut m),
        102,
        "a hundred, the current and the previous one"
    );
    // The newest were kept.
    m.tx(|tx| get(tx, "a", Some(&token(149)), None).map(|_| ()))
        .unwrap();
    m.tx(|tx| get(tx, "a", Some(&token(49)), None).map(|_| ()))
        .unwrap();
    let gone = m.tx(|tx| get(tx, "a", Some(&token(48)), None).map(|_| ()));
    assert_eq!(kind(gone), "ResourceNotFoundException");
}

/// A secret that was deleted, another of its name, and one whose name ends like
/// its ARN.
#[test]
pub(super) fn a_whole_arn_means_one_secret_only() {
    let mut m = Memory::new();
    m.create("db", "one", 1).unwrap();
    let arn = m.describe("db").unwrap().arn.to_string();
    let delete = |m: &mut Memory, id: &str| {
        m.tx(|tx| match delete::find(tx, id, Deletion::Now)? {
            Some(secret) => delete::delete(tx, &secret, Deletion::Now).map(|_| true),
            None => Ok(false),
        })
    };
    assert!(delete(&mut m, &arn).unwrap());
    let suffix = arn.rsplit_once('-').unwrap().1;
    let resembling = format!("db-{suffix}");
    m.create("db", "two", 1).unwrap();
    m.create(&resembling, "three", 1).unwrap();
    assert_eq!(kind(m.get(&arn, AWSCURRENT)), "ResourceNotFoundException");
    assert_eq!(kind(m.put(&arn, "x", &[], 2)), "ResourceNotFoundException");
    assert!(m.describe(&arn).is_err());
    assert!(!delete(&mut m, &arn).unwrap(), "nothing else is deleted");
    // By their names and their own ARNs they are found.
    for (name, value) in [("db", "two"), (resembling.as_str(), "three")] {
        assert_eq!(m.get(name, AWSCURRENT).unwrap(), value);
        let own = m.describe(name).unwrap().arn.to_string();
        assert_eq!(m.get(&own, AWSCURRENT).unwrap(), value);
    }
    let partial = arn.rsplit_once('-').unwrap().0;
    assert_eq!(m.get(partial, AWSCURRENT).unwrap(), "two");
}

#[test]
pub(super) fn deletion_waits_can_be_undone_and_ends() {
    let delete = |m: &mut Memory, id: &str, how| {
        m.tx(|tx| match delete::find(tx, id, how)? {
            Some(secret) => delete::delete(tx, &secret, how),
            None => Ok(tx.now),
        })
    };
    let restore =
        |m: &mut Memory, id: &str| m.tx(|tx| delete::restore(tx, &secrets::find(tx, id)?));
    let window = |days| Deletion::Window { days };
    let mut m = Memory::new();
    m.create("a", "one", 1).unwrap();
    for days in [6, 31] {
        assert_eq!(
            kind(delete(&mut m, "a", window(days))),
            "InvalidParameterException"
        );
    }
    assert_eq!(delete(&mut m, "a", window(7)).unwrap(), m.now + 7 * DAY);
    assert_eq!(kind(m.get("a", AWSCURRENT)), "InvalidRequestException");
    assert_eq!(kind(m.put("a", "two", &[], 2)), "InvalidRequestException");
    assert_eq!(kind(m.create("a", "one", 1)), "InvalidRequestException");
    assert_eq!(
        kind(delete(&mut m, "a", window(7))),
        "InvalidRequestException"
    );
    assert!(m.describe("a").unwrap().deleted.is_some());
    let list = |m: &mut Memory, all| {
        let search = |planned_deletion| search::Search {
            filters: Vec::new(),
            planned_deletion,
            sort_by: search::SortBy::Name,
            descending: false,
            after: None,
            limit: 100,
        };
        let page = m.tx(|tx| search::search(tx, &search(all)));
        page.unwrap_or_else(|e| panic!("{e}")).secrets.len()
    };
    assert_eq!((list(&mut m, false), list(&mut m, true)), (0, 1));

    restore(&mut m, "a").unwrap();
    restore(&mut m, "a").unwrap();
    assert_eq!(m.get("a", AWSCURRENT).unwrap(), "one");
    let arn = m.describe("a").unwrap().arn;

    delete(&mut m, "a", window(30)).unwrap();
    m.now += 30 * DAY;
    assert_eq!(kind(restore(&mut m, "a")), "ResourceNotFoundException");
    m.create("a", "again", 1).unwrap();
    assert_ne!(
        m.describe("a").unwrap().arn,
        arn,
        "another secret of the same name"
    );

    delete(&mut m, "a", Deletion::Now).unwrap();
    delete(&mut m, "a", Deletion::Now).unwrap();
    let rows = m.tx(|tx| Ok(tx.rows.count_versions()?)).unwrap();
    assert_eq!(rows, 0, "the values went with it");
}

#[test]
pub(super) fn a_value_moved_to_another_version_does_not_open() {
    let mut m = Memory::new();
    m.create("a", "one", 1).unwrap();
    m.put("a", "two", &[], 2).unwrap();
    m.tx(|tx| {
        let secret = secrets::find_live(tx, "a")?;
        let find = |n| versions::by_token(tx, &secret, &token(n)).map(Option::unwrap);
        let sealed = find(1)?.sealed.unwrap();
        Ok(tx.rows.fill_version(find(2)?.id, &sealed)?)
    })
    .unwrap();
    let refused = m.get("a", AWSCURRENT).unwrap_err();
    assert_eq!(refused.aws_type(), "DecryptionFailure");
    assert!(refused.to_string().contains(&token(2)));
    assert_eq!(m.get("a", AWSPREVIOUS).unwrap(), "one");
}

#[test]
pub(super) fn binary_values_stay_binary() {
    let mut m = Memory::new();
    let value = Value::Binary(Zeroizing::new(vec![0, 255, 7]));
    m.tx(|tx| create(tx, "a", Some("d"), &value, None)).unwrap();
    let read = m.tx(|tx| get(tx, "a", None, None)).ok().unwrap();
    assert!(read.value == value);
    assert_eq!(m.describe("a").unwrap().description.as_deref(), Some("d"));
}
