//! Measures variants in turns.

use std::time::Duration;

/// A measured variant.
pub struct Variant<'v> {
    name: &'static str,
    measure: Box<dyn FnMut() -> Duration + 'v>,
    measured: Vec<f64>,
}

impl<'v> Variant<'v> {
    /// `measure` does one round's work and returns its cost.
    pub fn new(name: &'static str, measure: impl FnMut() -> Duration + 'v) -> Variant<'v> {
        Variant { name, measure: Box::new(measure), measured: Vec::new() }
    }
}

/// Runs all variants in turns and prints a table that compares each with the first, round by round. There are 30
/// rounds, or `WEIR_ROUNDS`.
pub fn compare(title: &str, variants: &mut [Variant<'_>]) {
    let rounds = std::env::var("WEIR_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(30_usize);
    for variant in variants.iter_mut() {
        // One round each to warm up.
        (variant.measure)();
    }
    let count = variants.len();
    for round in 0..rounds {
        for place in 0..count {
            // Each round starts at another variant, and every other round runs backwards.
            let at = if round % 2 == 0 { round / 2 + place } else { round / 2 + count - place };
            if let Some(variant) = variants.get_mut(at % count) {
                let micros = (variant.measure)().as_secs_f64() * 1e6;
                variant.measured.push(micros);
            }
        }
    }
    println!("{title}; {rounds} rounds in turns");
    println!("| variant | least | median | over the first: median (quartiles) | dearer than the first in |");
    println!("|---|---|---|---|---|");
    let first = variants.first().map(|first| first.measured.clone()).unwrap_or_default();
    for variant in variants {
        let mut over: Vec<f64> = variant.measured.iter().zip(&first).map(|(own, first)| own - first).collect();
        let dearer = over.iter().filter(|over| **over > 0.0).count();
        let mut own = variant.measured.clone();
        println!(
            "| {} | {:.1} | {:.1} | {:+.1} ({:+.1} .. {:+.1}) | {dearer} of {rounds} |",
            variant.name,
            quantile(&mut own, 0.0),
            quantile(&mut own, 0.5),
            quantile(&mut over, 0.5),
            quantile(&mut over, 0.25),
            quantile(&mut over, 0.75),
        );
    }
}

/// The value below which this fraction of the values lies.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among some dozens"
    )]
    let place = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(place).copied().unwrap_or_default()
}
