use super::*;
use crate::document::tree::{Content, Key};

fn input(name: &str, text: &str) -> Input {
    Input::new(Path::new(name), text.as_bytes().to_vec())
}

fn refused(name: &str, text: &str) -> Vec<Fault> {
    input(name, text).document().err().map(|refused| refused.iter().cloned().collect()).unwrap_or_default()
}

/// `LINE:COLUMN` of each mistake.
fn positions(name: &str, text: &str) -> Vec<String> {
    refused(name, text).iter().map(|fault| fault.position.map(|it| it.to_string()).unwrap_or_default()).collect()
}

#[test]
fn the_ending_names_the_format_and_else_the_content() {
    for (name, text, expected) in [
        ("a/policy.json", "a: b", Format::Json),
        ("policy.JSONC", "", Format::Jsonc),
        ("policy.yaml", "{}", Format::Yaml),
        ("policy.yml", "{}", Format::Yaml),
        ("-", "", Format::Jsonc),
        ("-", " {", Format::Jsonc),
        ("-", "// a\n{}", Format::Jsonc),
        ("-", "\u{feff}{}", Format::Jsonc),
        ("-", "[]", Format::Jsonc),
        ("-", "internet_access: on", Format::Yaml),
        ("-", "# a\n{}", Format::Yaml),
        ("/dev/fd/63", "---\n", Format::Yaml),
        (".json", "{}", Format::Jsonc),
    ] {
        assert_eq!(input(name, text).format, expected, "{name} {text:?}");
    }
}

#[test]
fn a_mistake_has_its_place_in_the_file() {
    for (text, expected) in [
        ("{\n \"allowlst\": {}}", &["2:2"][..]),
        ("{\"methods\": [\"GET\",\n  \"get\"]}", &["2:3"]),
        ("{\"name\": \"a\", \"name\": \"b\",\n \"name\": 3}", &["1:15", "2:2"]),
        ("{\"a\": 1, \"a\": 2}", &["1:2", "1:10"]),
        ("{\"ports\": [80,\n]}", &["2:1"]),
        ("[]", &["1:1"]),
        ("{\"allowlist\": {\"domains\": [{}]}}", &["1:28"]),
        ("{\n  \"a\": 1,,\n}", &["2:10"]),
        ("\n{\"é\" 1}", &["2:6"]),
        ("\n{\"é\": 1}", &["2:2"]),
    ] {
        let found = positions("policy.json", text);
        assert_eq!(found, expected, "{text}");
        assert_eq!(found, positions("policy.jsonc", text), "{text}");
    }
}

#[test]
fn comments_are_for_files_that_may_have_them() {
    let text = "// é\n{ /* a */ \"ports\": [0] }";
    assert_eq!(positions("policy.jsonc", text), ["2:21"]);
    assert_eq!(positions("-", text), ["2:21"]);
    let told = &refused("policy.json", text)[0];
    assert!(told.message.ends_with("call the file .jsonc if it is to have some"), "{}", told.message);
    assert_eq!(told.position.unwrap().to_string(), "1:1");
    assert!(!refused("policy.json", "{,}")[0].message.contains(".jsonc"));
    // A trailing comma is a mistake in either, and the error of the parser is the plugin's.
    assert_eq!(positions("policy.jsonc", "{\"ports\": [80, // one\n]}"), ["2:1"]);
    assert!(refused("policy.jsonc", "{\"ports\": [80,]}")[0].message.contains("trailing comma"));
}

#[test]
fn the_plugin_gets_json_without_comments() {
    for (name, text, expected) in [
        ("a.json", "{ \"ports\": [80] }", "{ \"ports\": [80] }"),
        ("a.jsonc", "// a\n{ \"ports\": [80] } // b", "{ \"ports\": [80] }"),
        ("a.yaml", "internet_access: on # a\nports: [80]\n", "{\"internet_access\": \"on\", \"ports\": [80]}"),
        ("a.yaml", "# nothing\n", ""),
    ] {
        let document = input(name, text).document().unwrap();
        assert_eq!(str::from_utf8(document.json()).unwrap(), expected);
    }
}

#[test]
fn the_mistakes_that_only_yaml_has_stand_beside_the_others() {
    let text = "internet_access: &a on\ndenylist: [\"*.com\"]\nname: *a\nports: [0o120, 0]\nports: [80]\n";
    let told: Vec<String> =
        refused("a.yaml", text).iter().map(|it| format!("{} {}", it.position.unwrap(), it.place)).collect();
    assert_eq!(
        told,
        ["1:21 internet_access", "2:12 denylist[0]", "3:7 name", "4:9 ports[0]", "4:16 ports[1]", "5:1 ports"]
    );
}

#[test]
fn the_refused_policies_have_the_same_mistakes_in_every_format() {
    let mut converted = 0;
    for case in weir_cases::refused_policies() {
        let json = Input { name: String::new(), format: Format::Json, bytes: case.document.to_vec() };
        let faults = json.document().unwrap_err().0;
        let Some(tree) = str::from_utf8(&json.bytes).ok().and_then(jsonc::tree) else { continue };
        if faults.iter().any(|fault| fault.message.starts_with("not valid JSON")) {
            continue;
        }
        converted += 1;
        for (format, text) in [(Format::Jsonc, commented(&tree)), (Format::Yaml, yaml_of(&tree))] {
            let other = Input { name: String::new(), format, bytes: text.clone().into_bytes() };
            let others = other.document().expect_err(&case.id).0;
            let id = format!("{} as {format:?}: {text}", case.id);
            assert_eq!(told(&faults), told(&others), "{id}");
            for fault in &faults {
                // The same value or key begins at both positions.
                let twin = others.iter().find(|other| other.place == fault.place && other.message == fault.message);
                let [one, two] = [(&json, fault), (&other, twin.unwrap())].map(|(input, fault)| token(input, fault));
                assert!(one == two || one.starts_with(['{', '[']), "{id}: {one} and {two}");
            }
        }
    }
    assert!(converted > 250, "only {converted} cases");
}

#[test]
fn broken_json_with_comments_is_refused_for_the_same_reason() {
    for case in weir_cases::refused_policies().iter().filter(|case| case.id.starts_with("syntax-")) {
        let read = |format| Input { name: String::new(), format, bytes: case.document.to_vec() }.document();
        let (json, jsonc) = (read(Format::Json), read(Format::Jsonc));
        if case.id == "syntax-comment" {
            jsonc.unwrap();
        } else {
            let [json, jsonc] = [json, jsonc].map(|read| told(&read.unwrap_err().0));
            let begins = |one: &String, other: &String| other.starts_with(one.as_str());
            assert!(jsonc.iter().zip(&json).all(|(one, other)| begins(one, other)), "{json:?} {jsonc:?}");
        }
    }
}

#[test]
fn one_policy_decides_alike_in_every_format() {
    for group in weir_cases::decisions() {
        let json = Input { name: String::new(), format: Format::Json, bytes: group.document() };
        let Some(tree) = jsonc::tree(str::from_utf8(&json.bytes).unwrap()) else { continue };
        let expected = json.document().unwrap();
        for (format, text) in [(Format::Jsonc, commented(&tree)), (Format::Yaml, yaml_of(&tree))] {
            let other = Input { name: String::new(), format, bytes: text.into_bytes() }.document().unwrap();
            for case in &group.cases {
                let request = case.request.to_request();
                let decide = |document: &Document| {
                    let decision = document.policy.decide(&request);
                    (decision.reason(), decision.entry().map(|entry| (entry.to_string(), entry.place())))
                };
                assert_eq!(decide(&expected), decide(&other), "{}/{} as {format:?}", group.id, case.id);
            }
        }
    }
}

#[test]
fn what_is_accepted_is_accepted_in_every_format() {
    for case in weir_cases::accepted_policies() {
        let Some(tree) = str::from_utf8(&case.document).ok().and_then(jsonc::tree) else { continue };
        for (format, text) in [(Format::Jsonc, commented(&tree)), (Format::Yaml, yaml_of(&tree))] {
            let read = Input { name: String::new(), format, bytes: text.into_bytes() }.document();
            let words = read.err().map(|refused| refused.in_words("")).unwrap_or_default();
            assert_eq!(words, "", "{} as {format:?}", case.id);
        }
    }
}

/// Places and messages, whatever the order.
fn told(faults: &[Fault]) -> Vec<String> {
    let mut told: Vec<String> =
        faults.iter().map(|it| format!("{}: {} {:?}", it.place, it.message, it.instead)).collect();
    told.sort();
    told
}

/// What begins at the position of a mistake.
fn token(input: &Input, fault: &Fault) -> String {
    let at = fault.position.unwrap_or_else(|| panic!("no position: {fault:?}"));
    let text = str::from_utf8(&input.bytes).unwrap();
    // As positions count: a line ends at a line feed alone.
    let line = text.split('\n').nth(at.line - 1).unwrap();
    let rest: String = line.chars().skip(at.column - 1).collect();
    if rest.starts_with('"') {
        let string = serde_json::Deserializer::from_str(&rest).into_iter::<String>().next();
        return format!("{:?}", string.unwrap().unwrap());
    }
    let end = |character: char| !(character.is_ascii_alphanumeric() || "+-.".contains(character));
    rest.split(end)
        .next()
        .filter(|token| !token.is_empty())
        .map_or_else(|| rest.chars().take(1).collect(), str::to_owned)
}

/// The document with a comment wherever one may stand.
fn commented(tree: &Node) -> String {
    fn write(node: &Node, text: &mut String) {
        let separated = |index: usize| if index == 0 { "" } else { " /* \", */ , // {\n" };
        match &node.content {
            Content::Scalar(scalar) => text.push_str(scalar),
            Content::Array(items) => {
                text.push_str("[ // [\n");
                for (index, item) in items.iter().enumerate() {
                    text.push_str(separated(index));
                    write(item, text);
                }
                text.push_str("/**/]");
            }
            Content::Object(fields) => {
                text.push_str("{ /* é\n */");
                for (index, (key, value)) in fields.iter().enumerate() {
                    text.push_str(separated(index));
                    text.push_str(&serde_json::to_string(&key.name).unwrap());
                    text.push_str(" /* : */ : ");
                    write(value, text);
                }
                text.push_str("/* } */}");
            }
        }
    }
    let mut text = "// begins\n".to_owned();
    write(tree, &mut text);
    text + "\n// ends"
}

/// The document in blocks, with its strings quoted as in JSON.
fn yaml_of(tree: &Node) -> String {
    fn write(node: &Node, depth: usize) -> String {
        let indent = "  ".repeat(depth);
        let lines: Vec<String> = match &node.content {
            Content::Scalar(scalar) => return format!(" {scalar} # here\n"),
            Content::Array(items) if items.is_empty() => return " []\n".to_owned(),
            Content::Object(fields) if fields.is_empty() => return " {}\n".to_owned(),
            Content::Array(items) => items.iter().map(|item| format!("{indent}-{}", write(item, depth + 1))).collect(),
            Content::Object(fields) => {
                let field = |(key, value): &(Key, Node)| {
                    let (name, value) = (serde_json::to_string(&key.name).unwrap(), write(value, depth + 1));
                    // A longer name is no simple key.
                    if name.len() < 900 {
                        format!("{indent}{name}:{value}")
                    } else {
                        format!("{indent}? {name}\n{indent}:{value}")
                    }
                };
                fields.iter().map(field).collect()
            }
        };
        format!("\n{}", lines.concat())
    }
    format!("# begins\n---{}", write(tree, 0))
}
