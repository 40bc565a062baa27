//! The audit trail as Envoy writes it: the plugin's records in Envoy's log, and the access log.

use std::time::Duration;

use serde_json::Value;

use crate::Proxy;

/// Envoy writes the logs shortly after the answer that they record.
const LIMIT: Duration = Duration::from_secs(10);

/// The plugin's audit records so far: those of its lines that are JSON.
pub fn records(proxy: &Proxy) -> Vec<Value> {
    proxy.envoy.plugin_lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The access log so far. A line that is not JSON fails the test: a request has broken out of a string.
pub fn access(proxy: &Proxy) -> Vec<Value> {
    let parse =
        |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("access log: {error}: {line}"));
    proxy.envoy.access_log_lines().iter().map(parse).collect()
}

/// Waits for the access log's line about the request with this path, and returns it with the audit record of the same
/// request, if there is one.
pub fn about(proxy: &Proxy, path: &str) -> Option<(Value, Option<Value>)> {
    let mut line = None;
    proxy.envoy.wait_for_logs(LIMIT, |_, access| {
        let parsed = access.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        line = parsed.into_iter().find(|line| line["path"] == path);
        line.is_some()
    });
    let line = line?;
    let id = line["request_id"].as_str()?.to_owned();
    // The two logs arrive through two pipes: the access log's line may be read first.
    proxy.envoy.wait_for_logs(Duration::from_millis(300), |log, _| {
        log.iter().filter_map(|line| line.from_plugin()).any(|line| line.contains(&id))
    });
    let record = records(proxy).into_iter().find(|record| record["request_id"] == *id);
    Some((line, record))
}
