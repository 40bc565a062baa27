//! The manifests in `envoy/kubernetes/`: Kubernetes knows all their fields, and the Pod is as `docs/sidecar.md`
//! describes it.
//!
//! There is no cluster here. Each manifest is parsed into the types of Kubernetes' API and serialised again: an unknown
//! field is lost, one of a wrong type is an error.
#![expect(clippy::expect_used, clippy::panic, reason = "clippy takes only the test functions themselves for tests")]

use std::fs;
use std::path::Path;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Container, Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_envoy::release;
use weir_tests::Failures;

const ENVOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy");

fn documents(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(ENVOY).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn pod() -> Pod {
    serde_json::from_value(documents("kubernetes/pod.yaml").remove(0)).expect("a Pod")
}

/// The places of `written` that are missing from `known` or differ there.
fn lost(place: &str, written: &Value, known: &Value) -> Vec<String> {
    match (written, known) {
        (Value::Object(fields), Value::Object(others)) => fields
            .iter()
            .flat_map(|(name, value)| lost(&format!("{place}.{name}"), value, others.get(name).unwrap_or(&Value::Null)))
            .collect(),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => items
            .iter()
            .zip(others)
            .enumerate()
            .flat_map(|(at, (item, other))| lost(&format!("{place}[{at}]"), item, other))
            .collect(),
        // Empty means the same as absent.
        (Value::Array(items), Value::Null) if items.is_empty() => Vec::new(),
        _ if written == known => Vec::new(),
        _ => vec![place.to_owned()],
    }
}

fn understood<T: DeserializeOwned + Serialize>(document: &Value) -> Vec<String> {
    match serde_json::from_value::<T>(document.clone()) {
        Ok(typed) => lost("", document, &serde_json::to_value(typed).expect("JSON")),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn kubernetes_knows_every_field() {
    let failures = Failures::default();
    let mut kinds = Vec::new();
    let files = ["pod", "network-policy", "namespace", "kustomization"].map(|name| format!("kubernetes/{name}.yaml"));
    for file in files.iter().map(String::as_str).chain(["istio/egress-gateway/network-policy.yaml"]) {
        for document in documents(file) {
            let kind = document["kind"].as_str().unwrap_or_default().to_owned();
            let mistakes = match &*kind {
                "Pod" => understood::<Pod>(&document),
                "NetworkPolicy" => understood::<NetworkPolicy>(&document),
                "Namespace" => understood::<Namespace>(&document),
                "Kustomization" => Vec::new(),
                other => vec![format!("unknown kind {other:?}")],
            };
            failures.same(file, "fields that are not known", &Vec::new(), &mistakes);
            kinds.push(kind);
        }
    }
    assert!(
        ["Pod", "NetworkPolicy", "Namespace"].iter().all(|kind| kinds.iter().any(|found| found == kind)),
        "{kinds:?}"
    );
    // Check that the check can fail.
    let mut wrong = documents("kubernetes/pod.yaml").remove(0);
    wrong["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalaton"] = false.into();
    assert_eq!(understood::<Pod>(&wrong), [".spec.containers[0].securityContext.allowPrivilegeEscalaton"]);
}

#[test]
fn every_file_of_the_folder_is_applied() {
    let listed = documents("kubernetes/kustomization.yaml").remove(0)["resources"].as_array().expect("resources").len();
    let manifests = fs::read_dir(Path::new(ENVOY).join("kubernetes")).expect("a folder").flatten();
    let manifests =
        manifests.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    assert_eq!(manifests.count() - 1, listed, "all but the kustomization itself");
}

#[test]
fn the_rules_come_first_then_envoy_then_the_agent() {
    let spec = pod().spec.expect("a spec");
    let first = spec.init_containers.expect("init containers");
    assert_eq!(first.iter().map(|container| &*container.name).collect::<Vec<_>>(), ["redirect", "weir"]);
    // It keeps running, and nothing after it starts before it is ready.
    assert_eq!(first[1].restart_policy.as_deref(), Some("Always"));
    assert!(first[1].startup_probe.is_some());
    assert_eq!(first[0].restart_policy, None);
    let image = first[1].image.as_deref();
    assert_eq!(image, Some(&*format!("envoyproxy/envoy:v{}", release::DEFAULT)));
}

#[test]
fn only_envoy_is_exempt_and_no_container_can_undo_the_rules() {
    let spec = pod().spec.expect("a spec");
    let init = spec.init_containers.clone().expect("init containers");
    let context = |container: &Container| container.security_context.clone().expect("a security context");
    let free = context(&init[1]).run_as_user.expect("a user");
    assert_eq!(init[0].args.clone().unwrap_or_default(), ["--proxy-uid", &free.to_string()]);
    // The sockets of a hot restart have no owner: every process in the pod could connect to them.
    assert!(init[1].args.clone().unwrap_or_default().contains(&"--disable-hot-restart".to_owned()));
    let script = fs::read_to_string(Path::new(ENVOY).join("redirect.sh")).expect("redirect.sh");
    assert!(script.contains(&format!("proxy_uid={free} ")), "the script's own default is another");
    for container in init.iter().skip(1).chain(&spec.containers) {
        let context = context(container);
        let capabilities = context.capabilities.expect("capabilities");
        assert_eq!((capabilities.add, capabilities.drop), (None, Some(vec!["ALL".to_owned()])), "{}", container.name);
        assert_eq!(context.allow_privilege_escalation, Some(false), "{}", container.name);
        assert_ne!(context.run_as_user, Some(0), "{}", container.name);
    }
    for container in &spec.containers {
        assert_ne!(context(container).run_as_user.expect("a user"), free, "{}", container.name);
        // Neither the policy nor the socket of Envoy's admin interface.
        assert_eq!(container.volume_mounts, None, "{}", container.name);
    }
    assert_eq!((spec.host_network, spec.share_process_namespace), (Some(false), Some(false)));
    assert_eq!(spec.automount_service_account_token, Some(false));
}

/// The network refuses what Envoy refuses after DNS. `consistency/ranges.rs` compares the whole lists.
#[test]
fn the_network_refuses_private_addresses_as_envoy_does() {
    let policy: NetworkPolicy =
        serde_json::from_value(documents("kubernetes/network-policy.yaml").remove(0)).expect("a NetworkPolicy");
    let blocks: Vec<_> = policy
        .spec
        .expect("a spec")
        .egress
        .expect("egress")
        .into_iter()
        .flat_map(|rule| rule.to.unwrap_or_default())
        .filter_map(|peer| peer.ip_block)
        .collect();
    let net = |text: &String| text.parse::<IpNet>().expect("a network");
    let opened = |address: &str| {
        let address: IpNet =
            format!("{address}/{}", if address.contains(':') { 128 } else { 32 }).parse().expect("an address");
        blocks.iter().any(|block| {
            let without = block.except.iter().flatten().map(net);
            net(&block.cidr).contains(&address) && !without.into_iter().any(|hole| hole.contains(&address))
        })
    };
    for closed in [
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "172.20.0.1",
        "192.168.1.1",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
    ] {
        assert!(!opened(closed), "{closed}");
    }
    for open in ["1.1.1.1", "140.82.121.3", "2606:4700::1"] {
        assert!(opened(open), "{open}");
    }
}
