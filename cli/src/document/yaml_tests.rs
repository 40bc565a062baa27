use super::*;

fn json(text: &str) -> String {
    let yaml = read(text.as_bytes());
    assert_eq!(yaml.faults, [], "{text}");
    yaml.tree.map(|tree| tree.to_json()).unwrap_or_default()
}

/// `LINE:COLUMN PLACE: MESSAGE` of each mistake.
fn faults(text: &str) -> Vec<String> {
    let faults = read(text.as_bytes()).faults.into_iter();
    faults.map(|it| format!("{} {}: {}", it.position.unwrap(), it.place, it.message)).collect()
}

#[test]
fn plain_scalars_are_what_yaml_1_2_and_json_agree_on() {
    for (yaml, expected) in [
        ("on", "\"on\""),
        ("off", "\"off\""),
        ("yes", "\"yes\""),
        ("No", "\"No\""),
        ("y", "\"y\""),
        ("true", "true"),
        ("FALSE", "false"),
        ("~", "null"),
        ("null", "null"),
        ("443", "443"),
        ("-2.5e3", "-2.5e3"),
        ("18446744073709551616", "18446744073709551616"),
        ("\"443\"", "\"443\""),
        ("'~'", "\"~\""),
        ("192.0.2.7", "\"192.0.2.7\""),
        ("2001:db8::7", "\"2001:db8::7\""),
        ("10.1.0.0/16", "\"10.1.0.0/16\""),
        ("12:30", "\"12:30\""),
        ("2026-12-01T18:00:00Z", "\"2026-12-01T18:00:00Z\""),
        ("1e5.example", "\"1e5.example\""),
        ("inf", "\"inf\""),
        ("=example.com", "\"=example.com\""),
        ("--- a", "\"a\""),
        ("|\n  a\n  b", "\"a\\nb\\n\""),
    ] {
        assert_eq!(json(yaml), expected, "{yaml}");
    }
}

#[test]
fn numbers_that_readers_do_not_agree_on_are_refused() {
    for number in [
        "010", "0o10", "0x1F", "0b11", "1_000", "+1", ".5", "1.", "-08", "00", ".inf", "-.INF", ".nan", "1e+5_0",
        "0x_f",
    ] {
        let told = faults(&format!("ports: [80, {number}]"));
        assert_eq!(told.len(), 1, "{number}: {told:?}");
        assert!(told[0].starts_with(&format!("1:13 ports[1]: {number:?} is a number")), "{told:?}");
    }
}

#[test]
fn what_says_something_elsewhere_is_refused() {
    assert_eq!(
        faults("a: &x [1]\nb: *x\nc: *y\n"),
        [
            "1:7 a: an anchor is not read; write the value out where it is meant",
            "2:4 b: an alias is not read; put a pattern that begins with * in quotes, or write out what the alias stands for",
            "3:4 c: an alias is not read; put a pattern that begins with * in quotes, or write out what the alias stands for",
        ]
    );
    assert_eq!(faults("a:\n  <<: {b: 1}\n"), ["2:3 a.<<: a merge key is not read; write the fields out"]);
    assert_eq!(json("\"<<\": 1"), "{\"<<\": 1}");
    assert_eq!(faults("a: [!!str 80]"), ["1:11 a[0]: the tag \"!!str\" is not read; write the value without it"]);
    assert_eq!(faults("a: 1\n---\nb: 2\n"), ["2:1 : a second document begins here; a policy is one document"]);
    assert_eq!(faults("{a: 1}\n---\n").len(), 1);
    assert_eq!(faults("? [a]\n: b\n"), ["1:3 : a list or mapping cannot be the name of a field"]);
    assert!(faults("a: &x b\n*x : c\n")[0].ends_with("an alias cannot be the name of a field"));
    assert!(faults("%YAML 1.1\n---\na: on\n")[0].starts_with("1:1 : not valid YAML: "), "a directive");
}

#[test]
fn keys_are_text_and_are_kept_apart() {
    assert_eq!(json("80: a\non: b\n~: c\n"), "{\"80\": \"a\", \"on\": \"b\", \"~\": \"c\"}");
    assert_eq!(json("a: 1\na: 2\n"), "{\"a\": 1, \"a\": 2}");
    assert_eq!(json("a:\nb: []\n"), "{\"a\": null, \"b\": []}");
}

#[test]
fn what_is_no_yaml_has_its_place() {
    let told = faults("a: 1\n b: 2\n");
    assert!(told[0].starts_with("2:3 : not valid YAML: "), "{told:?}");
    assert!(faults("a: [1")[0].contains("not valid YAML: "));
    let yaml = read(b"a: 1\nb: \xe9\n");
    assert_eq!(yaml.faults[0].position, Some(Position { line: 2, column: 4 }));
    assert!(!faults(&"[".repeat(100_000)).is_empty());
    assert!(!faults(&"- ".repeat(100_000)).is_empty());
}

#[test]
fn an_empty_document_is_no_value() {
    for text in ["", "\n\n", "# nothing\n"] {
        assert_eq!(json(text), "", "{text:?}");
    }
    assert_eq!(json("---\n"), "null");
    assert_eq!(json("\u{feff}a: 1\n"), "{\"a\": 1}");
}
