use super::*;
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

fn observed(in_force: Option<&str>, current: Option<&str>, seeking: bool) -> Event {
    Event::Observed {
        in_force: in_force.map(version),
        current: current.map(version),
        seeking,
    }
}

fn probe(name: &str, standing: Standing) -> Action {
    Action::Probe(version(name), standing)
}

fn is_pause(action: &Action, least: Duration, most: Duration) -> bool {
    matches!(action, Action::Pause(p) if (least..=most).contains(p))
}

#[test]
fn the_window_of_a_single_user_rotation() {
    let (mut search, now) = (Search::new(GRACE), Instant::now());
    let mut step = |event| search.step(event, now);
    assert_eq!(step(observed(Some("1"), Some("1"), false)), Action::Rest);
    // The password has changed, and only AWSPENDING knows it.
    let refused = observed(Some("1"), Some("1"), true);
    assert_eq!(step(refused), Action::LookUp(Depth::Labelled));
    let offers = vec![
        candidate(Standing::LastGood, "1"),
        candidate(Standing::Current, "1"),
        candidate(Standing::Previous, "0"),
        candidate(Standing::Pending, "2"),
    ];
    let looked = Event::LookedUp(Depth::Labelled, offers);
    assert_eq!(step(looked), probe("2", Standing::Pending));
    assert_eq!(step(Event::Judged(Verdict::Works)), Action::Rest);
    // AWSCURRENT was just refused: no hurry, until its label moves.
    let still = step(observed(Some("2"), Some("1"), false));
    assert!(
        is_pause(&still, OPEN_PAUSE / 2, OPEN_PAUSE * 2),
        "{still:?}"
    );
    assert_eq!(step(observed(Some("2"), Some("2"), false)), Action::Rest);
}

#[test]
fn a_new_current_version_is_proved_beside_the_one_in_force() {
    let (mut search, now) = (Search::new(GRACE), Instant::now());
    let new = observed(Some("1"), Some("2"), false);
    assert_eq!(search.step(new, now), probe("2", Standing::Current));
    let refused = Event::Judged(Verdict::Refused);
    let pause = search.step(refused.clone(), now);
    assert!(is_pause(&pause, Duration::ZERO, FIRST_PAUSE), "{pause:?}");
    let again = search.step(Event::PauseOver, now);
    assert_eq!(again, probe("2", Standing::Current));
    // Nobody hammers a role for ever: but whoever corrects it is heard.
    let pause = search.step(refused, now + GRACE);
    assert!(
        is_pause(&pause, OPEN_PAUSE / 2, OPEN_PAUSE * 2),
        "{pause:?}"
    );
    // Of the same version, or by another one that takes its place.
    for version in ["2", "3"] {
        assert_eq!(search.step(Event::News, now + GRACE), Action::Rest);
        let now_current = observed(Some("1"), Some(version), false);
        let news = search.step(now_current, now + GRACE);
        assert_eq!(news, probe(version, Standing::Current));
        let pause = search.step(Event::Judged(Verdict::Refused), now + GRACE);
        assert!(is_pause(&pause, Duration::ZERO, FIRST_PAUSE), "{pause:?}");
    }
}

#[test]
fn the_password_of_a_cancelled_rotation_is_found() {
    let (mut search, now) = (Search::new(GRACE), Instant::now());
    search.step(observed(Some("1"), Some("1"), true), now);
    let current = candidate(Standing::Current, "1");
    let looked = Event::LookedUp(Depth::Labelled, vec![current.clone()]);
    assert_eq!(search.step(looked, now), Action::LookUp(Depth::All));
    let stray = candidate(Standing::Unlabelled, "2");
    let looked = Event::LookedUp(Depth::All, vec![current, stray]);
    assert_eq!(search.step(looked, now), probe("2", Standing::Unlabelled));
}

#[test]
fn who_leads_elsewhere_is_not_tried() {
    let (mut search, now) = (Search::new(GRACE), Instant::now());
    search.step(observed(Some("1"), Some("1"), true), now);
    let mut pending = candidate(Standing::Pending, "2");
    pending.akin = false;
    let looked = Event::LookedUp(Depth::Labelled, vec![pending.clone()]);
    assert_eq!(search.step(looked, now), Action::LookUp(Depth::All));
    pending.standing = Standing::Unlabelled;
    let looked = Event::LookedUp(Depth::All, vec![pending]);
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
            prop::sample::select(vec![Verdict::Refused, Verdict::Silent, Verdict::Useless]), 16),
    ) {
        let (mut search, now) = (Search::new(GRACE), Instant::now());
        let in_force = in_force.map(|v| v.to_string());
        let mut refused = in_force.is_some();
        let mut tried: Vec<VersionId> = in_force.iter().map(|v| version(v)).collect();
        let mut silent = Vec::new();
        let mut verdicts = verdicts.into_iter();
        let mut offered: &[Candidate] = &[];
        let mut last = None;
        let mut action = search.step(observed(in_force.as_deref(), None, true), now);
        let mut looks = 0;
        loop {
            action = match action {
                Action::LookUp(depth) => {
                    looks += 1;
                    prop_assert!(looks <= 2, "one look at each depth");
                    prop_assert!(depth == Depth::Labelled || refused);
                    offered = if depth == Depth::All { &all } else { &labelled };
                    last = None;
                    search.step(Event::LookedUp(depth, offered.to_vec()), now)
                }
                Action::Probe(v, standing) => {
                    prop_assert!(!tried.contains(&v), "twice");
                    // A refusal may be what makes AWSPENDING worth a try.
                    let late = standing == Standing::Pending && refused;
                    prop_assert!(last <= Some(standing) || late, "out of order");
                    let mut same = offered.iter();
                    let c = same.find(|c| c.version == v && c.standing == standing
                        && !silent.contains(&c.place));
                    prop_assert!(c.is_some(), "not on offer");
                    if matches!(standing, Standing::Pending | Standing::Unlabelled) {
                        prop_assert!(refused, "nothing was refused before");
                        let mut same = offered.iter().filter(|c| c.version == v);
                        prop_assert!(same.any(|c| c.akin), "leads elsewhere");
                    }
                    let verdict = verdicts.next().unwrap_or(Verdict::Refused);
                    refused |= verdict == Verdict::Refused;
                    if verdict == Verdict::Silent && offered.iter()
                        .filter(|o| o.version == v && o.standing == standing).count() == 1 {
                        silent.extend(c.map(|c| c.place.clone()));
                    }
                    last = Some(standing);
                    tried.push(v);
                    search.step(Event::Judged(verdict), now)
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
        let (mut search, mut now) = (Search::new(GRACE), Instant::now());
        let mut probing = false;
        for event in events {
            now += Duration::from_secs(7);
            let event = match event {
                0 => observed(Some("1"), Some("1"), false),
                1 => observed(Some("1"), Some("2"), false),
                2 => observed(Some("1"), Some("2"), true),
                3 => observed(None, None, true),
                4 => Event::News,
                5 => Event::PauseOver,
                6 => Event::LookedUp(Depth::All, all.clone()),
                7 if probing => Event::Judged(Verdict::Works),
                8 if probing => Event::Judged(Verdict::Refused),
                _ => continue,
            };
            let worked = event == Event::Judged(Verdict::Works);
            let action = search.step(event, now);
            probing = matches!(action, Action::Probe(..));
            if worked {
                prop_assert_eq!(action, Action::Rest);
            }
        }
    }
}
