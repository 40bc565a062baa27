//! The policy document, from JSON to a compiled [`Policy`]. Nothing is guessed: whatever is not understood is a
//! mistake, and all mistakes of a document are reported together.

use std::borrow::Cow;

use crate::audit::Audit;
use crate::entry::{Layer, Listed};
use crate::error::{Mistake, Mistakes, Problem};
use crate::fields;
use crate::json::Json;
use crate::limits::{Limits, Ports, Tls};
use crate::lists::Unsorted;
use crate::method::{self, Methods};
use crate::path::PathPrefix;
use crate::pattern::{Covers, Pattern};
use crate::place::Place;
use crate::policy::Policy;
use crate::preset;
use crate::protobuf;
use crate::reader::{Fields, Reader, nearest};

impl Policy {
    /// Reads a policy document: JSON, or the same as an encoded `google.protobuf.Struct`, in which form Envoy passes a
    /// policy that is written as YAML inside its own configuration. An empty or blank document is `{}`.
    ///
    /// # Errors
    /// Every mistake of the document, each with its place, what was found and what is accepted.
    pub fn from_json(document: &[u8]) -> Result<Policy, Mistakes> {
        if document.iter().all(u8::is_ascii_whitespace) {
            return Ok(Policy::default());
        }
        let value = match serde_json::from_slice(document) {
            Ok(value) => value,
            // No JSON document is a Struct too: it would have to hold its own length in bytes.
            Err(error) => protobuf::decode(document).ok_or_else(|| {
                let problem = Problem::Syntax { message: error.to_string() };
                Mistakes::new(vec![Mistake { place: String::new(), occurrence: 0, problem }])
            })?,
        };
        let mut reader = Reader::default();
        match reader.policy(&value) {
            Some(policy) if reader.mistakes.is_empty() => Ok(policy),
            _ => Err(Mistakes::new(reader.mistakes)),
        }
    }
}

impl Reader {
    /// Reads on after a mistake, with the default in its place, so that all of them are found.
    fn policy(&mut self, value: &Json) -> Option<Policy> {
        let place = Place::Document;
        let fields =
            self.object(&place, value, fields::DOCUMENT_NAMES, "an object, such as {\"internet_access\": \"on\"}")?;
        let mut policy = Policy { limits: self.limits(&place, &fields, &Limits::default()), ..Policy::default() };
        let mut lists = Unsorted::default();
        if let Some(value) = fields.get("$schema") {
            self.text(&place.field("$schema"), value, "a string");
        }
        if let Some(value) = fields.get("internet_access") {
            let place = place.field("internet_access");
            let word = self.word_of(&place, value, "\"off\" or \"on\"", fields::INTERNET_ACCESS);
            policy.internet_access = word == Some(1);
        }
        if let Some(value) = fields.get("allowlist") {
            self.allowlist(&place.field("allowlist"), value, &policy.limits, &mut lists);
        }
        if let Some(value) = fields.get("denylist") {
            self.denylist(&place.field("denylist"), value, &mut lists);
        }
        if let Some(value) = fields.get("mode") {
            policy.mode = self.word(&place.field("mode"), value).unwrap_or_default();
        }
        if let Some(value) = fields.get("audit") {
            policy.audit = self.audit(&place.field("audit"), value).unwrap_or_default();
        }
        if let Some(value) = fields.get("name") {
            self.text(&place.field("name"), value, "a string").unwrap_or_default().clone_into(&mut policy.name);
        }
        for (second, first) in lists.second_rules() {
            let problem = Problem::SecondRule { first: first.place() };
            self.mistakes.push(Mistake { place: second.place(), occurrence: 0, problem });
        }
        let Ok(lists) = lists.compile() else { return self.refuse(&place, Problem::TooLarge) };
        let own = lists.entries.iter().filter_map(|entry| entry.limits.as_deref());
        for limits in own.chain([&policy.limits]) {
            policy.tells_ports_apart |= limits.ports.allow(80) != limits.ports.allow(443);
            policy.inspects |= limits.tls == Tls::Inspected;
        }
        policy.lists = lists;
        Some(policy)
    }

    /// What the document, or a rule of it, allows: the fields that both have. What is not said here
    /// is as in `inherited`.
    fn limits(&mut self, place: &Place<'_>, fields: &Fields<'_>, inherited: &Limits) -> Limits {
        let mut limits = inherited.clone();
        if let Some(methods) = fields.get("methods").and_then(|value| self.methods(&place.field("methods"), value)) {
            limits.methods = methods;
        }
        if let Some(ports) = fields.get("ports").and_then(|value| self.ports(&place.field("ports"), value)) {
            limits.ports = ports;
        }
        if let Some(paths) = fields.get("paths").and_then(|value| self.paths(&place.field("paths"), value)) {
            limits.paths = Some(paths);
        }
        if let Some(value) = fields.get("allow") {
            limits.git_fetch = self.allowances(&place.field("allow"), value);
        }
        if let Some(value) = fields.get("tls") {
            limits.tls = self.word(&place.field("tls"), value).unwrap_or(limits.tls);
        }
        limits
    }

    fn methods(&mut self, place: &Place<'_>, value: &Json) -> Option<Methods> {
        const EXPECTED: &str = "\"all\", \"read-only\" or an array of methods such as [\"GET\", \"HEAD\"]";
        if let Json::Text(word) = value {
            return match word.as_str() {
                "all" => Some(Methods::All),
                "read-only" => Some(Methods::read_only()),
                method if method::REGISTERED.contains(&method) => {
                    self.refuse(place, Problem::WrongType { found: "a single method", expected: EXPECTED })
                }
                other => self.unknown_word(place, other, fields::METHODS),
            };
        }
        let values = self.filled_array(place, value, "methods", EXPECTED)?;
        let methods =
            values.iter().enumerate().filter_map(|(index, value)| self.method(&place.item(index), value)).collect();
        Some(Methods::Only(methods))
    }

    fn method(&mut self, place: &Place<'_>, value: &Json) -> Option<String> {
        let method = self.text(place, value, "a method such as \"GET\"")?;
        match method {
            "CONNECT" => return self.refuse(place, Problem::MethodConnect),
            "*" | "all" | "any" => {
                return self.refuse(place, Problem::MethodWord { found: method.to_owned(), instead: "all" });
            }
            "read-only" => {
                return self.refuse(place, Problem::MethodWord { found: method.to_owned(), instead: "read-only" });
            }
            _ => {}
        }
        if !method::is_token(method) {
            return self.refuse(place, Problem::MethodNotToken { found: method.to_owned() });
        }
        if !method::REGISTERED.contains(&method)
            && let Some(suggestion) = nearest(method, method::REGISTERED).filter(|known| is_slip(method, known))
        {
            return self.refuse(place, Problem::MethodTypo { found: method.to_owned(), suggestion });
        }
        Some(method.to_owned())
    }

    fn ports(&mut self, place: &Place<'_>, value: &Json) -> Option<Ports> {
        const EXPECTED: &str = "\"any\" or an array of port numbers such as [80, 443]";
        if let Json::Text(_) = value {
            return self.word_of(place, value, EXPECTED, fields::PORTS).map(|_| Ports::Any);
        }
        let values = self.filled_array(place, value, "ports", EXPECTED)?;
        let ports =
            values.iter().enumerate().filter_map(|(index, value)| self.port(&place.item(index), value)).collect();
        Some(Ports::Only(ports))
    }

    fn paths(&mut self, place: &Place<'_>, value: &Json) -> Option<Vec<PathPrefix>> {
        let values = self.filled_array(place, value, "paths", "an array of path prefixes such as [\"/v1/\"]")?;
        let prefixes = values.iter().enumerate().filter_map(|(index, value)| {
            let place = place.item(index);
            let text = self.text(&place, value, "a path prefix such as \"/v1/\"")?;
            match PathPrefix::parse(text) {
                Ok(prefix) => Some(prefix),
                Err(instead) => self.refuse(&place, Problem::Path { found: text.to_owned(), instead }),
            }
        });
        Some(prefixes.collect())
    }

    /// Whether `git-fetch`, the one allowance there is, is among them.
    fn allowances(&mut self, place: &Place<'_>, value: &Json) -> bool {
        let values = self.array(place, value, "an array, such as [\"git-fetch\"]").unwrap_or_default();
        let mut git_fetch = false;
        for (index, value) in values.iter().enumerate() {
            git_fetch |= self.word_of(&place.item(index), value, "\"git-fetch\"", fields::ALLOWANCES).is_some();
        }
        git_fetch
    }

    fn allowlist(&mut self, place: &Place<'_>, value: &Json, limits: &Limits, lists: &mut Unsorted) {
        const EXPECTED: &str = "an object, such as {\"preset\": \"none\", \"domains\": [\"example.com\"]}";
        let Some(fields) = self.object(place, value, fields::ALLOWLIST_NAMES, EXPECTED) else { return };
        if let Some(value) = fields.get("domains") {
            let place = place.field("domains");
            let values = self.array(&place, value, "an array of domains and rules").unwrap_or_default();
            for (index, value) in values.iter().enumerate() {
                self.allowed(&place, index, value, limits, lists);
            }
        }
        if let Some(value) = fields.get("preset") {
            self.presets(&place.field("preset"), value, lists);
        }
    }

    /// Reads a preset or an array of them.
    fn presets(&mut self, place: &Place<'_>, value: &Json, lists: &mut Unsorted) {
        if let Json::Text(name) = value {
            return self.preset(place, None, name, lists);
        }
        let values = self.array(place, value, "the name of a preset or an array of names").unwrap_or_default();
        for (index, value) in values.iter().enumerate() {
            let place = place.item(index);
            if let Some(name) = self.text(&place, value, "the name of a preset") {
                self.preset(&place, Some(index), name, lists);
            }
        }
    }

    /// Adds a preset's domains; `index` is that of its name.
    fn preset(&mut self, place: &Place<'_>, index: Option<usize>, name: &str, lists: &mut Unsorted) {
        match name {
            "none" => return,
            "all" => {
                lists.unlisted.get_or_insert(listed(Layer::Preset, "all", "", index));
                return;
            }
            _ => {}
        }
        let Some(preset) = preset::find(name) else {
            let mut names = fields::PRESETS.to_vec();
            names.extend(preset::all().iter().map(|preset| preset.name));
            return self.unknown_word(place, name, &names).unwrap_or_default();
        };
        lists.presets.push((preset, number(index)));
        for &domain in preset.domains {
            // The build script has parsed each of them with the same parser.
            if let Some(pattern) = self.pattern(place, domain) {
                lists.add(listed(Layer::Preset, preset.name, domain, index), pattern);
            }
        }
    }

    /// One entry of `allowlist.domains`: a pattern, or a rule.
    fn allowed(&mut self, list: &Place<'_>, index: usize, value: &Json, limits: &Limits, lists: &mut Unsorted) {
        let place = list.item(index);
        let entry = match value {
            Json::Text(text) => self
                .pattern(&place, text)
                .map(|pattern| (listed(Layer::Allow, "allowlist", text.clone(), Some(index)), pattern)),
            _ => self.rule(&place, index, value, limits),
        };
        if let Some((entry, pattern)) = entry {
            lists.add(entry, pattern);
        }
    }

    fn rule(&mut self, place: &Place<'_>, index: usize, value: &Json, limits: &Limits) -> Option<(Listed, Pattern)> {
        const EXPECTED: &str =
            "a domain such as \"example.com\", or a rule such as {\"domain\": \"example.com\", \"methods\": [\"GET\"]}";
        let fields = self.object(place, value, fields::RULE_NAMES, EXPECTED)?;
        let limits = self.limits(place, &fields, limits);
        // Only where the rule says so itself: for the policy as a whole it is the default.
        if fields.get("tls").is_some() && limits.tls == Tls::Passthrough && limits.concern_the_inside() {
            self.refuse::<()>(&place.field("tls"), Problem::HiddenByTls);
        }
        let subdomains = fields.get("subdomains").and_then(|value| self.boolean(&place.field("subdomains"), value));
        let Some(value) = fields.get("domain") else {
            return self.refuse(place, Problem::MissingField { field: "domain" });
        };
        let at = place.field("domain");
        let text = self.text(&at, value, "a domain such as \"example.com\"")?;
        let mut pattern = self.pattern(&at, text)?;
        let mut apex_only = false;
        match (&mut pattern, subdomains) {
            (_, None)
            | (Pattern::Domain { covers: Covers::Both | Covers::Subdomains, .. }, Some(true))
            | (Pattern::Domain { covers: Covers::Apex, .. } | Pattern::Address(_), Some(false)) => {}
            (Pattern::Domain { covers, .. }, Some(false)) if *covers == Covers::Both && !text.starts_with('*') => {
                *covers = Covers::Apex;
                apex_only = true;
            }
            _ => return self.refuse(&place.field("subdomains"), Problem::Subdomains { found: text.to_owned() }),
        }
        let entry = listed(Layer::Allow, "allowlist", text.to_owned(), Some(index));
        Some((Listed { apex_only, limits: Some(Box::new(limits)), ..entry }, pattern))
    }

    fn denylist(&mut self, place: &Place<'_>, value: &Json, lists: &mut Unsorted) {
        let values = self.array(place, value, "an array of domains").unwrap_or_default();
        for (index, value) in values.iter().enumerate() {
            let place = place.item(index);
            let Some(text) = self.text(&place, value, "a domain such as \"example.com\"") else { continue };
            if let Some(pattern) = self.pattern(&place, text) {
                lists.add(listed(Layer::Deny, "denylist", text.to_owned(), Some(index)), pattern);
            }
        }
    }

    fn pattern(&mut self, place: &Place<'_>, text: &str) -> Option<Pattern> {
        match Pattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => self.refuse(place, Problem::Pattern(error)),
        }
    }

    fn audit(&mut self, place: &Place<'_>, value: &Json) -> Option<Audit> {
        let fields = self.object(
            place,
            value,
            fields::AUDIT_NAMES,
            "an object, such as {\"log\": \"denied\", \"detail\": \"full\"}",
        )?;
        let mut audit = Audit::default();
        if let Some(value) = fields.get("log") {
            audit.log = self.word(&place.field("log"), value).unwrap_or_default();
        }
        if let Some(value) = fields.get("detail") {
            audit.detail = self.word(&place.field("detail"), value).unwrap_or_default();
        }
        Some(audit)
    }
}

/// An entry without limits of its own.
fn listed(layer: Layer, source: &'static str, text: impl Into<Cow<'static, str>>, index: Option<usize>) -> Listed {
    Listed { layer, source, text: text.into(), apex_only: false, limits: None, index: number(index) }
}

/// An index that is kept in half the space: no document has as many entries as do not fit.
fn number(index: Option<usize>) -> Option<u32> {
    index.and_then(|index| u32::try_from(index).ok())
}

/// Whether `method` is a registered method but for its case or one slip. Methods of one's own are
/// legal, so what is further off is taken at its word.
fn is_slip(method: &str, known: &str) -> bool {
    strsim::osa_distance(&method.to_ascii_uppercase(), known) <= 1
}
