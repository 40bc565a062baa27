//! `weir demo`, in a real Envoy.

use super::run;

#[test]
fn the_demo_comes_out_as_it_must() {
    let ran = run(&["demo"], "");
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let table = ran.stdout.lines().filter(|line| line.contains(" 403 ") || line.contains(" 200 ")).count();
    assert!(table >= 15, "{}", ran.stdout);
    let wide = ran.stdout.lines().filter(|line| !line.starts_with('{') && line.chars().count() > 100).count();
    assert_eq!(wide, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("{\"decision\":\"deny\",\"reason\":\"method-not-allowed\""), "{}", ran.stdout);
}

#[test]
fn without_a_plugin_it_says_so() {
    let output = super::weir().arg("demo").env("WEIR_PLUGIN", "/nowhere/weir.wasm").output().unwrap();
    let ran = super::Ran::from(output);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("WEIR_PLUGIN: cannot read the plugin /nowhere/weir.wasm"), "{}", ran.stderr);
}
