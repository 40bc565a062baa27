"""Reduces Istio's CRDs to what tests/e2e/istio/schema.rs reads: python3 trim.py istio-crds.yaml

Keeps the structural schema of `spec` of the kinds in envoy/istio/, one file each. Leaves out prose, `status` and the
CEL rules (x-kubernetes-validations), which nothing here evaluates.
"""

import json
import pathlib
import sys

import yaml

KINDS = {"WasmPlugin", "ServiceEntry", "Sidecar", "Gateway", "VirtualService", "DestinationRule"}
DROPPED = {"x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}


def trim(schema):
    kept = {key: value for key, value in schema.items() if key not in DROPPED and key != "description"}
    if "properties" in kept:
        kept["properties"] = {name: trim(field) for name, field in kept["properties"].items()}
    for key in ("items", "additionalProperties", "not"):
        if isinstance(kept.get(key), dict):
            kept[key] = trim(kept[key])
    for key in ("oneOf", "anyOf", "allOf"):
        if key in kept:
            kept[key] = [trim(part) for part in kept[key]]
    return kept


for crd in yaml.safe_load_all(pathlib.Path(sys.argv[1]).read_text()):
    kind = crd["spec"]["names"]["kind"]
    if kind not in KINDS:
        continue
    group = crd["spec"]["group"]
    versions = crd["spec"]["versions"]
    whole = [version["schema"]["openAPIV3Schema"] for version in versions]
    assert all(schema["properties"]["spec"] == whole[0]["properties"]["spec"] for schema in whole), kind
    out = {
        "kind": kind,
        "apiVersions": [f"{group}/{version['name']}" for version in versions if version["served"]],
        "spec": trim(whole[0]["properties"]["spec"]),
    }
    text = json.dumps(out, indent=1, sort_keys=True)
    (pathlib.Path(__file__).parent / f"{kind}.json").write_text(text + "\n")
