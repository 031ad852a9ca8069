// SPDX-License-Identifier: GPL-2.0

//! The metrics, by name. They are an interface: `README.md` has them in a table.

use super::Figures;
use crate::status::reason;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

type Labels = Vec<(String, String)>;
/// A sample: its labels and its value.
type Sample = (Labels, u64);

/// The samples of a metric, in the order in which they are printed.
#[derive(Debug)]
struct Samples {
    kind: MetricType,
    samples: Vec<Sample>,
}

impl EncodeMetric for Samples {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, value) in &self.samples {
            if labels.is_empty() {
                encode_value(encoder, self.kind, *value)?;
                // A metric without labels has one sample.
                return Ok(());
            }
            encode_value(encoder.encode_family(labels)?, self.kind, *value)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

fn encode_value(mut encoder: MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    match kind {
        MetricType::Counter => encoder.encode_counter::<Labels, _, u64>(&value, None),
        _ => encoder.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
    }
}

fn label(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Adds a value that goes up and down. Without a sample there is no metric.
fn gauge(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>, samples: &[Sample]) {
    let metric = Samples {
        kind: MetricType::Gauge,
        samples: samples.to_vec(),
    };
    match unit {
        _ if samples.is_empty() => {}
        Some(unit) => registry.register_with_unit(name, help, unit, metric),
        None => registry.register(name, help, metric),
    }
}

/// Adds a count since insmod.
fn counter(registry: &mut Registry, name: &str, help: &str, samples: &[Sample]) {
    if !samples.is_empty() {
        let kind = MetricType::Counter;
        let samples = samples.to_vec();
        registry.register(name, help, Samples { kind, samples });
    }
}

/// Makes the metrics of `figures`.
pub(super) fn registry(figures: &Figures) -> Registry {
    let mut registry = Registry::default();
    kernel(&mut registry, figures);
    let loaded = [(Labels::new(), u64::from(figures.loaded))];
    let help = "Whether the module bpf_pack is loaded";
    gauge(&mut registry, "bpf_pack_loaded", help, None, &loaded);
    if figures.loaded {
        books(&mut registry, figures);
        totals(&mut registry, figures);
    }
    registry
}

/// What the kernel tells without the module.
fn kernel(registry: &mut Registry, figures: &Figures) {
    let limit = figures.jit_limit_bytes.map(|limit| (Labels::new(), limit));
    gauge(
        registry,
        "bpf_jit_limit",
        "The most bytes of all images of the BPF JIT, net.core.bpf_jit_limit",
        Some(Unit::Bytes),
        limit.as_slice(),
    );
    let programs = figures.programs.iter();
    let programs: Vec<(Labels, u64, u64)> = programs
        .map(|of| {
            let labels = vec![label("type", &of.kind)];
            (labels, of.programs, of.jited_bytes)
        })
        .collect();
    let of = |pick: fn(&(Labels, u64, u64)) -> u64| -> Vec<Sample> {
        let samples = programs.iter();
        samples.map(|of| (of.0.clone(), pick(of))).collect()
    };
    gauge(
        registry,
        "bpf_programs",
        "BPF programs that are loaded",
        None,
        &of(|of| of.1),
    );
    gauge(
        registry,
        "bpf_programs_jited",
        "Size of their images, without headers and padding",
        Some(Unit::Bytes),
        &of(|of| of.2),
    );
    let areas: Vec<Sample> = figures
        .areas
        .iter()
        .map(|(caller, bytes)| (vec![label("caller", caller)], *bytes))
        .collect();
    gauge(
        registry,
        "bpf_jit_areas",
        "Size of the memory areas for images of the BPF JIT",
        Some(Unit::Bytes),
        &areas,
    );
}

/// What is so now.
fn books(registry: &mut Registry, figures: &Figures) {
    let serving = [(Labels::new(), u64::from(figures.serving))];
    let help = "Whether packs serve new images";
    gauge(registry, "bpf_pack_serving", help, None, &serving);
    let packs = |pick: fn(&super::Packs) -> u64| -> Vec<Sample> {
        let packs = figures.packs.iter();
        packs
            .map(|of| {
                let labels = vec![label("leaf", &of.leaf), label("place", of.place)];
                (labels, pick(of))
            })
            .collect()
    };
    let all = packs(|of| of.packs);
    gauge(registry, "bpf_pack_packs", "Packs", None, &all);
    gauge(
        registry,
        "bpf_pack_writable_aliases",
        "Packs of which the linear map has a writable alias",
        None,
        &packs(|of| of.writable_aliases),
    );
    let states = |suffix: &str| -> Vec<Sample> {
        let values = figures.values.iter();
        values
            .filter_map(|(key, value)| {
                let state = key.strip_suffix(suffix)?;
                let known = figures.values.contains_key(&format!("{state}_images"));
                known.then(|| (vec![label("state", state)], *value))
            })
            .collect()
    };
    let images = states("_images");
    gauge(
        registry,
        "bpf_pack_images",
        "Images in packs",
        None,
        &images,
    );
    gauge(
        registry,
        "bpf_pack_images",
        "Size of the images in packs, in whole chunks",
        Some(Unit::Bytes),
        &states("_bytes"),
    );
    for (key, name, help) in [
        (
            "jit_charged_bytes",
            "bpf_jit_charged",
            "What the kernel has charged for images, to compare with bpf_jit_limit_bytes",
        ),
        ("mapped_bytes", "bpf_pack_mapped", "Size of all regions"),
        ("free_bytes", "bpf_pack_free", "Free memory in packs"),
        (
            "largest_hole_bytes",
            "bpf_pack_largest_hole",
            "The longest free run in a pack",
        ),
    ] {
        let value = figures.values.get(key).map(|&value| (Labels::new(), value));
        gauge(registry, name, help, Some(Unit::Bytes), value.as_slice());
    }
}

/// Counts since insmod.
fn totals(registry: &mut Registry, figures: &Figures) {
    for (key, name, help) in [
        (
            "images_served",
            "bpf_pack_images_served",
            "Images that got memory from packs",
        ),
        (
            "images_freed",
            "bpf_pack_images_freed",
            "Images that were freed",
        ),
        (
            "synchronisations",
            "bpf_pack_synchronisations",
            "Synchronisations of all CPUs",
        ),
        (
            "shared_synchronisations",
            "bpf_pack_shared_synchronisations",
            "Waits for all CPUs that were served by the synchronisation of another task",
        ),
        (
            "bad_calls",
            "bpf_pack_bad_calls",
            "Calls with a wrong address or size",
        ),
        (
            "copy_errors",
            "bpf_pack_copy_errors",
            "Copies whose source could not be read",
        ),
    ] {
        let value = figures.values.get(key).map(|&value| (Labels::new(), value));
        counter(registry, name, help, value.as_slice());
    }
    let refusals: Vec<Sample> = figures
        .values
        .iter()
        .filter_map(|(key, value)| {
            let key = key.strip_prefix("to_stock_")?;
            let design = if reason(key).1 { "yes" } else { "no" };
            Some((
                vec![label("reason", key), label("by_design", design)],
                *value,
            ))
        })
        .collect();
    counter(
        registry,
        "bpf_pack_to_stock",
        "Requests that the stock allocator served instead",
        &refusals,
    );
}
