// SPDX-License-Identifier: GPL-2.0

//! Facts about A64 instructions. No unsafe code; tests run on the host.

#![cfg_attr(not(test), deny(unsafe_code))]

/// The size of an instruction, in bytes.
pub(crate) const INSN_SIZE: usize = 4;

/// The reach of `B` and `BL`, in bytes: a signed number of 26 bits that counts instructions (Arm
/// ARM, C6.2 `B`).
pub(crate) const BRANCH_RANGE: usize = 128 << 20;

/// The instruction `AARCH64_BREAK_FAULT` of the kernel, a `BRK` (checked in prototypes.c).
pub(crate) const TRAP: u32 = 0xd420_2000;

pub(crate) const NOP: u32 = 0xd503_201f;
/// `B` with an offset of 0.
const B: u32 = 0x1400_0000;
/// `BL` with an offset of 0.
const BL: u32 = 0x9400_0000;

/// Whether a branch at `from` cannot reach `to`.
pub(crate) fn is_long(from: usize, to: usize) -> bool {
    let distance = to.wrapping_sub(from) as isize;
    let range = BRANCH_RANGE as isize;
    !(-range..range).contains(&distance)
}

/// Encodes `B`, or `BL` if `link`, from `from` to `to`. The distance must be in reach and a
/// multiple of 4 bytes.
pub(crate) fn branch(link: bool, from: usize, to: usize) -> u32 {
    let distance = to.wrapping_sub(from) as isize;
    // CAST: Keeps the 26 low bits of the signed number of instructions.
    let offset = (distance >> 2) as u32 & 0x03ff_ffff;
    if link {
        BL | offset
    } else {
        B | offset
    }
}

/// Returns the bytes of `image` without the `trap` instructions at its end.
///
/// The JIT reserves memory for the longest code that it might emit and fills the rest with traps.
/// The last word that it emits is never a trap: it is half of a kernel address in the PLT, or the
/// type of an exception-table entry (arch/arm64/net/bpf_jit_comp.c, `build_plt()`).
#[inline]
pub(crate) fn used_bytes(image: &[u32]) -> usize {
    let mut used = image;
    while let [before @ .., TRAP] = used {
        used = before;
    }
    size_of_val(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_reach_of_a_branch_is_128_mib_less_one_instruction_forwards() {
        let from = 0xffff_8000_8000_0000usize;
        for (to, long) in [
            (from, false),
            (from + 4, false),
            (from + 128 * MIB - 4, false),
            (from + 128 * MIB, true),
            (from - 128 * MIB, false),
            (from - 128 * MIB - 4, true),
            (0, true),
            (usize::MAX - 3, true),
        ] {
            assert_eq!(is_long(from, to), long, "to {to:#x}");
        }
    }

    #[test]
    fn what_is_near_across_zero_is_near() {
        assert!(!is_long(usize::MAX - 3, 4));
        assert!(!is_long(4, usize::MAX - 3));
    }

    /// The expected words come from binutils.
    #[test]
    fn branches_are_encoded_as_an_assembler_does() {
        for (link, distance, insn) in [
            (false, 0isize, 0x1400_0000u32),
            (true, 0, 0x9400_0000),
            (false, 4, 0x1400_0001),
            (true, 8, 0x9400_0002),
            (false, -4, 0x17ff_ffff),
            (true, -4, 0x97ff_ffff),
            (false, 0x07ff_fffc, 0x15ff_ffff),
            (true, -0x0800_0000, 0x9600_0000),
        ] {
            let from = 0xffff_8000_1234_5678usize & !3;
            let to = from.wrapping_add_signed(distance);
            assert_eq!(branch(link, from, to), insn, "distance {distance:#x}");
        }
    }

    #[test]
    fn every_distance_in_reach_comes_back_from_its_encoding() {
        let from = 0x4000_0000usize;
        for distance in (-(BRANCH_RANGE as isize)..BRANCH_RANGE as isize).step_by(4 * 9973) {
            let insn = branch(true, from, from.wrapping_add_signed(distance));
            let offset = ((insn << 6) as i32 >> 6) as isize * 4;
            assert_eq!((insn >> 26, offset), (0b10_0101, distance));
        }
    }

    #[test]
    fn the_end_of_an_image_is_where_the_traps_begin() {
        for (image, used) in [
            (&[][..], 0),
            (&[TRAP][..], 0),
            (&[TRAP, TRAP, TRAP][..], 0),
            (&[NOP][..], 4),
            (&[NOP, TRAP][..], 4),
            (&[TRAP, NOP, TRAP, TRAP][..], 8),
            (&[NOP, TRAP, NOP][..], 12),
            (&[0, TRAP][..], 4),
        ] {
            assert_eq!(used_bytes(image), used, "{image:x?}");
        }
    }
}
