use std::net::IpAddr;

use super::*;
use crate::ecds::Configuration;

const CLUSTER_CACHE: &str = "/static_resources/clusters/0/cluster_type/typed_config/dns_cache_config";

fn forward() -> Value {
    shipped(FORWARD_PROXY)
}

fn manager(document: &Value) -> &Value {
    document.pointer(MANAGER).unwrap()
}

fn filter_names(document: &Value) -> Vec<&str> {
    manager(document)["http_filters"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect()
}

fn ranges(document: &Value) -> Vec<IpNet> {
    let cache = document.pointer(CLUSTER_CACHE).unwrap();
    addresses::read(&cache["resolved_address_filter"]["ranges"]).unwrap()
}

#[test]
fn nothing_else_changes() {
    let changes = Changes {
        listen: "0.0.0.0:3128".parse().unwrap(),
        admin: "127.0.0.1:9901".parse().unwrap(),
        ..Changes::default()
    };
    assert_eq!(forward_proxy(&changes).unwrap(), forward());
}

#[test]
fn ports_and_path_are_set() {
    let changes = Changes { filter: Filter::Discovered("/x/filter.json".into()), ..Changes::default() };
    let document = forward_proxy(&changes).unwrap();
    assert_eq!(document["admin"]["address"]["socket_address"], json!({"address": "127.0.0.1", "port_value": 0}));
    let listener = &document["static_resources"]["listeners"][0]["address"]["socket_address"];
    assert_eq!(*listener, json!({"address": "127.0.0.1", "port_value": 0}));
    let path = "/http_filters/1/config_discovery/config_source/path_config_source/path";
    assert_eq!(manager(&document).pointer(path).unwrap(), "/x/filter.json");
}

/// Both lists are equal in the shipped file: a change to one must change the other.
#[test]
fn both_lists_of_addresses_agree() {
    let document = forward();
    let rules = "/typed_config/rules/policies/public-address/permissions/0/and_rules/rules/1/not_rule/or_rules/rules";
    let rbac: Vec<IpNet> = manager(&document)["http_filters"][4]
        .pointer(rules)
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let ip = rule.pointer("/matcher/typed_config/upstream_ip").unwrap();
            let net = format!("{}/{}", ip["address_prefix"].as_str().unwrap(), ip["prefix_len"]);
            assert_eq!(rule.pointer("/matcher/name").unwrap(), &json!(net));
            net.parse().unwrap()
        })
        .collect();
    assert_eq!(rbac, ranges(&document));
    let cache = |document: &Value| document.pointer(CLUSTER_CACHE).unwrap().clone();
    assert_eq!(manager(&document)["http_filters"][3]["typed_config"]["dns_cache_config"], cache(&document));
}

#[test]
fn addresses_that_are_no_public_origin_are_refused() {
    let ranges = ranges(&forward());
    let refused = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        ranges.iter().any(|range| range.contains(&address))
    };
    for address in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(refused(address), "{address} must be refused");
    }
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "140.82.121.3",
        "168.63.129.15",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.1.1",
        "198.17.1.1",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700::1",
        "2a00:1450::1",
        "2001:4860:4860::8888",
        "2001:200::1",
        "2003::1",
        "2600::1",
        "3ffe::1",
    ] {
        assert!(!refused(address), "{address} must be reachable");
    }
}

#[test]
fn an_exception_opens_its_network_and_no_more() {
    let changes = Changes { allow_upstream: vec!["10.1.0.0/16".parse().unwrap()], ..Changes::default() };
    let document = forward_proxy(&changes).unwrap();
    let ranges = ranges(&document);
    let refused = |address: &str| ranges.iter().any(|range| range.contains(&address.parse::<IpAddr>().unwrap()));
    assert!(!refused("10.1.0.0") && !refused("10.1.255.255"));
    assert!(refused("10.0.255.255") && refused("10.2.0.0") && refused("127.0.0.1"));
    let permissions =
        &manager(&document)["http_filters"][4]["typed_config"]["rules"]["policies"]["public-address"]["permissions"];
    assert_eq!(permissions.as_array().unwrap().len(), 2);
    assert_eq!(permissions[1]["matcher"]["name"], "10.1.0.0/16");
}

#[test]
fn an_exception_may_cover_whole_ranges() {
    let changes = Changes { allow_upstream: vec!["0.0.0.0/0".parse().unwrap()], ..Changes::default() };
    let ranges = ranges(&forward_proxy(&changes).unwrap());
    assert!(ranges.iter().all(|range| matches!(range, IpNet::V6(_))));
}

#[test]
fn the_stand_in_comes_after_the_decision() {
    let changes = Changes { stand_in: Some("127.0.0.2:4711".parse().unwrap()), ..Changes::default() };
    let document = forward_proxy(&changes).unwrap();
    let names = ["weir", "stand-in", "not-inspected", "envoy.filters.http.dynamic_forward_proxy"];
    assert_eq!(filter_names(&document)[1..5], names);
    assert_eq!(manager(&document)["http_filters"][4]["typed_config"]["allow_dynamic_host_from_filter_state"], true);
}

#[test]
fn a_static_filter_needs_no_discovery() {
    let filter = Filter::Static { wasm: "/x/weir.wasm".into(), configuration: Configuration::Text(b"{}".to_vec()) };
    let document = forward_proxy(&Changes { filter, ..Changes::default() }).unwrap();
    let weir = &manager(&document)["http_filters"][1];
    assert_eq!(weir.get("config_discovery"), None);
    assert_eq!(weir["typed_config"]["config"]["configuration"]["value"], "{}");
    assert_eq!(weir["typed_config"]["config"]["failure_policy"], "FAIL_RELOAD");
}

#[test]
fn without_the_plugin_only_the_check_of_its_announcement_goes() {
    let waits = "/http_filters/1/typed_config/rules/policies/not-announced";
    assert!(manager(&forward()).pointer(&waits.replace('1', "2")).is_some());
    let document = forward_proxy(&Changes { filter: Filter::Absent, ..Changes::default() }).unwrap();
    assert_eq!(filter_names(&document)[1..3], ["not-inspected", "envoy.filters.http.dynamic_forward_proxy"]);
    assert_eq!(filter_names(&document).len(), filter_names(&forward()).len() - 1);
    assert_eq!(manager(&document).pointer(waits), None);
}

#[test]
fn tls_takes_the_rule_against_cleartext_https_away() {
    let changes = Changes { tls: Some(("/x/cert.pem".into(), "/x/key.pem".into())), ..Changes::default() };
    let document = forward_proxy(&changes).unwrap();
    let text = document.to_string();
    assert!(text.contains("/x/cert.pem") && text.contains("/x/key.pem") && !text.contains("https-without-connect"));
}

#[test]
fn a_tunnel_lifetime_can_be_shortened() {
    let lifetime = Some(std::time::Duration::from_millis(1500));
    let document = forward_proxy(&Changes { tunnel_lifetime: lifetime, ..Changes::default() }).unwrap();
    assert!(document.to_string().contains(r#""max_stream_duration":{"max_stream_duration":"1.500s"}"#));
}

#[test]
fn an_older_envoy_gets_no_address_filter() {
    let document = forward_proxy(&Changes { resolved_address_filter: false, ..Changes::default() }).unwrap();
    assert!(!document.to_string().contains("resolved_address_filter"));
}

#[test]
fn a_missing_place_is_an_error() {
    let mut document = Shipped::parse(FORWARD_PROXY).unwrap();
    let filters = document.at(&format!("{MANAGER}/http_filters")).unwrap();
    filters.as_array_mut().unwrap().remove(1);
    let error = place_plugin(&mut document, &Filter::Absent).unwrap_err().to_string();
    assert_eq!(error, "forward-proxy.yaml: there is no entry named weir, which has to be changed here");
}
