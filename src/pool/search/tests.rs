use super::pace::{FIRST_PAUSE, LAST_PAUSE, OPEN_PAUSE};
use super::*;
use crate::secret::{Depth, Standing};
use proptest::prelude::*;

const GRACE: Duration = Duration::from_secs(120);

fn version(name: &str) -> VersionId {
    VersionId::new(name)
}

fn candidate(standing: Standing, name: &str) -> Candidate {
    Candidate {
        standing,
        version: version(name),
        place: "h:5432/d".into(),
        akin: true,
    }
}

fn observed(in_force: Option<&str>, current: Option<&str>) -> Input {
    Input::Observed {
        in_force: in_force.map(version),
        current: current.map(version),
    }
}

/// A version is in force and logs in.
fn steady() -> (Search, Instant) {
    let now = Instant::now();
    let mut search = Search::new(GRACE, now);
    search.worked(true);
    (search, now)
}

/// The version in force has been refused, or there never was one.
fn seeking(in_force: Option<&str>) -> (Search, Instant) {
    let (mut search, now) = steady();
    match in_force {
        Some(name) => {
            assert!(search.refused(version(name), "no".into(), LoginFailure::Password, now))
        }
        None => search = Search::new(GRACE, now),
    }
    (search, now)
}

fn looked_up(depth: Depth, candidates: Vec<Candidate>) -> Input {
    Input::LookedUp {
        depth,
        candidates,
        failure: None,
        more: false,
    }
}

fn is_hopeless(search: &Search) -> bool {
    matches!(
        search.obstacle(),
        Some(Obstacle::NoVersion { never: true, .. })
    )
}

fn failed(candidate: &Candidate, verdict: Verdict) -> Input {
    let place = candidate.place.clone();
    let (version, standing) = (candidate.version.clone(), candidate.standing);
    Input::Failed(Tried::now(version, standing, place, verdict, "no".into()))
}

fn probe(name: &str, standing: Standing) -> Action {
    Action::Probe(version(name), standing)
}

fn is_pause(action: &Action, least: Duration, most: Duration) -> bool {
    matches!(action, Action::Pause(p) if (least..=most).contains(p))
}

#[test]
fn the_window_of_a_single_user_rotation() {
    let (mut search, now) = steady();
    let as_it_was = observed(Some("1"), Some("1"));
    assert_eq!(search.step(as_it_was, now), Action::Rest);
    // The password has changed, and only AWSPENDING knows it.
    assert!(search.refused(version("1"), "no".into(), LoginFailure::Password, now));
    assert!(search.is_seeking());
    let refused = observed(Some("1"), Some("1"));
    let action = search.step(refused, now);
    assert_eq!(action, Action::LookUp(Depth::Labelled));
    let offers = vec![
        candidate(Standing::LastGood, "1"),
        candidate(Standing::Current, "1"),
        candidate(Standing::Previous, "0"),
        candidate(Standing::Pending, "2"),
    ];
    let looked = looked_up(Depth::Labelled, offers);
    let action = search.step(looked, now);
    assert_eq!(action, probe("2", Standing::Pending));
    search.worked(true);
    assert!(search.is_good());
    // AWSCURRENT was just refused: no hurry, until its label moves.
    let still = search.step(observed(Some("2"), Some("1")), now);
    assert!(
        is_pause(&still, OPEN_PAUSE / 2, OPEN_PAUSE * 2),
        "{still:?}"
    );
    let moved = observed(Some("2"), Some("2"));
    assert_eq!(search.step(moved, now), Action::Rest);
}

#[test]
fn a_new_current_version_is_proved_beside_the_one_in_force() {
    let (mut search, now) = steady();
    let new = observed(Some("1"), Some("2"));
    assert_eq!(search.step(new, now), probe("2", Standing::Current));
    let refused = |name| failed(&candidate(Standing::Current, name), Verdict::Refused);
    let pause = search.step(refused("2"), now);
    assert!(is_pause(&pause, Duration::ZERO, FIRST_PAUSE), "{pause:?}");
    let again = search.step(Input::PauseOver, now);
    assert_eq!(again, probe("2", Standing::Current));
    // Nobody hammers a role for ever: but whoever corrects it is heard.
    let pause = search.step(refused("2"), now + GRACE);
    assert!(
        is_pause(&pause, OPEN_PAUSE / 2, OPEN_PAUSE * 2),
        "{pause:?}"
    );
    // Of the same version, or by another one that takes its place.
    for version in ["2", "3"] {
        assert_eq!(search.step(Input::News, now + GRACE), Action::Rest);
        let now_current = observed(Some("1"), Some(version));
        let news = search.step(now_current, now + GRACE);
        assert_eq!(news, probe(version, Standing::Current));
        let pause = search.step(refused(version), now + GRACE);
        assert!(is_pause(&pause, Duration::ZERO, FIRST_PAUSE), "{pause:?}");
    }
}

#[test]
fn a_secret_that_never_logged_in_is_given_up_after_one_round() {
    let (mut search, now) = seeking(None);
    let current = candidate(Standing::Current, "1");
    search.step(observed(None, Some("1")), now);
    for depth in [Depth::Labelled, Depth::All] {
        assert!(!is_hopeless(&search), "the round is not over");
        search.step(looked_up(depth, vec![current.clone()]), now);
        search.step(failed(&current, Verdict::Refused), now);
    }
    assert!(is_hopeless(&search));
    search.step(Input::PauseOver, now);
    assert!(is_hopeless(&search), "until another one is there");
    search.step(Input::News, now);
    assert!(!is_hopeless(&search), "that has its turn first");
    search.worked(true);
    assert!(search.refused(version("1"), "no".into(), LoginFailure::Password, now));
    for depth in [Depth::Labelled, Depth::All] {
        search.step(looked_up(depth, vec![current.clone()]), now);
    }
    assert!(!is_hopeless(&search), "a rotation may be under way");
}

#[test]
fn a_store_that_does_not_answer_or_rotates_may_have_a_version() {
    let (mut search, now) = seeking(None);
    search.step(observed(None, None), now);
    let looked = |more| Input::LookedUp {
        depth: Depth::Labelled,
        candidates: Vec::new(),
        failure: Some("no answer".into()),
        more,
    };
    assert!(matches!(search.step(looked(true), now), Action::Pause(_)));
    assert!(!is_hopeless(&search));
    search.step(Input::PauseOver, now);
    assert!(matches!(search.step(looked(false), now), Action::Pause(_)));
    assert!(is_hopeless(&search));
}

#[test]
fn the_password_of_a_cancelled_rotation_is_found() {
    let (mut search, now) = seeking(Some("1"));
    search.step(observed(Some("1"), Some("1")), now);
    let current = candidate(Standing::Current, "1");
    let looked = looked_up(Depth::Labelled, vec![current.clone()]);
    assert_eq!(search.step(looked, now), Action::LookUp(Depth::All));
    let stray = candidate(Standing::Unlabelled, "2");
    let looked = looked_up(Depth::All, vec![current, stray]);
    assert_eq!(search.step(looked, now), probe("2", Standing::Unlabelled));
}

#[test]
fn who_leads_elsewhere_is_not_tried() {
    let (mut search, now) = seeking(Some("1"));
    search.step(observed(Some("1"), Some("1")), now);
    let mut pending = candidate(Standing::Pending, "2");
    pending.akin = false;
    let looked = looked_up(Depth::Labelled, vec![pending.clone()]);
    assert_eq!(search.step(looked, now), Action::LookUp(Depth::All));
    pending.standing = Standing::Unlabelled;
    let looked = looked_up(Depth::All, vec![pending]);
    assert!(matches!(search.step(looked, now), Action::Pause(_)));
}

fn standings() -> impl Strategy<Value = Standing> {
    prop::sample::select(vec![
        Standing::LastGood,
        Standing::Remembered,
        Standing::Current,
        Standing::Pending,
        Standing::Previous,
        Standing::Unlabelled,
    ])
}

prop_compose! {
    fn offers()(all in prop::collection::vec((standings(), 0..6u8, 0..3u8, any::<bool>()), 0..8))
        -> Vec<Candidate> {
        all.into_iter().map(|(standing, v, place, akin)| Candidate {
            standing,
            version: version(&v.to_string()),
            place: place.to_string().into(),
            akin,
        }).collect()
    }
}

proptest! {
    /// Whatever the store offers and the servers say: a round ends, tries
    /// nothing twice, in the order of trust, and nothing that may not be.
    #[test]
    fn a_round_keeps_the_rules(
        labelled in offers(),
        all in offers(),
        in_force in prop::option::of(0..6u8),
        verdicts in prop::collection::vec(
            prop::sample::select(vec![
                Verdict::Refused, Verdict::Later, Verdict::Unfit, Verdict::Useless,
            ]), 16),
    ) {
        let in_force = in_force.map(|v| v.to_string());
        let (mut search, now) = seeking(in_force.as_deref());
        let mut refused = in_force.is_some();
        let mut tried: Vec<VersionId> = in_force.iter().map(|v| version(v)).collect();
        let mut silent = Vec::new();
        let mut verdicts = verdicts.into_iter();
        let mut offered: &[Candidate] = &[];
        let mut last = None;
        let mut action = search.step(observed(in_force.as_deref(), None), now);
        let mut looks = 0;
        loop {
            action = match action {
                Action::LookUp(depth) => {
                    looks += 1;
                    prop_assert!(looks <= 2, "one look at each depth");
                    prop_assert!(depth == Depth::Labelled || refused);
                    offered = if depth == Depth::All { &all } else { &labelled };
                    last = None;
                    search.step(looked_up(depth, offered.to_vec()), now)
                }
                Action::Probe(v, standing) => {
                    prop_assert!(!tried.contains(&v), "twice");
                    // A refusal may be what makes AWSPENDING worth a try.
                    let late = standing == Standing::Pending && refused;
                    prop_assert!(last <= Some(standing) || late, "out of order");
                    let mut same = offered.iter();
                    let c = same.find(|c| c.version == v && c.standing == standing
                        && !silent.contains(&c.place));
                    let Some(c) = c else {
                        return Err(TestCaseError::fail("not on offer"));
                    };
                    if matches!(standing, Standing::Pending | Standing::Unlabelled) {
                        prop_assert!(refused, "nothing was refused before");
                        let mut same = offered.iter().filter(|c| c.version == v);
                        prop_assert!(same.any(|c| c.akin), "leads elsewhere");
                    }
                    let verdict = verdicts.next().unwrap_or(Verdict::Refused);
                    refused |= verdict == Verdict::Refused;
                    if matches!(verdict, Verdict::Later | Verdict::Unfit) && offered.iter()
                        .filter(|o| o.version == v && o.standing == standing).count() == 1 {
                        silent.push(c.place.clone());
                    }
                    last = Some(standing);
                    tried.push(v);
                    search.step(failed(c, verdict), now)
                }
                Action::Pause(pause) => {
                    prop_assert!(pause <= LAST_PAUSE);
                    break;
                }
                Action::Rest => {
                    prop_assert!(false, "nothing works, and it rests");
                    break;
                }
            };
        }
    }

    /// Any sequence of events whatever: no attempt without a candidate, and
    /// never faster than the backoff once nothing works.
    #[test]
    fn no_sequence_of_events_confuses_it(events in prop::collection::vec(0..9u8, 1..60), all in offers()) {
        let (mut search, mut now) = steady();
        let mut probing = None;
        for event in events {
            now += Duration::from_secs(7);
            let event = match (event, probing.take()) {
                (0, _) => observed(Some("1"), Some("1")),
                (1, _) => observed(Some("1"), Some("2")),
                (2, _) => {
                    search.refused(version("1"), "no".into(), LoginFailure::Password, now);
                    observed(Some("1"), Some("2"))
                }
                (3, _) => {
                    search = Search::new(GRACE, now);
                    observed(None, None)
                }
                (4, _) => Input::News,
                (5, _) => Input::PauseOver,
                (6, _) => looked_up(Depth::All, all.clone()),
                (7, Some(_)) => {
                    search.worked(true);
                    prop_assert!(search.is_good());
                    prop_assert!(search.tried().is_empty());
                    continue;
                }
                (8, Some((version, standing))) => {
                    let mut tried = candidate(standing, "");
                    tried.version = version;
                    failed(&tried, Verdict::Refused)
                }
                _ => continue,
            };
            let action = search.step(event, now);
            if let Action::Probe(version, standing) = action {
                probing = Some((version, standing));
            }
        }
    }
}

#[test]
fn what_was_tried_before_a_search_is_tried_again_in_it() {
    let (mut search, now) = steady();
    let new = candidate(Standing::Current, "2");
    let action = search.step(observed(Some("1"), Some("2")), now);
    assert_eq!(action, probe("2", Standing::Current));
    search.step(failed(&new, Verdict::Refused), now);
    search.refused(version("1"), "no".into(), LoginFailure::Password, now);
    search.step(observed(Some("1"), Some("2")), now);
    let looked = looked_up(Depth::Labelled, vec![new.clone()]);
    assert_eq!(search.step(looked, now), probe("2", Standing::Current));
    search.step(failed(&new, Verdict::Later), now);
    let tried: Vec<_> = search.tried().iter().map(|t| t.verdict).collect();
    assert_eq!(tried, [Verdict::Later], "each once");
    search.worked(true);
    assert_eq!(search.tried_before().len(), 1);
}

#[test]
fn a_server_that_is_down_is_no_reason_to_search() {
    let (mut search, now) = steady();
    search.is_down(Down::new("away".into(), LoginFailure::Unreachable, true));
    assert!(matches!(search.health(), Health::Down(_)));
    let as_it_was = observed(Some("1"), Some("1"));
    assert_eq!(search.step(as_it_was, now), Action::Rest);
    // But a refusal is, and what a straggler meets does not end the search.
    assert!(search.refused(version("1"), "wrong".into(), LoginFailure::Password, now));
    search.is_down(Down::new("away".into(), LoginFailure::Unreachable, true));
    assert!(search.is_seeking());
    assert_eq!(search.problem().as_deref(), Some("wrong"));
    assert_eq!(search.announce().as_deref(), Some("wrong"));
    assert_eq!(search.announce(), None);
}
