// SPDX-License-Identifier: GPL-2.0

//! JSON lines: a header, one line per region, a total.

use crate::counters::{Class, Inline, ModelCounts, Snapshot, LEAF_SIZES};
use crate::decode::{Kind, Scope};
use crate::geometry::Geometry;
use crate::options::Options;
use crate::region::Regions;
use crate::tlb::Policy;

/// Version of the format of the lines; it grows when a field changes its meaning or goes.
pub const FORMAT: u64 = 1;

/// A JSON text that is being written.
#[derive(Default)]
struct Json(String);

impl Json {
    /// A comma, unless this is the first member.
    fn separate(&mut self) {
        if !matches!(self.0.chars().last(), None | Some('{' | '[')) {
            self.0.push(',');
        }
    }

    /// A string.
    fn text(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(c);
                }
                c if u32::from(c) < 0x20 => self.0.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    /// The name of a member.
    fn key(&mut self, key: &str) {
        self.separate();
        self.text(key);
        self.0.push(':');
    }

    /// A member that is a number.
    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.0.push_str(&value.to_string());
    }

    /// A member that is true or false.
    fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.0.push_str(if value { "true" } else { "false" });
    }

    /// A member that is a string.
    fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text(value);
    }

    /// A member that is an object.
    fn object(&mut self, key: &str, members: impl FnOnce(&mut Self)) {
        self.key(key);
        self.braces(members);
    }

    /// A member that is a list of objects.
    fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut members: impl FnMut(&mut Self, T),
    ) {
        self.key(key);
        self.0.push('[');
        for item in items {
            self.separate();
            self.braces(|json| members(json, item));
        }
        self.0.push(']');
    }

    /// An object.
    fn braces(&mut self, members: impl FnOnce(&mut Self)) {
        self.0.push('{');
        members(self);
        self.0.push('}');
    }

    /// A whole line: an object.
    fn line(members: impl FnOnce(&mut Self)) -> String {
        let mut json = Self::default();
        json.braces(members);
        json.0.push('\n');
        json.0
    }
}

/// The first line: options and geometries. It leaves the output file out, so that the output of two
/// runs can be compared.
pub fn header(options: &Options, max_vcpus: usize) -> String {
    Json::line(|json| {
        json.string("line", "header");
        json.number("format", FORMAT);
        json.number("max_vcpus", max_vcpus as u64);
        json.object("options", |json| {
            json.string(
                "begin",
                if options.begin_at_marker {
                    "marker"
                } else {
                    "start"
                },
            );
            json.flag("slow", options.slow);
            json.flag("pc", options.pc_always);
            json.flag("tlbi", options.tlbi);
            json.flag("asid", options.asid);
            json.flag("stale", options.check_stale);
            json.flag("walkcheck", options.check_walk);
        });
        json.list("models", &options.models, geometry);
    })
}

/// Members for the geometry of a model.
fn geometry(json: &mut Json, geometry: &Geometry) {
    json.string("model", &geometry.spec);
    json.number("l1_entries", geometry.l1_entries as u64);
    let sizes = geometry.l1_shifts.iter().map(|&shift| match shift {
        0..=19 => format!("{}K", (1u64 << shift) >> 10),
        _ => format!("{}M", (1u64 << shift) >> 20),
    });
    json.string("l1_sizes", &sizes.collect::<Vec<_>>().join(" "));
    json.number("l2_sets", geometry.l2_sets as u64);
    json.number("l2_ways", geometry.l2_ways as u64);
    match geometry.policy {
        Policy::Lru => json.string("policy", "lru"),
        Policy::Random(seed) => {
            json.string("policy", "random");
            json.number("seed", seed);
        }
    }
    json.flag("data", geometry.data);
    json.string("coalesce", geometry.coalesce.name());
    json.flag("contiguous", geometry.contiguous);
}

/// The line of a region. `irqs_off` is its longest stretch with interrupts masked.
pub fn region(options: &Options, id: u64, counts: &Snapshot, irqs_off: u64) -> String {
    Json::line(|json| {
        json.string("line", "region");
        json.number("region", id);
        json.number("irqs_off_longest", irqs_off);
        snapshot(json, options, counts);
    })
}

/// The last line: everything since the start of the machine.
pub fn total(options: &Options, regions: &Regions, counts: &Snapshot) -> String {
    Json::line(|json| {
        json.string("line", "total");
        json.number("marker_errors", regions.errors());
        json.number("open_regions", regions.open() as u64);
        snapshot(json, options, counts);
    })
}

/// Members for all counters.
fn snapshot(json: &mut Json, options: &Options, counts: &Snapshot) {
    for (which, &value) in Inline::ALL.iter().zip(&counts.inline) {
        json.number(which.name(), value);
    }
    let cpu = &counts.cpu;
    json.object("class", |json| {
        for class in Class::ALL {
            json.object(class.name(), |json| {
                json.number("insns", cpu.insns[class as usize]);
                json.number("lookups", cpu.lookups[class as usize]);
            });
        }
    });
    json.number("mmu_off", cpu.mmu_off);
    json.object("tlbi", |json| {
        let mut values = cpu.tlbi.iter();
        for kind in Kind::ALL {
            json.object(kind.name(), |json| {
                for (scope, &value) in Scope::ALL.iter().zip(values.by_ref()) {
                    json.number(scope.name(), value);
                }
            });
        }
    });
    json.number("tlbi_repeat", cpu.tlbi_repeat);
    json.number("asid_switches", cpu.asid_switches);
    for (name, values) in [("sgi", &cpu.sgi), ("sgi_targets", &cpu.sgi_targets)] {
        json.object(name, |json| {
            for (id, &value) in values.iter().enumerate().filter(|(_, &value)| value != 0) {
                json.number(&id.to_string(), value);
            }
        });
    }
    let models = options.models.iter().zip(&counts.models);
    json.list("models", models, |json, (geometry, counts)| {
        json.string("model", &geometry.spec);
        model(json, counts);
    });
}

/// Members for the counters of a model.
fn model(json: &mut Json, counts: &ModelCounts) {
    json.object("class", |json| {
        for (class, counts) in Class::ALL.iter().zip(&counts.class) {
            json.object(class.name(), |json| {
                json.number("misses", counts.misses);
                json.number("walks", counts.walks);
                json.object("leaves", |json| {
                    for ((_, size), &value) in LEAF_SIZES.iter().zip(&counts.leaves) {
                        json.number(size, value);
                    }
                });
            });
        }
    });
    json.object("data", |json| {
        json.number("lookups", counts.data_lookups);
        json.number("misses", counts.data_misses);
        json.number("walks", counts.data_walks);
    });
    json.number("descriptor_reads", counts.descriptor_reads);
    json.number("walk_faults", counts.walk_faults);
    json.number("killed", counts.killed);
    json.number("stale_checked", counts.stale_checked);
    json.number("stale_hits", counts.stale_hits);
    json.number("walks_checked", counts.walks_checked);
    json.number("walks_wrong", counts.walks_wrong);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let line = Json::line(|json| {
            json.string("a\"b", "c\\d\n");
            json.number("n", 3);
            json.list("l", [1, 2], |json, n| json.number("x", n));
            json.object("o", |_| {});
        });
        assert_eq!(
            line,
            "{\"a\\\"b\":\"c\\\\d\\u000a\",\"n\":3,\"l\":[{\"x\":1},{\"x\":2}],\"o\":{}}\n"
        );
    }

    #[test]
    fn the_header_names_every_model() {
        let options =
            Options::parse(["model=n1/lru", "model=a72/random=5", "slow=on"]).expect("valid");
        let line = header(&options, 1);
        assert!(line.starts_with("{\"line\":\"header\",\"format\":1,\"max_vcpus\":1,"));
        assert!(line.contains("\"slow\":true"));
        assert!(line.contains("\"begin\":\"start\""));
        let later = Options::parse(["begin=marker"]).expect("valid");
        assert!(header(&later, 1).contains("\"begin\":\"marker\""));
        assert!(line
            .contains("\"model\":\"a72/random=5\",\"l1_entries\":48,\"l1_sizes\":\"4K 64K 1M\""));
        assert!(line.contains("\"policy\":\"random\",\"seed\":5"));
    }

    #[test]
    fn a_region_shows_its_counters() {
        let options = Options::parse([]).expect("valid");
        let mut counts = Snapshot::default();
        counts.models.resize(1, ModelCounts::default());
        counts.inline[Inline::IcIvau as usize] = 11;
        counts.cpu.insns[Class::Bpf as usize] = 22;
        counts.cpu.tlbi[Kind::Va as usize * 3 + Scope::Inner as usize] = 33;
        counts.cpu.sgi[1] = 44;
        counts.models[0].class[Class::Bpf as usize].misses = 55;
        counts.models[0].class[Class::Bpf as usize].leaves[3] = 66;
        let line = region(&options, 7, &counts, 77);
        for part in [
            "\"line\":\"region\",\"region\":7,\"irqs_off_longest\":77,",
            "\"ic_ivau\":11,",
            "\"bpf\":{\"insns\":22,",
            "\"va\":{\"local\":0,\"inner\":33,\"outer\":0}",
            "\"sgi\":{\"1\":44}",
            "\"bpf\":{\"misses\":55,\"walks\":0,\"leaves\":{\"4K\":0,\"16K\":0,\"64K\":0,\"2M\":66,",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert_eq!(line.matches('{').count(), line.matches('}').count());
    }
}
