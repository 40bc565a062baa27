//! What the module may export to Envoy and import from it. `envoy/filter.yaml` allows the same, and a test compares the
//! two.

/// Callbacks, Envoy to plugin.
pub const CALLBACKS: &[&str] = &[
    "proxy_on_context_create",
    "proxy_on_configure",
    "proxy_on_request_headers",
    "proxy_on_new_connection",
    "proxy_on_tick",
    "proxy_on_delete",
];

/// Calls, plugin to Envoy.
pub const CALLS: &[&str] = &[
    "proxy_log",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_send_local_response",
    "proxy_close_stream",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_set_tick_period_milliseconds",
];
