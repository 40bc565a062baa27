//! Any bytes as a policy document: never a panic, a refusal says why, and whatever was accepted
//! decides any request without a panic and refuses everything unless it says "on".
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_policy::{Policy, Report, Request, Transport};

fuzz_target!(|document: &[u8]| {
    match Policy::from_json(document) {
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
        Ok(policy) => {
            // The document's own bytes make requests that come near to its entries.
            for authority in document.split(|&byte| byte == b'"') {
                for method in [b"GET".as_slice(), b"CONNECT", authority] {
                    let transport = Transport::Tls { server_name: authority };
                    let request =
                        Request { method, authority, path: authority, transport, id: authority, ..Request::default() };
                    let decision = policy.decide(&request);
                    assert!(policy.internet_access() || !decision.is_allowed());
                    let report = Report::new(&policy, &request, &decision);
                    for text in [report.header(), report.problem(), report.audit_record()] {
                        assert!(!text.contains(['\r', '\n', '\0']), "{text}");
                    }
                    assert!(report.header().is_ascii());
                }
            }
        }
    }
});
