use super::*;
use crate::roots::PLACES;

fn inspection() -> Inspection {
    Inspection { issuer: "/run/weir/issuer.sock".into(), origin_roots: Some(PLACES[0].into()) }
}

fn changes() -> Changes {
    Changes {
        listen: "0.0.0.0:3128".parse().unwrap(),
        admin: "127.0.0.1:9901".parse().unwrap(),
        inspection: Some(inspection()),
        ..Changes::default()
    }
}

fn inspecting(changes: &Changes) -> Value {
    proxy(changes).unwrap()
}

fn inner(document: &Value) -> &Value {
    document.pointer("/static_resources/listeners/2/filter_chains/0/filters/0/typed_config").unwrap()
}

fn outer(document: &Value) -> &Value {
    document.pointer(MANAGER).unwrap()
}

fn names(filters: &Value) -> Vec<&str> {
    filters.as_array().unwrap().iter().map(|filter| filter["name"].as_str().unwrap()).collect()
}

/// Every object that has this field, as the value of the field.
fn all<'v>(value: &'v Value, field: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(field));
            fields.values().for_each(|inside| all(inside, field, found));
        }
        Value::Array(entries) => entries.iter().for_each(|inside| all(inside, field, found)),
        _ => {}
    }
}

#[test]
fn nothing_else_changes() {
    assert_eq!(inspecting(&changes()), shipped(INSPECTING_PROXY));
}

/// A protection changed in one of the two files must change in the other.
#[test]
fn both_files_protect_alike() {
    let forward = shipped(FORWARD_PROXY);
    let inspecting = inspecting(&changes());
    assert_eq!(inspecting["admin"], forward["admin"]);
    assert_eq!(inspecting["overload_manager"], forward["overload_manager"]);
    for place in ["/address", "/per_connection_buffer_limit_bytes"] {
        let at = format!("{LISTENER}{place}");
        assert_eq!(inspecting.pointer(&at), forward.pointer(&at), "{place}");
    }
    // Plain requests and CONNECT pass the same manager, apart from the route of tunnels and the filters added for them.
    let (mut theirs, mut ours) = (outer(&forward).clone(), outer(&inspecting).clone());
    for manager in [&mut theirs, &mut ours] {
        let log = manager.pointer_mut("/access_log/0/typed_config/log_format/json_format").unwrap();
        remove(log, "sni");
        remove(log, "client").unwrap();
        for part in ["local_reply_config", "route_config"] {
            remove(manager, part).unwrap();
        }
        manager["http_filters"]
            .as_array_mut()
            .unwrap()
            .retain(|filter| !["tunnel-port", "tunnel", "not-inspected"].contains(&filter["name"].as_str().unwrap()));
    }
    assert_eq!(ours, theirs);
    // Envoy's own answers are the same, without the one for tunnels that are not inspected, plus two for TLS with the
    // origin.
    let replies = |document: &Value| {
        let mut mappers = outer(document)["local_reply_config"]["mappers"].as_array().unwrap().clone();
        mappers.retain(|mapper| !mapper.to_string().contains("[not-"));
        mappers
    };
    let ours = replies(&inspecting);
    let added: Vec<&Value> = ours.iter().filter(|mapper| !replies(&forward).contains(mapper)).collect();
    assert_eq!(ours.len(), replies(&forward).len() + 2);
    assert!(added.iter().all(|mapper| mapper.to_string().contains("upstream.transport_failure_reason")), "{added:?}");
    let routes = |document: &Value| outer(document)["route_config"]["virtual_hosts"][0]["routes"].clone();
    assert_eq!(routes(&inspecting)[1], routes(&forward)[1]);
    assert_eq!(routes(&inspecting)[2], routes(&forward)[2]);
    assert_eq!(
        routes(&inspecting)[0].pointer("/route/max_stream_duration"),
        routes(&forward)[0].pointer("/route/max_stream_duration")
    );
    let cluster = |document: &Value| document["static_resources"]["clusters"][0].clone();
    assert_eq!(cluster(&inspecting), cluster(&forward));
}

/// A request inside a tunnel passes the same filters as one outside.
#[test]
fn requests_inside_a_tunnel_pass_the_same_filters() {
    let document = inspecting(&changes());
    let (mut inside, mut outside) = (inner(&document).clone(), outer(&document).clone());
    let kept = |filters: &Value| -> Vec<Value> {
        let filters = filters.as_array().unwrap().iter();
        filters
            .filter(|filter| !["tunnel-port", "tunnel"].contains(&filter["name"].as_str().unwrap()))
            .cloned()
            .collect()
    };
    assert_eq!(kept(&inside["http_filters"]), kept(&outside["http_filters"]));
    // A tunnel has a shorter life than a plain connection.
    let lifetime =
        |manager: &mut Value| remove(&mut manager["common_http_protocol_options"], "max_connection_duration");
    assert_ne!(lifetime(&mut inside), lifetime(&mut outside));
    assert_eq!(remove(&mut inside, "scheme_header_transformation"), Some(json!({"scheme_to_overwrite": "https"})));
    for manager in [&mut inside, &mut outside] {
        for own in ["stat_prefix", "route_config", "http_filters"] {
            remove(manager, own).unwrap();
        }
    }
    assert_eq!(inside, outside);
    let routes = &inner(&document)["route_config"]["virtual_hosts"][0]["routes"];
    assert_eq!(routes[0]["match"], json!({"connect_matcher": {}}));
    assert_eq!(routes[0]["direct_response"]["status"], 403, "no tunnel inside a tunnel");
    let clusters = document["static_resources"]["clusters"].as_array().unwrap();
    let options = |name: &str| {
        let cluster = clusters.iter().find(|cluster| cluster["name"] == name).unwrap();
        cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].clone()
    };
    for same in ["http_filters", "upstream_http_protocol_options", "common_http_protocol_options"] {
        for cluster in ["internet_tls", "internet_tls_http1"] {
            assert_eq!(options(cluster)[same], options("internet")[same], "{cluster} {same}");
        }
    }
}

#[test]
fn every_upstream_path_refuses_the_same_addresses() {
    let document = inspecting(&changes());
    let mut caches = Vec::new();
    all(&document, "dns_cache_config", &mut caches);
    assert_eq!(caches.len(), 6, "two managers, the passthrough chain and three clusters");
    assert!(caches.iter().all(|cache| *cache == caches[0]));
    let forward = shipped(FORWARD_PROXY);
    let mut theirs = Vec::new();
    all(&forward, "dns_cache_config", &mut theirs);
    assert_eq!(caches[0], theirs[0]);
}

#[test]
fn an_exception_applies_everywhere() {
    let allow_upstream = vec!["10.1.0.0/16".parse().unwrap()];
    let document = inspecting(&Changes { allow_upstream, ..changes() });
    let mut lists = Vec::new();
    all(&document, "resolved_address_filter", &mut lists);
    let address: std::net::IpAddr = "10.1.2.3".parse().unwrap();
    for list in &lists {
        assert!(!addresses::read(&list["ranges"]).unwrap().iter().any(|range| range.contains(&address)));
    }
    let mut policies = Vec::new();
    all(&document, "public-address", &mut policies);
    for policy in &policies {
        let permissions = policy["permissions"].as_array().unwrap();
        assert_eq!(permissions.last().unwrap()["matcher"]["name"], "10.1.0.0/16");
    }
    assert_eq!((lists.len(), policies.len()), (6, 3));
}

#[test]
fn the_issuer_and_the_roots_are_set() {
    let inspection = Inspection { issuer: "/x/issuer.sock".into(), origin_roots: Some("/x/roots.pem".into()) };
    let document = inspecting(&Changes { inspection: Some(inspection), ..changes() }).to_string();
    assert!(document.contains(r#"{"pipe":{"path":"/x/issuer.sock"}}"#) && !document.contains("/run/weir"));
    assert!(document.contains(r#""trusted_ca":{"filename":"/x/roots.pem"}"#) && !document.contains("ca-certificates"));
}

#[test]
fn the_plugin_is_on_both_sides() {
    let filter = Filter::Discovered("/x/filter.json".into());
    let document = inspecting(&Changes { filter, ..changes() });
    for manager in [outer(&document), inner(&document)] {
        let weir = &manager["http_filters"][1];
        assert_eq!(weir["config_discovery"]["config_source"]["path_config_source"]["path"], "/x/filter.json");
    }
}

#[test]
fn the_stand_in_is_behind_both_sides_and_passthrough() {
    let stand_in = Some("127.0.0.2:4711".parse().unwrap());
    let document = inspecting(&Changes { stand_in, ..changes() });
    for manager in [outer(&document), inner(&document)] {
        assert_eq!(names(&manager["http_filters"])[1..3], ["weir", "stand-in"]);
    }
    let passthrough = &document["static_resources"]["listeners"][1]["filter_chains"][1];
    assert!(passthrough.to_string().contains(r#""inline_string":"127.0.0.2""#));
}

#[test]
fn without_the_plugin_no_name_is_compared() {
    let document = inspecting(&Changes { filter: Filter::Absent, ..changes() });
    for manager in [outer(&document), inner(&document)] {
        assert!(!names(&manager["http_filters"]).contains(&"weir"));
    }
    let tunnel = &document["static_resources"]["listeners"][1];
    assert_eq!(names(&tunnel["filter_chains"][0]["filters"]), ["client", "envoy.filters.network.tcp_proxy"]);
    let tls = &tunnel["filter_chain_matcher"]["matcher_tree"]["exact_match_map"]["map"]["tls"];
    assert_eq!(tls["action"]["name"], "inspected");
}

#[test]
fn a_tunnel_may_end_sooner() {
    let lifetime = Some(std::time::Duration::from_secs(2));
    let document = inspecting(&Changes { tunnel_lifetime: lifetime, ..changes() });
    let routes = &outer(&document)["route_config"]["virtual_hosts"][0]["routes"];
    assert_eq!(routes[0]["route"]["max_stream_duration"]["max_stream_duration"], "2.000s");
}
