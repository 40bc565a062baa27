//! The addresses that are not public. `weir_policy` is the reference: the tests compare every list of ranges in a
//! configuration with its decision on the first and the last address of every range and on their neighbours.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;
use weir_policy::address::NOT_PUBLIC;
use weir_policy::{Policy, Reason, Request};

use crate::{assert_none, configurations, pages};

/// A list of ranges in a file, and which addresses it allows.
struct List {
    /// The file, and the place in it.
    place: String,
    /// Every network in the list.
    networks: Vec<IpNet>,
    opens: Box<dyn Fn(IpAddr) -> bool>,
}

fn network(address: &Value, length: &Value) -> IpNet {
    format!("{}/{length}", address.as_str().expect("an address")).parse().expect("a network")
}

/// Envoy's `CidrRange`.
fn range(value: &Value) -> IpNet {
    network(&value["address_prefix"], &value["prefix_len"])
}

/// Envoy's `CidrRange` in a matcher of the upstream's address.
fn matcher(rule: &Value) -> IpNet {
    let network = range(&rule["matcher"]["typed_config"]["upstream_ip"]);
    let (name, written) = (&rule["matcher"]["name"], network.to_string());
    assert!(network.prefix_len() == 0 || *name == *written, "the matcher {name} is for {written}");
    network
}

fn has(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Collects the lists in a value, at any depth.
fn lists(place: &str, value: &Value, found: &mut Vec<List>) {
    if let Some(filter) = value.get("resolved_address_filter") {
        let refused: Vec<IpNet> = filter["ranges"].as_array().expect("ranges").iter().map(range).collect();
        let (place, networks) = (format!("{place}, resolved_address_filter"), refused.clone());
        found.push(List { place, networks, opens: Box::new(move |address| !has(&refused, address)) });
    }
    if let Some(policy) = value.pointer("/policies/public-address") {
        let rules = policy.pointer("/permissions/0/and_rules/rules").expect("the rules of public-address");
        let read = |at: &str| -> Vec<IpNet> {
            rules.pointer(at).and_then(Value::as_array).expect("matchers").iter().map(matcher).collect()
        };
        let (known, refused) = (read("/0/or_rules/rules"), read("/1/not_rule/or_rules/rules"));
        let (place, networks) = (format!("{place}, RBAC"), refused.clone());
        let opens = Box::new(move |address| has(&known, address) && !has(&refused, address));
        found.push(List { place, networks, opens });
    }
    if let Some(rules) = value.pointer("/spec/egress").and_then(Value::as_array) {
        let parse = |text: &Value| text.as_str().and_then(|text| text.parse().ok()).expect("a network");
        let blocks: Vec<(IpNet, Vec<IpNet>)> = rules
            .iter()
            .flat_map(|rule| rule["to"].as_array().into_iter().flatten())
            .filter_map(|peer| peer.get("ipBlock"))
            .map(|block| (parse(&block["cidr"]), block["except"].as_array().into_iter().flatten().map(parse).collect()))
            .collect();
        if !blocks.is_empty() {
            let networks = blocks.iter().flat_map(|(open, except)| [&[*open], &except[..]].concat()).collect();
            let opens =
                move |address| blocks.iter().any(|(open, except)| open.contains(&address) && !has(except, address));
            found.push(List { place: format!("{place}, NetworkPolicy"), networks, opens: Box::new(opens) });
        }
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|inside| lists(place, inside, found)),
        Value::Array(entries) => entries.iter().for_each(|inside| lists(place, inside, found)),
        _ => {}
    }
}

/// The first and the last address of a network, and the addresses before and after it.
fn edges(network: &IpNet) -> Vec<IpAddr> {
    match (network.network(), network.broadcast()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let beside = [first.to_bits().checked_sub(1), last.to_bits().checked_add(1)];
            let beside = beside.into_iter().flatten().map(|bits| Ipv4Addr::from_bits(bits).into());
            [first.into(), last.into()].into_iter().chain(beside).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let beside = [first.to_bits().checked_sub(1), last.to_bits().checked_add(1)];
            let beside = beside.into_iter().flatten().map(|bits| Ipv6Addr::from_bits(bits).into());
            [first.into(), last.into()].into_iter().chain(beside).collect()
        }
        _ => panic!("{network}"),
    }
}

/// Whether the policy that allows everything allows this address.
fn policy_allows(policy: &Policy, address: IpAddr) -> bool {
    let authority = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let request = Request { method: b"GET", authority: authority.as_bytes(), path: b"/", ..Request::default() };
    let decision = policy.decide(&request);
    assert!(matches!(decision.reason(), None | Some(Reason::IpLiteral)), "{address}: {decision:?}");
    decision.is_allowed()
}

/// The one deliberate difference: an IPv4-mapped address (RFC 4291 section 2.5.5.2) of a public IPv4 address. The
/// policy reads it as the IPv4 address that the client means. It does not belong in a DNS answer, so configurations
/// refuse it.
fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

#[test]
fn every_list_refuses_what_the_policy_refuses() {
    let all = Policy::from_json(br#"{"internet_access": "on", "allowlist": {"preset": "all"}}"#).expect("a policy");
    let mut found = Vec::new();
    for file in configurations().iter().filter(|file| file.is("yaml")) {
        for document in file.documents() {
            lists(&file.path, &document, &mut found);
        }
    }
    let mut mistakes = BTreeSet::new();
    let mut compared = 0;
    for list in &found {
        let own = list.networks.iter().copied();
        let published = NOT_PUBLIC.iter().map(|range| range.to_string().parse().expect("a network"));
        let spelt = ["::ffff:0:0/96", "64:ff9b::/96", "::/96", "2000::/3"].map(|text| text.parse().expect("a network"));
        for address in own.chain(published).chain(spelt).flat_map(|network: IpNet| edges(&network)) {
            compared += 1;
            let (opened, allowed) = ((list.opens)(address), policy_allows(&all, address));
            if is_mapped(address) {
                assert!(!opened, "{}: {address}", list.place);
            } else if opened != allowed {
                mistakes.insert(format!("{}: {address} is opened: {opened}; allowed: {allowed}", list.place));
            }
        }
    }
    assert_none(&mistakes);
    // YAML aliases are expanded, so every place counts: three files with the DNS caches of listeners and clusters and
    // their RBAC filters, and one NetworkPolicy.
    let places: BTreeSet<&str> = found.iter().map(|list| &*list.place).collect();
    let mut expected = BTreeSet::from(["envoy/kubernetes/network-policy.yaml, NetworkPolicy".to_owned()]);
    for file in ["forward-proxy", "inspecting-proxy", "sidecar"] {
        for what in ["resolved_address_filter", "RBAC"] {
            expected.insert(format!("envoy/{file}.yaml, {what}"));
        }
    }
    assert_eq!(places, expected.iter().map(|place| &**place).collect());
    assert!(compared > 1_000, "{compared}");
}

/// A file whose ranges the test above cannot read would be an unchecked copy.
#[test]
fn no_other_file_lists_ranges() {
    let pattern = r"(\d+\.\d+\.\d+\.\d+/\d+|[0-9a-f]*::[0-9a-f:]*/\d+|address_prefix)";
    let files = configurations();
    let with_ranges: BTreeSet<&str> =
        files.iter().filter(|file| !file.all(pattern).is_empty()).map(|file| &*file.path).collect();
    let read = ["forward-proxy", "inspecting-proxy", "kubernetes/network-policy", "sidecar"];
    assert_eq!(with_ranges, read.map(|name| format!("envoy/{name}.yaml")).iter().map(|path| &**path).collect());

    // Pages name ranges only in examples, never as a whole list.
    let mut mistakes = BTreeSet::new();
    for page in pages() {
        let named: BTreeSet<&str> = page.all(r"(\d+\.\d+\.\d+\.\d+/\d+)").into_iter().collect();
        let listed = NOT_PUBLIC.iter().filter(|range| named.contains(&*range.to_string())).count();
        if listed > 3 {
            mistakes.insert(format!("{} lists {listed} ranges that are not public: link to one list", page.path));
        }
    }
    assert_none(&mistakes);
}
