//! Callbacks in orders that Envoy should never choose: nothing traps, a context that was not announced is refused, and
//! none is decided by the policy of another.

use std::collections::BTreeMap;

use crate::host::{Call, ClientHello, Host, Incoming, Outcome, Root};
use proptest::prelude::*;

/// Two policies that allow no host in common.
const COM: &str = r#"{"internet_access":"on","allowlist":{"domains":["example.com"]}}"#;
const ORG: &str = r#"{"internet_access":"on","allowlist":{"domains":["example.org"]}}"#;
const ALL: &str = r#"{"internet_access":"on","allowlist":{"preset":"all"},"mode":"audit"}"#;

fn com() -> Incoming {
    Incoming::get("example.com")
}

fn org() -> Incoming {
    Incoming::get("example.org")
}

fn assert_not_announced(outcome: &Outcome) {
    assert_eq!(outcome.refusal(), "access-off");
    assert!(outcome.log[0].1.contains("was not announced"), "{outcome:?}");
}

/// A host with two root contexts, one for each policy.
fn two_roots() -> (Host, Root, Root) {
    let (host, com) = Host::with_policy(COM);
    let org = host.create_root();
    assert!(host.configure(org, ORG.as_bytes()));
    (host, com, org)
}

#[test]
fn a_context_that_was_never_announced_is_refused() {
    let (host, _) = Host::with_policy(ALL);
    assert_not_announced(&host.ask(host.unused(), &com()));
    for context in [0, u32::MAX] {
        assert_not_announced(&host.ask(context, &com()));
    }
    let connected = host.announced(host.unused(), &ClientHello::to("example.com"));
    assert_eq!(connected.refusal(), "access-off");
    assert_eq!(connected.calls.last(), Some(&Call::CloseStream));
}

#[test]
fn a_root_context_is_no_request() {
    let (host, root) = Host::with_policy(ALL);
    assert_not_announced(&host.ask(root.id(), &com()));
    assert_eq!(host.announced(root.id(), &ClientHello::to("example.com")).refusal(), "access-off");
}

#[test]
fn a_context_is_asked_about_once() {
    let (host, root) = Host::with_policy(ALL);
    let context = host.announce(root);
    assert!(host.ask(context, &com()).goes_on);
    assert_not_announced(&host.ask(context, &com()));
    assert_eq!(host.announced(context, &ClientHello::to("example.com")).refusal(), "access-off");

    let context = host.announce(root);
    assert!(host.announced(context, &ClientHello::to("example.com")).goes_on);
    assert_not_announced(&host.ask(context, &com()));
}

#[test]
fn a_context_that_was_deleted_is_refused() {
    let (host, root) = Host::with_policy(ALL);
    let context = host.announce(root);
    host.end(context);
    assert_not_announced(&host.ask(context, &com()));
}

#[test]
fn deleting_what_is_not_there_does_nothing() {
    let (host, root) = Host::with_policy(COM);
    let context = host.announce(root);
    host.take_calls();
    for unknown in [context, context, host.unused(), 0, u32::MAX] {
        host.end(unknown);
    }
    host.tick(Root::of_id(host.unused()));
    assert_eq!(host.take_calls(), []);
    assert!(host.request(root, &com()).goes_on);
}

#[test]
fn a_root_may_be_deleted_twice_and_tick_afterwards() {
    let (host, root) = Host::with_policy(COM);
    assert!(host.request(root, &com()).goes_on);
    host.delete(root);
    assert_eq!(host.counters()["weir.allowed"], 1);
    host.take_calls();
    host.delete(root);
    host.tick(root);
    assert_eq!(host.take_calls(), []);
    assert_not_announced(&host.request(root, &com()));
}

#[test]
fn a_request_under_no_root_is_refused() {
    let (host, root) = Host::with_policy(ALL);
    assert_not_announced(&host.request(Root::of_id(host.unused()), &com()));
    // A request is no root either.
    let request = host.announce(root);
    assert_not_announced(&host.request(Root::of_id(request), &com()));
    let own_parent = host.unused();
    host.create(own_parent, own_parent);
    assert_not_announced(&host.ask(own_parent, &com()));
}

#[test]
fn a_root_that_is_announced_twice_keeps_its_policy() {
    let (host, root) = Host::with_policy(COM);
    host.create(root.id(), 0);
    assert!(host.request(root, &com()).goes_on);
    assert_eq!(host.request(root, &org()).refusal(), "domain-not-allowed");
}

#[test]
fn a_policy_for_no_root_is_refused() {
    let host = Host::start();
    let root = Root::of_id(host.unused());
    assert!(!host.configure(root, ALL.as_bytes()));
    assert_eq!(host.take_calls(), [Call::Log]);
    assert_not_announced(&host.request(root, &com()));

    let (host, root) = Host::with_policy(COM);
    let request = host.announce(root);
    assert!(!host.configure(Root::of_id(request), ALL.as_bytes()));
    assert_eq!(host.ask(request, &org()).refusal(), "domain-not-allowed");
}

#[test]
fn a_second_policy_replaces_the_first_for_what_is_announced_later() {
    let (host, root) = Host::with_policy(COM);
    let before = host.announce(root);
    assert!(host.configure(root, ORG.as_bytes()));
    let after = host.announce(root);
    assert!(host.ask(after, &org()).goes_on);
    assert!(host.ask(before, &com()).goes_on);
    assert_eq!(host.request(root, &com()).refusal(), "domain-not-allowed");
    host.tick(root);
    assert_eq!(host.counters()["weir.allowed"], 2);
}

#[test]
fn contexts_may_be_asked_about_in_any_order() {
    let (host, com_root, org_root) = two_roots();
    let contexts: Vec<_> = (0..9).map(|n| host.announce(if n % 2 == 0 { com_root } else { org_root })).collect();
    for n in [4, 0, 8, 1, 7, 2, 3, 6, 5] {
        let (allowed, refused) = if n % 2 == 0 { (com(), org()) } else { (org(), com()) };
        let outcome = host.ask(contexts[n], if n < 5 { &allowed } else { &refused });
        assert_eq!(outcome.goes_on, n < 5, "{n}: {outcome:?}");
    }
}

#[test]
fn an_id_that_is_used_again_is_decided_by_its_last_root() {
    let (host, com_root, org_root) = two_roots();
    let context = host.unused();
    host.create(context, com_root.id());
    host.create(context, org_root.id());
    assert_eq!(host.ask(context, &com()).refusal(), "domain-not-allowed");
    assert_not_announced(&host.ask(context, &org()));
    host.create(context, org_root.id());
    host.create(context, host.unused());
    assert_not_announced(&host.ask(context, &org()));
    host.create(context, com_root.id());
    host.end(context);
    host.create(context, org_root.id());
    assert!(host.ask(context, &org()).goes_on);
}

#[test]
fn a_request_may_have_the_id_of_its_root() {
    let (host, root) = Host::with_policy(COM);
    host.create(root.id(), root.id());
    assert_eq!(host.ask(root.id(), &org()).refusal(), "domain-not-allowed");
    assert!(host.request(root, &com()).goes_on);
}

#[test]
fn requests_outlive_their_root() {
    let (host, com_root, org_root) = two_roots();
    let context = host.announce(com_root);
    host.delete(com_root);
    assert!(host.ask(context, &com()).goes_on);
    assert!(host.request(org_root, &org()).goes_on);
}

#[test]
fn memory_that_is_not_there_is_not_given() {
    let host = Host::start();
    for size in [usize::MAX, isize::MAX as usize, 1 << 62] {
        assert!(host.allocate(size).is_null(), "{size}");
    }
    assert!(!host.allocate(1).is_null());
    assert!(host.allocate(0).is_null(), "nothing needs no memory");
}

/// One callback.
#[derive(Clone, Debug)]
enum Step {
    CreateRoot(u32),
    Create(u32, u32),
    Configure(u32, bool),
    Ask(u32, bool),
    Connect(u32, bool),
    Delete(u32),
    Tick(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0_u32..5;
    prop_oneof![
        id().prop_map(Step::CreateRoot),
        (id(), id()).prop_map(|(context, parent)| Step::Create(context, parent)),
        (id(), any::<bool>()).prop_map(|(root, is_com)| Step::Configure(root, is_com)),
        (id(), any::<bool>()).prop_map(|(context, is_com)| Step::Ask(context, is_com)),
        (id(), any::<bool>()).prop_map(|(context, is_com)| Step::Connect(context, is_com)),
        id().prop_map(Step::Delete),
        id().prop_map(Step::Tick),
    ]
}

/// What a policy allows: nothing, or one of the two hosts.
type Allowed = Option<bool>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any order of callbacks over a few ids, each of which may be a root, a request, both or neither: what goes on is
    /// what the policy allows that was in force under the context's root when the context was announced.
    #[test]
    fn any_order_is_decided_as_announced(steps in prop::collection::vec(step(), 0..40)) {
        let host = Host::start();
        let ids: Vec<u32> = (0..5).map(|_| host.unused()).collect();
        let mut roots = BTreeMap::<u32, Allowed>::new();
        let mut announced = BTreeMap::<u32, Allowed>::new();
        for step in steps {
            match step {
                Step::CreateRoot(id) => {
                    host.create(ids[id as usize], 0);
                    roots.entry(id).or_insert(None);
                }
                Step::Create(id, parent) => {
                    host.create(ids[id as usize], ids[parent as usize]);
                    announced.remove(&id);
                    announced.extend(roots.get(&parent).map(|allowed| (id, *allowed)));
                }
                Step::Configure(id, is_com) => {
                    let document = if is_com { COM } else { ORG };
                    let accepted = host.configure(Root::of_id(ids[id as usize]), document.as_bytes());
                    prop_assert_eq!(accepted, roots.contains_key(&id));
                    roots.entry(id).and_modify(|allowed| *allowed = Some(is_com));
                }
                Step::Ask(id, is_com) => {
                    let outcome = host.ask(ids[id as usize], &if is_com { com() } else { org() });
                    let expected = announced.remove(&id).flatten() == Some(is_com);
                    prop_assert_eq!(outcome.goes_on, expected);
                    prop_assert_eq!(outcome.response.is_none(), expected);
                }
                Step::Connect(id, is_com) => {
                    let hello = ClientHello::to(if is_com { "example.com" } else { "example.org" });
                    let connected = host.announced(ids[id as usize], &hello);
                    prop_assert_eq!(connected.goes_on, announced.remove(&id).flatten() == Some(is_com));
                    // Closed or gone on, the host deletes what has that id.
                    roots.remove(&id);
                }
                Step::Delete(id) => {
                    host.delete(Root::of_id(ids[id as usize]));
                    roots.remove(&id);
                    announced.remove(&id);
                }
                Step::Tick(id) => host.tick(Root::of_id(ids[id as usize])),
            }
        }
        for id in ids {
            host.end(id);
        }
    }
}
