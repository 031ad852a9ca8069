// SPDX-License-Identifier: GPL-2.0

//! The plugin's command line: `key=value` items.

use crate::geometry::{on_off, Geometry};

/// The plugin's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The models that one run drives; at least one.
    pub models: Vec<Geometry>,
    /// The file for the JSON lines; `None`: QEMU's log.
    pub out: Option<String>,
    /// Count from the marker for that on, not from the guest's first instruction.
    pub begin_at_marker: bool,
    /// Do a lookup in every translation block, not only when the page changes.
    pub slow: bool,
    /// Read the program counter for kernel addresses too.
    pub pc_always: bool,
    /// Obey TLBI. A test turns it off to prove that the check of hits notices.
    pub tlbi: bool,
    /// Tag entries with the ASID. A test turns it off to prove that the check of hits notices.
    pub asid: bool,
    /// Compare every hit with QEMU's translation.
    pub check_stale: bool,
    /// Compare every walk with QEMU's translation.
    pub check_walk: bool,
}

impl Options {
    /// Parses the items.
    ///
    /// # Errors
    ///
    /// A sentence that describes the mistake.
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut options = Self {
            models: Vec::new(),
            out: None,
            begin_at_marker: false,
            slow: false,
            pc_always: false,
            tlbi: true,
            asid: true,
            check_stale: false,
            check_walk: false,
        };
        for item in items {
            let Some((key, value)) = item.split_once('=') else {
                return Err(format!("option {item:?}: not key=value"));
            };
            let flag = || on_off(value).map_err(|why| format!("option {item:?}: {why}"));
            match key {
                "model" => options.models.push(Geometry::parse(value)?),
                "out" => options.out = Some(value.to_owned()),
                "begin" => {
                    options.begin_at_marker = match value {
                        "start" => false,
                        "marker" => true,
                        _ => return Err(format!("option {item:?}: start or marker")),
                    }
                }
                "slow" => options.slow = flag()?,
                "pc" => options.pc_always = flag()?,
                "tlbi" => options.tlbi = flag()?,
                "asid" => options.asid = flag()?,
                "stale" => options.check_stale = flag()?,
                "walkcheck" => options.check_walk = flag()?,
                _ => return Err(format!("option {item:?}: unknown")),
            }
        }
        if options.models.is_empty() {
            options.models.push(Geometry::parse("n1/lru")?);
        }
        Ok(options)
    }

    /// Whether a model wants to see data accesses.
    pub fn data(&self) -> bool {
        self.models.iter().any(|model| model.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults() {
        let o = Options::parse([]).expect("valid");
        assert_eq!(o.models.len(), 1);
        assert_eq!(o.models[0].spec, "n1/lru");
        assert!(o.tlbi && o.asid && !o.slow && !o.check_stale && !o.check_walk && !o.data());
        assert!(!o.begin_at_marker);
    }

    #[test]
    fn every_option() {
        let o = Options::parse([
            "model=n1/lru",
            "model=v2/random=3/data=on",
            "out=/x/y",
            "begin=marker",
            "slow=on",
            "pc=on",
            "tlbi=off",
            "asid=off",
            "stale=on",
            "walkcheck=on",
        ])
        .expect("valid");
        assert_eq!(o.models.len(), 2);
        assert_eq!(o.out.as_deref(), Some("/x/y"));
        assert!(o.slow && o.pc_always && !o.tlbi && !o.asid && o.check_stale && o.check_walk);
        assert!(o.data() && o.begin_at_marker);
        assert!(
            !Options::parse(["begin=start"])
                .expect("valid")
                .begin_at_marker
        );
    }

    #[test]
    fn wrong_options_are_refused() {
        for item in [
            "slow",
            "slow=maybe",
            "begin=on",
            "model=x",
            "colour=red",
            "",
        ] {
            assert!(Options::parse([item]).is_err(), "{item}");
        }
    }
}
