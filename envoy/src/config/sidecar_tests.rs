//! What `sidecar.yaml` and `filter-tls.yaml`, which only tests start, share with the other files must stay equal.

use super::*;
use crate::shipped::{FILTER, FILTER_TLS, SIDECAR};

fn sidecar() -> Value {
    shipped(SIDECAR)
}

fn forward() -> Value {
    shipped(FORWARD_PROXY)
}

fn filter<'v>(filters: &'v Value, name: &str) -> &'v Value {
    filters.as_array().unwrap().iter().find(|filter| filter["name"] == name).unwrap()
}

/// A protection changed in one of the two files must change in the other.
#[test]
fn both_files_protect_alike() {
    let (sidecar, forward) = (sidecar(), forward());
    assert_eq!(sidecar["overload_manager"], forward["overload_manager"]);
    assert_eq!(sidecar["static_resources"]["clusters"], forward["static_resources"]["clusters"]);
    let manager = |document: &Value| document.pointer(MANAGER).unwrap().clone();
    let (http, proxy) = (manager(&sidecar), manager(&forward));
    for field in proxy.as_object().unwrap().keys() {
        // The sidecar has its own names, routes and filters, and lacks one answer that only the proxy gives.
        if !["stat_prefix", "route_config", "http_filters", "local_reply_config"].contains(&field.as_str()) {
            assert_eq!(http[field], proxy[field], "{field}");
        }
    }
    let replies = |manager: &Value| {
        let mut mappers = manager["local_reply_config"]["mappers"].as_array().unwrap().clone();
        // Answers about CONNECT: only a proxy gives them.
        mappers.retain(|mapper| {
            !["[not-inspected]", "[not-announced]", "https_url_on_plaintext"]
                .iter()
                .any(|own| mapper.to_string().contains(own))
        });
        mappers
    };
    assert_eq!(replies(&http), replies(&proxy));
    assert!(replies(&http).len() >= 4);
    for name in [
        "request-id",
        "envoy.filters.http.dynamic_forward_proxy",
        "envoy.filters.http.rbac",
        "envoy.filters.http.router",
    ] {
        assert_eq!(filter(&http["http_filters"], name), filter(&proxy["http_filters"], name), "{name}");
    }
    let plain = |manager: &Value| filter(&manager["route_config"]["virtual_hosts"][0]["routes"], "plain").clone();
    assert_eq!(plain(&http), plain(&proxy));
    assert_eq!(sidecar["admin"]["address"].get("socket_address"), None, "the agent could reach it");
}

#[test]
fn tls_is_resolved_and_refused_as_http_is() {
    let sidecar = sidecar();
    let chains = &sidecar["static_resources"]["listeners"][0]["filter_chains"];
    let http = &chains[0]["filters"][0]["typed_config"]["http_filters"];
    let tls = &chains[1]["filters"];
    let names: Vec<&str> = tls.as_array().unwrap().iter().map(|filter| filter["name"].as_str().unwrap()).collect();
    // Envoy resolves no name before the plugin's decision, and connects to no address before its check.
    let order = ["port", "weir", "envoy.filters.network.sni_dynamic_forward_proxy", "envoy.filters.network.rbac"];
    assert_eq!(names, [&order[..], &["envoy.filters.network.tcp_proxy"]].concat());
    assert_eq!(
        tls[2]["typed_config"]["dns_cache_config"],
        filter(http, "envoy.filters.http.dynamic_forward_proxy")["typed_config"]["dns_cache_config"]
    );
    assert_eq!(tls[3]["typed_config"]["rules"], filter(http, "envoy.filters.http.rbac")["typed_config"]["rules"]);
}

#[test]
fn the_http_and_network_filters_load_one_plugin() {
    let resource = |file| shipped(file)["resources"][0].clone();
    let (http, mut tls) = (resource(FILTER), resource(FILTER_TLS));
    let kind = &mut tls["typed_config"]["@type"];
    assert_eq!(*kind, "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm");
    *kind = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm".into();
    assert_eq!(tls, http);
}
