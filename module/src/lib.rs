//! The plugin as Envoy loads it, `weir.wasm`, carried inside whatever links this crate.
//!
//! `build.rs` compiles `filter/` for wasm32 and strips the result (crate `weir-module-build`). The same sources and
//! compiler give the same bytes in every folder and every profile.

include!(concat!(env!("OUT_DIR"), "/weir.rs"));
