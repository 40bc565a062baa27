//! Benchmarks live in `benches/`, their committed results in `results/`.

pub mod requests;
pub mod rounds;
