//! Connections, as Envoy shows them to a network filter.

use super::{CONTINUE, Call, Host, PAUSE, Phase, Root, VM, proxy_on_new_connection, within};

/// A connection behind `tls_inspector`.
#[derive(Clone, Debug)]
pub struct ClientHello {
    /// `connection.requested_server_name`; empty where there was none, or no TLS.
    pub server_name: Vec<u8>,
    /// `destination.port`; absent where the address has none.
    pub port: Option<u16>,
    /// Filter state `envoy.upstream.dynamic_port`, where something set it.
    pub upstream_port: Option<Vec<u8>>,
    /// `connection.id`.
    pub id: u64,
    context: u32,
}

impl ClientHello {
    /// The context that the host made for it.
    pub(super) fn context(&self) -> u32 {
        self.context
    }

    pub fn to(server_name: impl AsRef<[u8]>) -> ClientHello {
        ClientHello {
            server_name: server_name.as_ref().to_vec(),
            port: Some(443),
            upstream_port: None,
            id: 17,
            context: 0,
        }
    }

    pub fn at(mut self, port: u16) -> ClientHello {
        self.port = Some(port);
        self
    }

    /// With an address that has no port.
    pub fn at_none(mut self) -> ClientHello {
        self.port = None;
        self
    }

    pub fn going_to(mut self, port: impl AsRef<[u8]>) -> ClientHello {
        self.upstream_port = Some(port.as_ref().to_vec());
        self
    }
}

/// What a connection came to.
#[derive(Clone, Debug)]
pub struct Connected {
    pub goes_on: bool,
    /// What `weir.decision` was set to.
    pub filter_state: Option<String>,
    pub calls: Vec<Call>,
    pub log: Vec<(u32, String)>,
}

impl Connected {
    /// The reason code of the refusal, in the filter state.
    pub fn refusal(&self) -> &str {
        assert!(!self.goes_on, "went on: {self:?}");
        let state = self.filter_state.as_deref().unwrap_or_else(|| panic!("no filter state: {self:?}"));
        let rest = state.strip_prefix("deny; reason=");
        rest.and_then(|rest| rest.split(';').next()).unwrap_or_else(|| panic!("{state}"))
    }

    /// The one JSON line that was logged.
    pub fn audit_record(&self) -> serde_json::Value {
        let [(_, line)] = self.log.as_slice() else {
            panic!("not one line: {self:?}");
        };
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Host {
    /// One connection, from the creation of its context to the deletion of it.
    pub fn connection(&self, root: Root, hello: &ClientHello) -> Connected {
        let context = self.announce(root);
        self.announced(context, hello)
    }

    /// A connection whose context is there already.
    pub fn announced(&self, context: u32, hello: &ClientHello) -> Connected {
        VM.with_borrow_mut(|vm| {
            vm.connection = Some(ClientHello { context, ..hello.clone() });
            vm.filter_states.clear();
            vm.calls.clear();
            vm.log.clear();
        });
        let action = within(Phase::NewConnection, || proxy_on_new_connection(context));
        let (connected, is_open) = VM.with_borrow_mut(|vm| {
            let is_open = vm.connection.take().is_some();
            if action != if is_open { CONTINUE } else { PAUSE } {
                vm.violation(format!("action {action} of a connection that is open: {is_open}"));
            }
            let connected = Connected {
                goes_on: is_open,
                filter_state: vm.filter_states.remove("weir.decision"),
                calls: std::mem::take(&mut vm.calls),
                log: std::mem::take(&mut vm.log),
            };
            (connected, is_open)
        });
        if is_open {
            self.end(context);
        }
        connected
    }
}
