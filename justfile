# Every task by name. `just` is a convenience: each recipe is one command that works without it.

# Lists the recipes.
default:
    @just --list

# Shows the plugin deciding real requests in a real Envoy.
demo:
    cargo run -- demo

# Builds dist/weir.wasm and prints its size and sha256.
build:
    cargo run -- build

# Writes the plugin as an OCI image layout, dist/weir-oci, and prints its digests.
package:
    cargo run -- package

# Runs the proxy with a policy until Ctrl-C.
up policy="policy.json":
    cargo run -- up --policy {{policy}}

# Builds a release of this checkout in dist/: archive, module, SBOM, SHA256SUMS. RELEASING.md.
release:
    bash release/build

# Tests the release in dist/ with nothing but the archive (root or user namespaces).
test-release:
    tests/test-release

# Starts an agent in containers whose only way out is Weir (Docker).
compose:
    envoy/compose/up

# Removes them; the CA and the agent's home stay unless `--volumes` is given.
compose-down *arguments:
    envoy/compose/compose down {{arguments}}

# Attacks those containers from inside the agent's, and removes them.
test-compose:
    tests/test-compose

# Native tests, the filter on a fake host, and everything end to end through real Envoy.
test:
    cargo test

# Real clients through `weir run` against the real registries, as far as this machine reaches them.
try-registries:
    bash tests/try-registries

# The end-to-end tests on each release of Envoy, and the table of results: tests/results/envoys.md.
test-envoys *versions:
    tests/test-envoys {{versions}}

# The case tables on wasm32 under Node.
test-wasm:
    bash .ci/test-wasm

# Draws the pages' pictures into target/pictures for review (Node, npm, Chromium).
pictures:
    bash .ci/pictures

# Generates the configurations in envoy/ from envoy/parts/; `just configs --check` only compares.
configs *arguments:
    cargo run --quiet -p weir-configs --example configs -- {{arguments}}

# Formats.
fmt:
    cargo fmt

# The checks that CI runs before the tests.
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo deny check

# Fuzzes authority and policy for SECONDS each (a nightly compiler and cargo-fuzz).
fuzz seconds="30":
    cd policy && cargo +nightly fuzz run authority -- -max_len=300 -max_total_time={{seconds}}
    cd policy && cargo +nightly fuzz run policy -- -max_len=2000 -max_total_time={{seconds}}

# The cost of starting `weir run`, in total and by phase.
bench-run:
    cargo build --release -p weir
    cargo run --release -p weir-bench --example start

# The cost of a decision, natively, compared with a hash set and a loop.
bench-decision:
    cargo bench -p weir-bench --bench decision

# Envoy's cost of a request with the plugin and without, in interleaved rounds.
bench-request:
    cargo bench -p weir-bench --bench request

# Envoy's cost of a request with the plugin of another revision and with the present one, in interleaved rounds.
bench-against revision:
    bench/against {{revision}}

# The cost of TLS inspection for Envoy and the issuer: requests, tunnels, new names, with the plugin and without.
bench-inspection:
    cargo bench -p weir-bench --bench inspection

# Everything that CI runs.
ci:
    bash .ci/run
