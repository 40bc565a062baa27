//! The plugin's numbers are those of the SDK.
//!
//! The plugin and the SDK export functions of the same names, so that no binary can link both (`src/abi.rs`). This one
//! links the SDK, and has the numbers by their source.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "the file is written for another crate")]

use proxy_wasm::types::{Action, BufferType, LogLevel, MapType, MetricType, Status, StreamType};

#[path = "../src/numbers.rs"]
mod numbers;

#[test]
fn numbers_are_those_of_the_sdk() {
    let pairs = [
        (numbers::Action::Continue as u32, Action::Continue as u32),
        (numbers::Action::Pause as u32, Action::Pause as u32),
        (numbers::LogLevel::Trace as u32, LogLevel::Trace as u32),
        (numbers::LogLevel::Debug as u32, LogLevel::Debug as u32),
        (numbers::LogLevel::Info as u32, LogLevel::Info as u32),
        (numbers::LogLevel::Warn as u32, LogLevel::Warn as u32),
        (numbers::LogLevel::Error as u32, LogLevel::Error as u32),
        (numbers::OK, Status::Ok as u32),
        (numbers::NOT_FOUND, Status::NotFound as u32),
        (numbers::PLUGIN_CONFIGURATION, BufferType::PluginConfiguration as u32),
        (numbers::HTTP_REQUEST_HEADERS, MapType::HttpRequestHeaders as u32),
        (numbers::COUNTER, MetricType::Counter as u32),
        (numbers::DOWNSTREAM, StreamType::Downstream as u32),
    ];
    for (index, (ours, sdk)) in pairs.into_iter().enumerate() {
        assert_eq!(ours, sdk, "pair {index}");
    }
}
