//! Contexts one callback at a time, in whatever order a test likes.

use super::{
    CONTINUE, Host, Incoming, Outcome, PAUSE, Phase, Root, VM, Vm, next_context, proxy_abi_version_0_2_1,
    proxy_on_context_create, proxy_on_delete, proxy_on_memory_allocate, proxy_on_request_headers, within,
};

impl Root {
    /// A root context of that id, whether or not the plugin has ever heard of it.
    pub fn of_id(id: u32) -> Root {
        Root(id)
    }

    pub fn id(self) -> u32 {
        self.0
    }
}

impl Vm {
    /// The phase in which the host deletes whatever has that id.
    pub(super) fn deleting(&mut self, context: u32) -> Phase {
        if self.roots.remove(&context) { Phase::DeletingRoot } else { Phase::DeletingStream }
    }
}

impl Host {
    /// An id that no context has.
    pub fn unused(&self) -> u32 {
        next_context()
    }

    /// Makes the context of a request or a connection, and asks about neither.
    pub fn announce(&self, Root(root): Root) -> u32 {
        let context = next_context();
        self.create(context, root);
        context
    }

    pub fn create(&self, context: u32, parent: u32) {
        if parent == 0 {
            VM.with_borrow_mut(|vm| vm.roots.insert(context));
        }
        within(Phase::Creating, || proxy_on_context_create(context, parent));
    }

    /// Asks about a request whose context is there already, or ought to be.
    pub fn ask(&self, context: u32, incoming: &Incoming) -> Outcome {
        self.ask_as(context, incoming, incoming.pairs())
    }

    pub(super) fn ask_as(&self, context: u32, incoming: &Incoming, pairs: Vec<u8>) -> Outcome {
        VM.with_borrow_mut(|vm| {
            vm.request = Some((incoming.clone(), pairs));
            vm.response = None;
            vm.filter_states.clear();
            vm.calls.clear();
            vm.log.clear();
        });
        let action = within(Phase::RequestHeaders, || {
            proxy_on_request_headers(context, incoming.headers.len(), incoming.end_of_stream.into())
        });
        VM.with_borrow_mut(|vm| {
            if ![CONTINUE, PAUSE].contains(&action) {
                vm.violation(format!("action {action}"));
            }
            if vm.response.is_some() && action == CONTINUE {
                vm.violation("answered and went on");
            }
            vm.request = None;
            let tunnel = vm.filter_states.remove("weir.tunnel").zip(vm.filter_states.remove("weir.tls"));
            Outcome {
                goes_on: action == CONTINUE,
                response: vm.response.take(),
                filter_state: vm.filter_states.remove("weir.decision"),
                tunnel,
                calls: std::mem::take(&mut vm.calls),
                log: std::mem::take(&mut vm.log),
            }
        })
    }

    /// Deletes whatever has that id.
    pub fn end(&self, context: u32) {
        let phase = VM.with_borrow_mut(|vm| vm.deleting(context));
        within(phase, || proxy_on_delete(context));
    }

    /// What the plugin's allocator gives, and never gets back.
    pub fn allocate(&self, size: usize) -> *mut u8 {
        proxy_abi_version_0_2_1();
        proxy_on_memory_allocate(size)
    }
}
