//! The policy document, from JSON to a compiled [`Policy`]. Nothing is guessed: whatever is not
//! understood is a mistake, and all mistakes are reported at once.

use crate::document::Node;
use crate::domain_set::Layer;
use crate::error::{Mistake, Mistakes, Problem};
use crate::lists::Lists;
use crate::method::{self, Methods};
use crate::path::PathPrefix;
use crate::pattern::{Covers, Pattern};
use crate::policy::{Audit, AuditLog, Detail, Limits, Listed, Mode, Policy, Ports, Tls};
use crate::preset;
use crate::protobuf;
use crate::reader::{Fields, Place, Reader, nearest};

const DOCUMENT: &[&str] =
    &["internet_access", "allowlist", "denylist", "methods", "ports", "tls", "mode", "audit", "name", "allow"];
const ALLOWLIST: &[&str] = &["preset", "domains"];
const RULE: &[&str] = &["domain", "subdomains", "methods", "ports", "paths", "allow", "tls"];
const AUDIT: &[&str] = &["log", "detail"];

/// Reads a whole document; an empty or blank one is `{}`.
pub(crate) fn read(document: &[u8]) -> Result<Policy, Mistakes> {
    if document.iter().all(u8::is_ascii_whitespace) {
        return Ok(Policy::default());
    }
    let node = match serde_json::from_slice(document) {
        Ok(node) => node,
        // No JSON document is a Struct too: it would have to hold its own length in bytes.
        Err(error) => protobuf::decode(document).ok_or_else(|| {
            let problem = Problem::Syntax { message: error.to_string() };
            Mistakes::new(vec![Mistake { place: String::new(), problem }])
        })?,
    };
    let mut reader = Reader::default();
    match reader.policy(&node) {
        Some(policy) if reader.mistakes.is_empty() => Ok(policy),
        _ => Err(Mistakes::new(reader.mistakes)),
    }
}

impl Reader {
    /// Reads on after a mistake, with the default in its place, so that all of them are found.
    fn policy(&mut self, node: &Node) -> Option<Policy> {
        let place = Place::Document;
        let fields = self.object(&place, node, DOCUMENT, "an object, such as {\"internet_access\": \"on\"}")?;
        let mut policy = Policy { limits: self.limits(&place, &fields, &Limits::default()), ..Policy::default() };
        let mut lists = Lists::default();
        if let Some(node) = fields.get("internet_access") {
            let words = [("off", false), ("on", true)];
            let read = self.word(&place.field("internet_access"), node, "\"off\" or \"on\"", &words);
            policy.internet_access = read.unwrap_or_default();
        }
        if let Some(node) = fields.get("allowlist") {
            policy.unlisted = self.allowlist(&place.field("allowlist"), node, &policy.limits, &mut lists);
        }
        if let Some(node) = fields.get("denylist") {
            self.denylist(&place.field("denylist"), node, &mut lists);
        }
        if let Some(node) = fields.get("mode") {
            let words = [("enforce", Mode::Enforce), ("audit", Mode::Audit)];
            policy.mode = self.word(&place.field("mode"), node, "\"enforce\" or \"audit\"", &words).unwrap_or_default();
        }
        if let Some(node) = fields.get("audit") {
            policy.audit = self.audit(&place.field("audit"), node).unwrap_or_default();
        }
        if let Some(node) = fields.get("name") {
            self.text(&place.field("name"), node, "a string").unwrap_or_default().clone_into(&mut policy.name);
        }
        for (second, first) in lists.second_rules() {
            self.mistakes
                .push(Mistake { place: second.to_owned(), problem: Problem::SecondRule { first: first.to_owned() } });
        }
        let Ok(compiled) = lists.compile() else { return self.refuse(&place, Problem::TooLarge) };
        let own = compiled.entries.iter().filter_map(|entry| entry.limits.as_deref());
        for limits in own.chain([&policy.limits]) {
            policy.tells_ports_apart |= limits.ports.allow(80) != limits.ports.allow(443);
            policy.inspects |= limits.tls == Tls::Inspected;
        }
        policy.entries = compiled.entries;
        policy.domains = compiled.domains;
        policy.addresses = compiled.addresses;
        Some(policy)
    }

    /// What the document, or a rule of it, allows: the fields that both have. What is not said here
    /// is as in `inherited`.
    fn limits(&mut self, place: &Place<'_>, fields: &Fields<'_>, inherited: &Limits) -> Limits {
        let mut limits = inherited.clone();
        if let Some(methods) = fields.get("methods").and_then(|node| self.methods(&place.field("methods"), node)) {
            limits.methods = methods;
        }
        if let Some(ports) = fields.get("ports").and_then(|node| self.ports(&place.field("ports"), node)) {
            limits.ports = ports;
        }
        if let Some(paths) = fields.get("paths").and_then(|node| self.paths(&place.field("paths"), node)) {
            limits.paths = Some(paths);
        }
        if let Some(node) = fields.get("allow") {
            limits.git_fetch = self.allowances(&place.field("allow"), node);
        }
        if let Some(node) = fields.get("tls") {
            let words = [("passthrough", Tls::Passthrough), ("inspected", Tls::Inspected)];
            let read = self.word(&place.field("tls"), node, "\"passthrough\" or \"inspected\"", &words);
            limits.tls = read.unwrap_or(limits.tls);
        }
        limits
    }

    fn methods(&mut self, place: &Place<'_>, node: &Node) -> Option<Methods> {
        const EXPECTED: &str = "\"all\", \"read-only\" or an array of methods such as [\"GET\", \"HEAD\"]";
        if let Node::Text(word) = node {
            return match word.as_str() {
                "all" => Some(Methods::All),
                "read-only" => Some(Methods::read_only()),
                method if method::REGISTERED.contains(&method) => {
                    self.refuse(place, Problem::WrongType { found: "a single method", expected: EXPECTED })
                }
                other => self.unknown_word(place, other, &["all", "read-only"]),
            };
        }
        let nodes = self.filled_array(place, node, "methods", EXPECTED)?;
        let methods =
            nodes.iter().enumerate().filter_map(|(index, node)| self.method(&place.item(index), node)).collect();
        Some(Methods::Only(methods))
    }

    fn method(&mut self, place: &Place<'_>, node: &Node) -> Option<String> {
        let method = self.text(place, node, "a method such as \"GET\"")?;
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

    fn ports(&mut self, place: &Place<'_>, node: &Node) -> Option<Ports> {
        const EXPECTED: &str = "\"any\" or an array of port numbers such as [80, 443]";
        if let Node::Text(_) = node {
            return self.word(place, node, EXPECTED, &[("any", ())]).map(|()| Ports::Any);
        }
        let nodes = self.filled_array(place, node, "ports", EXPECTED)?;
        let ports = nodes.iter().enumerate().filter_map(|(index, node)| self.port(&place.item(index), node)).collect();
        Some(Ports::Only(ports))
    }

    fn paths(&mut self, place: &Place<'_>, node: &Node) -> Option<Vec<PathPrefix>> {
        let nodes = self.filled_array(place, node, "paths", "an array of path prefixes such as [\"/v1/\"]")?;
        let prefixes = nodes.iter().enumerate().filter_map(|(index, node)| {
            let place = place.item(index);
            let text = self.text(&place, node, "a path prefix such as \"/v1/\"")?;
            match PathPrefix::parse(text) {
                Ok(prefix) => Some(prefix),
                Err(instead) => self.refuse(&place, Problem::Path { found: text.to_owned(), instead }),
            }
        });
        Some(prefixes.collect())
    }

    /// Whether `git-fetch`, the one allowance there is, is among them.
    fn allowances(&mut self, place: &Place<'_>, node: &Node) -> bool {
        let nodes = self.array(place, node, "an array, such as [\"git-fetch\"]").unwrap_or_default();
        let mut git_fetch = false;
        for (index, node) in nodes.iter().enumerate() {
            git_fetch |= self.word(&place.item(index), node, "\"git-fetch\"", &[("git-fetch", ())]).is_some();
        }
        git_fetch
    }

    /// Reads the allowlist; whether it holds the preset `all`.
    fn allowlist(&mut self, place: &Place<'_>, node: &Node, limits: &Limits, lists: &mut Lists) -> bool {
        const EXPECTED: &str = "an object, such as {\"preset\": \"none\", \"domains\": [\"example.com\"]}";
        let Some(fields) = self.object(place, node, ALLOWLIST, EXPECTED) else { return false };
        if let Some(node) = fields.get("domains") {
            let place = place.field("domains");
            let nodes = self.array(&place, node, "an array of domains and rules").unwrap_or_default();
            for (index, node) in nodes.iter().enumerate() {
                self.allowed(&place.item(index), node, limits, lists);
            }
        }
        fields.get("preset").is_some_and(|node| self.presets(&place.field("preset"), node, lists))
    }

    /// Reads a preset or an array of them; whether `all` is among them.
    fn presets(&mut self, place: &Place<'_>, node: &Node, lists: &mut Lists) -> bool {
        if let Node::Text(name) = node {
            return self.preset(place, name, lists);
        }
        let nodes = self.array(place, node, "the name of a preset or an array of names").unwrap_or_default();
        let mut all = false;
        for (index, node) in nodes.iter().enumerate() {
            let place = place.item(index);
            if let Some(name) = self.text(&place, node, "the name of a preset") {
                all |= self.preset(&place, name, lists);
            }
        }
        all
    }

    /// Adds a preset's domains; whether it is `all`, which has none.
    fn preset(&mut self, place: &Place<'_>, name: &str, lists: &mut Lists) -> bool {
        if matches!(name, "none" | "all") {
            return name == "all";
        }
        let Some(preset) = preset::find(name) else {
            let mut names = vec!["none", "all"];
            names.extend(preset::all().iter().map(|preset| preset.name));
            self.unknown_word::<()>(place, name, &names);
            return false;
        };
        for &domain in preset.domains {
            // The build script has parsed each of them with the same parser.
            match Pattern::parse(domain) {
                Ok(pattern) => lists.add(Layer::Preset, preset.name, domain, pattern),
                Err(error) => {
                    self.refuse::<()>(place, Problem::Pattern(error));
                }
            }
        }
        false
    }

    /// One entry of `allowlist.domains`: a pattern, or a rule.
    fn allowed(&mut self, place: &Place<'_>, node: &Node, limits: &Limits, lists: &mut Lists) {
        match node {
            Node::Text(text) => {
                if let Some(pattern) = self.pattern(place, text) {
                    lists.add(Layer::Allow, "allowlist", text.clone(), pattern);
                }
            }
            _ => self.rule(place, node, limits, lists).unwrap_or_default(),
        }
    }

    fn rule(&mut self, place: &Place<'_>, node: &Node, limits: &Limits, lists: &mut Lists) -> Option<()> {
        const EXPECTED: &str =
            "a domain such as \"example.com\", or a rule such as {\"domain\": \"example.com\", \"methods\": [\"GET\"]}";
        let fields = self.object(place, node, RULE, EXPECTED)?;
        let limits = self.limits(place, &fields, limits);
        // Only where the rule says so itself: for the policy as a whole it is the default.
        if fields.get("tls").is_some() && limits.tls == Tls::Passthrough && limits.concern_the_inside() {
            self.refuse::<()>(&place.field("tls"), Problem::HiddenByTls);
        }
        let subdomains = fields.get("subdomains").and_then(|node| self.boolean(&place.field("subdomains"), node));
        let Some(node) = fields.get("domain") else {
            return self.refuse(place, Problem::MissingField { field: "domain" });
        };
        let at = place.field("domain");
        let text = self.text(&at, node, "a domain such as \"example.com\"")?;
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
        let listed = Listed {
            layer: Layer::Allow,
            source: "allowlist",
            pattern: text.to_owned().into(),
            apex_only,
            limits: Some(Box::new(limits)),
        };
        lists.add_rule(listed, pattern, place.to_string());
        Some(())
    }

    fn denylist(&mut self, place: &Place<'_>, node: &Node, lists: &mut Lists) {
        let nodes = self.array(place, node, "an array of domains").unwrap_or_default();
        for (index, node) in nodes.iter().enumerate() {
            let place = place.item(index);
            let Some(text) = self.text(&place, node, "a domain such as \"example.com\"") else { continue };
            if let Some(pattern) = self.pattern(&place, text) {
                lists.add(Layer::Deny, "denylist", text.to_owned(), pattern);
            }
        }
    }

    fn pattern(&mut self, place: &Place<'_>, text: &str) -> Option<Pattern> {
        match Pattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => self.refuse(place, Problem::Pattern(error)),
        }
    }

    fn audit(&mut self, place: &Place<'_>, node: &Node) -> Option<Audit> {
        let fields =
            self.object(place, node, AUDIT, "an object, such as {\"log\": \"denied\", \"detail\": \"full\"}")?;
        let mut audit = Audit::default();
        if let Some(node) = fields.get("log") {
            let words = [("denied", AuditLog::Denied), ("all", AuditLog::All), ("none", AuditLog::None)];
            audit.log = self.word(&place.field("log"), node, "\"denied\", \"all\" or \"none\"", &words)?;
        }
        if let Some(node) = fields.get("detail") {
            let words = [("full", Detail::Full), ("minimal", Detail::Minimal)];
            audit.detail = self.word(&place.field("detail"), node, "\"full\" or \"minimal\"", &words)?;
        }
        Some(audit)
    }
}

/// Whether `method` is a registered method but for its case or one slip. Methods of one's own are
/// legal, so what is further off is taken at its word.
fn is_slip(method: &str, known: &str) -> bool {
    strsim::osa_distance(&method.to_ascii_uppercase(), known) <= 1
}
