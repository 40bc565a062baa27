//! No case is lost: `tests/data/counts.json` counts the cases of each kind, and a count only grows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    #[serde(rename = "about")]
    _about: String,
    /// Cases of each table.
    tables: BTreeMap<String, usize>,
    /// Cases of each class of the survey, across all tables.
    survey: BTreeMap<String, usize>,
}

/// The number of cases of each kind, in the form of counts.json.
fn count<'n>(names: impl IntoIterator<Item = &'n str>) -> BTreeMap<String, usize> {
    names.into_iter().fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name.to_owned()).or_default() += 1;
        counts
    })
}

fn ids(groups: &[weir_cases::DecisionGroup]) -> Vec<String> {
    groups.iter().flat_map(|group| &group.cases).map(|case| case.id.clone()).collect()
}

#[test]
fn no_case_is_lost() {
    let counts: Counts = serde_json::from_str(include_str!("../../data/counts.json")).expect("tests/data/counts.json");
    let (decisions, survey) = (weir_cases::decisions(), weir_cases::survey());
    let (authorities, attacks) = (weir_cases::authorities(), weir_cases::attacks());
    let (refused, accepted) = (weir_cases::refused_policies(), weir_cases::accepted_policies());
    let (tls, client_hellos) = (weir_cases::tls(), weir_cases::client_hellos());

    let (all, of_survey) = (ids(&decisions), ids(&survey));
    let tables = [
        ("accepted-policies", accepted.len()),
        ("attacks", attacks.len()),
        ("authorities", authorities.len()),
        ("decisions", all.len() - of_survey.len()),
        ("client-hellos", client_hellos.len()),
        ("refused-policies", refused.len()),
        ("survey", of_survey.len()),
        ("tls", tls.iter().map(|group| group.cases.len()).sum()),
    ];
    let tables: BTreeMap<_, _> = tables.map(|(name, count)| (name.to_owned(), count)).into();

    let elsewhere = (decisions.iter().flat_map(|group| &group.cases).flat_map(|case| &case.survey))
        .chain(authorities.iter().flat_map(|case| &case.survey))
        .chain(attacks.iter().flat_map(|case| &case.survey))
        .chain(refused.iter().flat_map(|case| &case.survey));
    let of_survey: Vec<&String> = of_survey.iter().chain(elsewhere).collect();
    let distinct: BTreeSet<_> = of_survey.iter().collect();
    assert_eq!(distinct.len(), of_survey.len(), "a case of the survey is covered twice");
    let classes = count(of_survey.iter().map(|id| id.rsplit_once('-').expect("a class and a number").0));

    let differ = "a case is missing, or is new; for a new case raise the number in tests/data/counts.json";
    assert_eq!(counts.tables, tables, "{differ}");
    assert_eq!(counts.survey, classes, "{differ}");
    assert!(distinct.len() >= 384, "the survey had 384 cases");
}
