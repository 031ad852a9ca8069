// SPDX-License-Identifier: GPL-2.0

//! `/proc/vmallocinfo`: the memory areas for images of the BPF JIT.

use crate::context::Context;
use anyhow::Result;
use std::collections::BTreeMap;

/// The beginnings of the names of functions that ask for such areas.
const CALLERS: [&str; 3] = ["bpf_jit_", "bpf_prog_pack", "bpf_pack"];

/// Returns the bytes of these areas, by the function that asked for them.
///
/// # Errors
///
/// If the kernel has the file but does not let us read it.
pub fn areas(context: &Context) -> Result<BTreeMap<String, u64>> {
    let text = context.read_optional("/proc/vmallocinfo")?;
    Ok(parse(&text.unwrap_or_default()))
}

/// Reads lines `START-END BYTES FUNCTION+OFFSET/SIZE [MODULE] WORD...`.
fn parse(text: &str) -> BTreeMap<String, u64> {
    let mut areas = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().skip(1);
        let bytes = words.next().and_then(|word| word.parse::<u64>().ok());
        let caller = words.next().and_then(|word| word.split('+').next());
        if let (Some(bytes), Some(caller)) = (bytes, caller) {
            if CALLERS.iter().any(|known| caller.starts_with(known)) {
                *areas.entry(caller.to_owned()).or_default() += bytes;
            }
        }
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_of_one_caller_are_added_up() {
        let text = "0xffff80-0xffff81   20480 do_exec+0x1/0x2 pages=4 vmalloc\n\
                    0xffff82-0xffff83 2101248 bpf_prog_pack_alloc+0x1a4/0x2f0 pages=512 vmalloc\n\
                    0xffff84-0xffff85 2101248 bpf_prog_pack_alloc+0x1a4/0x2f0 pages=512 vmalloc\n\
                    0xffff86-0xffff87    8192 bpf_jit_alloc_exec+0x20/0x30 pages=1 vmalloc\n\
                    nonsense\n";
        let expected = [
            ("bpf_jit_alloc_exec", 8192),
            ("bpf_prog_pack_alloc", 4_202_496),
        ];
        let expected = expected.map(|(caller, bytes)| (caller.to_owned(), bytes));
        assert_eq!(parse(text), BTreeMap::from(expected));
    }
}
