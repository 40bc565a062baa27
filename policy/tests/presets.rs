//! The preset files keep their promises: 71 domains in the common list, and ecosystems that are
//! parts of it and leave none out.

use std::collections::BTreeSet;

use weir_policy::preset;

const COMMON: &str = "common-dependencies";

#[test]
fn common_dependencies_has_the_71_domains() {
    let common = preset::find(COMMON).expect("the preset exists").domains;
    assert_eq!(common.len(), 71);
    assert!(common.is_sorted(), "the product page lists them in alphabetical order");
    assert_eq!((common.first(), common.last()), (Some(&"alpinelinux.org"), Some(&"yarnpkg.com")));
}

#[test]
fn ecosystems_are_parts_of_it_and_leave_none_out() {
    let common = preset::find(COMMON).expect("the preset exists").domains;
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let ecosystems = preset::all().iter().filter(|preset| preset.name != COMMON);
    for ecosystem in ecosystems {
        assert!(!ecosystem.domains.is_empty(), "{} is empty", ecosystem.name);
        let places: Option<Vec<usize>> =
            ecosystem.domains.iter().map(|domain| common.iter().position(|entry| entry == domain)).collect();
        let places = places.unwrap_or_else(|| panic!("{} holds a domain that {COMMON} has not", ecosystem.name));
        assert!(places.is_sorted(), "{} keeps the order of {COMMON}", ecosystem.name);
        seen.extend(ecosystem.domains);
    }
    let left_out: Vec<&str> = common.iter().copied().filter(|domain| !seen.contains(domain)).collect();
    assert!(left_out.is_empty(), "in no ecosystem: {left_out:?}");
}
