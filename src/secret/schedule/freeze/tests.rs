use super::*;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn end(freeze: &str, at: &str) -> Option<DateTime<Utc>> {
    Freeze::parse(freeze).expect("a period").end(time(at))
}

#[test]
fn a_period_of_days_has_both() {
    let freeze = "2026-12-20/2027-01-03";
    assert_eq!(end(freeze, "2026-12-19T23:59:59Z"), None);
    let free = Some(time("2027-01-04T00:00:00Z"));
    assert_eq!(end(freeze, "2026-12-20T00:00:00Z"), free);
    assert_eq!(end(freeze, "2027-01-03T23:59:59Z"), free);
    assert_eq!(end(freeze, "2027-01-04T00:00:00Z"), None);
}

#[test]
fn a_period_that_is_over_comes_never_again() {
    let all = [
        "2026-12-20/2026-12-21",
        "2026-12-20T18:00/2026-12-22T06:00",
        "12-20/12-21",
        "Mon 00:00/Tue 00:00",
    ];
    let all = all.map(|text| Freeze::parse(text).expect("a period"));
    let freezes = Freezes::new(all.to_vec()).expect("free at times");
    assert!(freezes.past(time("2026-12-21T23:59:59Z")).is_empty());
    let first = "2026-12-20T00:00/2026-12-22T00:00";
    assert_eq!(freezes.past(time("2026-12-22T00:00:00Z")), [first]);
    assert_eq!(freezes.past(time("2027-01-01T00:00:00Z")).len(), 2);
}

#[test]
fn a_period_of_moments_has_not_its_end() {
    let freeze = "2026-12-20T18:00/2026-12-21T06:00Z";
    assert_eq!(end(freeze, "2026-12-20T17:59:59Z"), None);
    let free = Some(time("2026-12-21T06:00:00Z"));
    assert_eq!(end(freeze, "2026-12-21T05:59:59Z"), free);
    assert_eq!(end(freeze, "2026-12-21T06:00:00Z"), None);
}

#[test]
fn a_period_comes_every_year_also_over_its_end() {
    for year in [2026, 2027, 2028] {
        let at = |day: &str| format!("{year}-{day}T12:00:00Z");
        let next = Some(time(&format!("{}-01-04T00:00:00Z", year + 1)));
        assert_eq!(end("12-20/01-03", &at("12-31")), next);
        assert_eq!(end("12-20/01-03", &at("12-19")), None);
        assert_eq!(end("12-20/01-03", &at("01-04")), None);
    }
    let march = Some(time("2028-03-01T00:00:00Z"));
    assert_eq!(end("02-28/02-29", "2028-02-28T01:00:00Z"), march);
}

#[test]
fn a_period_comes_every_week_also_over_its_end() {
    // A Friday.
    let monday = Some(time("2026-12-07T06:00:00Z"));
    for freeze in ["Fri 16:00/Mon 06:00", "friday 16:00/monday 06:00"] {
        assert_eq!(end(freeze, "2026-12-04T15:59:59Z"), None);
        assert_eq!(end(freeze, "2026-12-04T16:00:00Z"), monday);
        assert_eq!(end(freeze, "2026-12-07T05:59:59Z"), monday);
        assert_eq!(end(freeze, "2026-12-07T06:00:00Z"), None);
    }
    let noon = Some(time("2026-12-02T12:00:00Z"));
    assert_eq!(end("Wed 08:00/Wed 12:00", "2026-12-02T08:00:30Z"), noon);
    assert_eq!(end("Wed 08:00/Wed 12:00", "2026-12-02T07:59:30Z"), None);
}

#[test]
fn what_is_no_period_is_said() {
    for wrong in [
        "",
        "/",
        "christmas",
        "2026-12-20",
        "2026-12-20/",
        "2027-01-03/2026-12-20",
        "13-01/13-02",
        "02-30/03-01",
        "Fri/Mon",
        "Fri 25:00/Mon 06:00",
        "Fri 16:00/Fri 16:00",
        "Fri 16:00/2026-12-20",
        "2026-12-20T18:00/2026-12-20T18:00",
    ] {
        let error = Freeze::parse(wrong).expect_err(wrong);
        assert!(error.contains(&format!("{wrong:?}")), "{error}");
    }
}

fn freezes(all: &[&str]) -> Result<Freezes, String> {
    Freezes::new(
        all.iter()
            .map(|one| Freeze::parse(one).expect("a period"))
            .collect(),
    )
}

#[test]
fn what_leaves_no_moment_free_is_refused() {
    for all in [
        &["01-01/12-31"][..],
        &["Mon 00:00/Thu 00:00", "Thu 00:00/Mon 00:00"],
    ] {
        let error = freezes(all).expect_err("no moment");
        assert!(error.contains("no moment free"), "{error}");
    }
    assert!(freezes(&["01-02/12-31", "Mon 00:01/Mon 00:00"]).is_ok());
}

#[test]
fn a_rotation_starts_soon_after_the_freeze_each_at_its_own_moment() {
    let freezes = freezes(&["2026-12-20/2027-01-03", "Sat 00:00/Mon 06:00"]).expect("free");
    // The period of days ends where a Monday begins, which is frozen until six.
    let free = time("2027-01-04T06:00:00Z");
    let (due, now) = (time("2026-12-24T03:00:00Z"), time("2026-12-22T00:00:00Z"));
    let mut starts = std::collections::BTreeSet::new();
    for n in 0..20 {
        let at = freezes.postponed(due, now, &format!("s{n}"));
        assert!(free <= at && at <= free + TimeDelta::minutes(30), "{at}");
        // Also when it looks again, in the freeze and behind it.
        for later in ["2027-01-02T00:00:00Z", "2027-01-04T06:00:01Z"] {
            assert_eq!(freezes.postponed(due, time(later), &format!("s{n}")), at);
        }
        starts.insert(at);
    }
    assert!(starts.len() > 15);
}

#[test]
fn a_late_rotation_does_not_start_in_a_freeze_either() {
    let freezes = freezes(&["2026-12-20/2027-01-03"]).expect("free");
    let (due, now) = (time("2026-12-10T03:00:00Z"), time("2026-12-22T00:00:00Z"));
    assert!(freezes.postponed(due, now, "s") >= time("2027-01-04T00:00:00Z"));
    let before = time("2026-12-19T00:00:00Z");
    assert_eq!(freezes.postponed(due, before, "s"), due);
    assert_eq!(Freezes::default().postponed(due, now, "s"), due);
}
