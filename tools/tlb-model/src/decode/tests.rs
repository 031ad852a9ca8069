// SPDX-License-Identifier: GPL-2.0

//! Instruction words as GNU as 2.44 assembles them, and operands.

use super::*;

/// TCR with 4 KiB granules, 16-bit ASIDs.
const TCR_4K: u64 = (1 << 36) | (2 << 30);
/// TCR.DS.
const DS: u64 = 1 << 59;

/// A regime with this TCR.
fn regime(tcr: u64) -> Regime {
    Regime {
        tcr,
        ..Regime::default()
    }
}

/// Every TLBI form at EL1 with register x7: CRn 8 and 9 (nXS), in the order local, inner, outer.
const TLBI: [(Kind, bool, [u32; 3]); 10] = [
    (Kind::All, false, [0xd508_871f, 0xd508_831f, 0xd508_811f]),
    (Kind::Va, false, [0xd508_8727, 0xd508_8327, 0xd508_8127]),
    (Kind::Asid, false, [0xd508_8747, 0xd508_8347, 0xd508_8147]),
    (Kind::VaAny, false, [0xd508_8767, 0xd508_8367, 0xd508_8167]),
    (Kind::Va, true, [0xd508_87a7, 0xd508_83a7, 0xd508_81a7]),
    (Kind::VaAny, true, [0xd508_87e7, 0xd508_83e7, 0xd508_81e7]),
    (Kind::Range, false, [0xd508_8627, 0xd508_8227, 0xd508_8527]),
    (
        Kind::RangeAny,
        false,
        [0xd508_8667, 0xd508_8267, 0xd508_8567],
    ),
    (Kind::Range, true, [0xd508_86a7, 0xd508_82a7, 0xd508_85a7]),
    (
        Kind::RangeAny,
        true,
        [0xd508_86e7, 0xd508_82e7, 0xd508_85e7],
    ),
];

#[test]
fn every_tlbi_form() {
    for (kind, last_level, words) in TLBI {
        for (scope, w) in Scope::ALL.into_iter().zip(words) {
            let expected = Tlbi {
                scope,
                kind,
                last_level,
                rt: if kind == Kind::All { XZR } else { 7 },
            };
            assert_eq!(decode(w), Some(Op::Tlbi(expected)), "{w:#x}");
            let nxs = w + 0x1000;
            assert_eq!(decode(nxs), Some(Op::Tlbi(expected)), "nXS {nxs:#x}");
        }
    }
}

#[test]
fn slots_are_distinct() {
    let mut seen = std::collections::BTreeSet::new();
    for kind in Kind::ALL {
        for scope in Scope::ALL {
            let tlbi = Tlbi {
                scope,
                kind,
                last_level: false,
                rt: 0,
            };
            assert!(seen.insert(tlbi.slot()) && tlbi.slot() < 21);
        }
    }
}

#[test]
fn higher_exception_levels_and_unknown_forms_flush_everything() {
    for (w, scope) in [
        (0xd50c_879f, Scope::Local), // alle1
        (0xd50c_839f, Scope::Inner), // alle1is
        (0xd50c_819f, Scope::Outer), // alle1os
        (0xd50c_87df, Scope::Local), // vmalls12e1
        (0xd50c_871f, Scope::Local), // alle2
        (0xd50e_831f, Scope::Inner), // alle3is
        (0xd50c_8423, Scope::Outer), // ipas2e1
        (0xd50c_8023, Scope::Outer), // ipas2e1is
        (0xd50c_83a3, Scope::Inner), // vale2is
        (0xd50c_8223, Scope::Inner), // rvae2is
        (0xd508_8787, Scope::Local), // op2 = 4, unallocated
        (0xd508_8207, Scope::Inner), // range form, op2 = 0, unallocated
        (0xd508_8427, Scope::Outer), // CRm = 4, unallocated at EL1
        (0xd548_8322, Scope::Inner), // tlbip vae1is
        (0xd548_8622, Scope::Local), // tlbip rvae1
    ] {
        let Some(Op::Tlbi(tlbi)) = decode(w) else {
            panic!("{w:#x} is a TLBI");
        };
        assert_eq!((tlbi.kind, tlbi.scope), (Kind::Other, scope), "{w:#x}");
        assert_eq!(tlbi.kill(0x1234, &regime(TCR_4K)), Some(Kill::All));
    }
}

#[test]
fn other_instructions() {
    let marker = |marker| Some(Op::Marker(marker));
    for (w, op) in [
        (0xd50b_7521, Some(Op::IcIvau)),
        (0xd508_751f, Some(Op::IcAll)),
        (0xd508_711f, Some(Op::IcAll)),
        (0xd50b_7b22, Some(Op::DcCvau)),
        (0xd50b_7e22, None), // dc civac
        (0xd50b_7a22, None), // dc cvac
        (0xd50b_7422, None), // dc zva
        (0xd508_7622, None), // dc ivac
        (0xd508_7800, None), // at s1e1r
        (0xd518_2003, Some(Op::Regime)),
        (0xd518_2024, Some(Op::Regime)),
        (0xd518_1005, Some(Op::Regime)),
        (0xd518_2045, Some(Op::Regime)),
        (0xd538_2003, None), // mrs x3, ttbr0_el1
        (0xd538_1001, None), // mrs x1, sctlr_el1
        (0xd518_c000, None), // msr vbar_el1, x0
        (0xd518_cba6, Some(Op::Sgi(6))),
        (0xd518_cbc6, None), // msr icc_asgi1r_el1, x6
        (0xd503_3fdf, Some(Op::Isb)),
        (0xd503_33df, Some(Op::Isb)), // isb #3
        (0xd503_3f9f, Some(Op::Dsb)),
        (0xd503_3b9f, Some(Op::Dsb)), // ish
        (0xd503_3a9f, Some(Op::Dsb)), // ishst
        (0xd503_3a3f, Some(Op::DsbNxs)),
        (0xd503_3e3f, Some(Op::DsbNxs)),
        (0xd503_3bbf, None),                // dmb ish
        (0xd503_30ff, None),                // sb
        (0xd503_3f5f, None),                // clrex
        (0xd503_42df, Some(Op::IrqMask)),   // msr daifset, #2
        (0xd503_43df, Some(Op::IrqMask)),   // msr daifset, #3
        (0xd503_4fdf, Some(Op::IrqMask)),   // msr daifset, #15
        (0xd503_44df, None),                // msr daifset, #4
        (0xd503_42ff, Some(Op::IrqUnmask)), // msr daifclr, #2
        (0xd503_43ff, Some(Op::IrqUnmask)), // msr daifclr, #3
        (0xd503_48ff, None),                // msr daifclr, #8
        (0xd51b_4225, Some(Op::Daif(5))),   // msr daif, x5
        (0xd53b_4225, None),                // mrs x5, daif
        (0xd51b_4205, None),                // msr nzcv, x5
        (0xd69f_03e0, Some(Op::Eret)),
        (0xd69f_0bff, Some(Op::Eret)), // eretaa
        (0xd69f_0fff, Some(Op::Eret)), // eretab
        (0xd61f_0000, None),           // br x0
        (0xd400_0001, Some(Op::Svc)),
        (0xd400_00a1, Some(Op::Svc)),
        (0xd400_0002, None), // hvc
        (0xd400_0003, None), // smc
        (0xd420_0020, None), // brk
        (0xd503_201f, None), // nop
        (0xd503_203f, None), // yield
        (0xd503_207f, None), // wfi
        (0xd503_2dff, None), // hint #0x6f
        (0xd503_2e1f, marker(Marker::Start)),
        (0xd503_2e3f, marker(Marker::Stop)),
        (0xd503_2e5f, marker(Marker::Range)),
        (0xd503_2e7f, marker(Marker::Flush)),
        (0xd503_2e9f, marker(Marker::Begin)),
        (0xd503_2ebf, None), // hint #0x75
        (0xd65f_03c0, None), // ret
        (0x1400_0000, None), // b
        (0, None),
        (u32::MAX, None),
    ] {
        assert_eq!(decode(w), op, "{w:#x}");
    }
}

/// The entries that a local TLBI of this kind with this operand removes.
fn kill(kind: Kind, operand: u64, tcr: u64) -> Option<Kill> {
    Tlbi {
        scope: Scope::Local,
        kind,
        last_level: false,
        rt: 0,
    }
    .kill(operand, &regime(tcr))
}

#[test]
fn operands_by_address() {
    let range = |first, last, asid| Some(Kill::Range { first, last, asid });
    // The TTL hint in 47:44 is ignored.
    let operand = (0x12_u64 << 48) | (0x7 << 44) | (0x0000_7fff_1234_5000 >> 12);
    assert_eq!(
        kill(Kind::Va, operand, TCR_4K),
        range(0x7fff_1234_5000, 0x7fff_1234_5fff, Some(0x12))
    );
    assert_eq!(
        kill(Kind::VaAny, operand, TCR_4K),
        range(0x7fff_1234_5000, 0x7fff_1234_5fff, None)
    );
    // The upper half: bit 55 is extended.
    let operand = (0xffff_8000_8123_4000_u64 << 8) >> 20;
    assert_eq!(
        kill(Kind::Va, operand, TCR_4K),
        range(0xffff_8000_8123_4000, 0xffff_8000_8123_4fff, Some(0))
    );
    // A 16 KiB granule in the upper half (TG1 = 1) covers four times as much.
    assert_eq!(
        kill(Kind::VaAny, operand | 3, 1 << 30),
        range(0xffff_8000_8123_4000, 0xffff_8000_8123_7fff, None)
    );
    // A 64 KiB granule in the lower half (TG0 = 1).
    assert_eq!(
        kill(Kind::VaAny, 0x0000_7fff_1234_5000 >> 12, 1 << 14),
        range(0x7fff_1234_0000, 0x7fff_1234_ffff, None)
    );
}

#[test]
fn operands_with_an_asid() {
    assert_eq!(
        kill(Kind::Asid, 0x1234 << 48, TCR_4K),
        Some(Kill::Asid(0x1234))
    );
    // Without TCR.AS only 8 bits count.
    assert_eq!(kill(Kind::Asid, 0x1234 << 48, 0), Some(Kill::Asid(0x34)));
    assert_eq!(kill(Kind::All, 0x1234 << 48, TCR_4K), Some(Kill::All));
}

#[test]
fn operands_of_ranges() {
    let operand = |tg: u64, scale: u64, num: u64, base: u64| {
        (0x21 << 48) | (tg << 46) | (scale << 44) | (num << 39) | base & 0x1f_ffff_ffff
    };
    let range = |first: u64, bytes: u64, asid| {
        Some(Kill::Range {
            first,
            last: first + (bytes - 1),
            asid,
        })
    };
    // Two granules at the least.
    let va = 0x0000_5555_1234_5000_u64;
    assert_eq!(
        kill(Kind::Range, operand(1, 0, 0, va >> 12), TCR_4K),
        range(va, 0x2000, Some(0x21))
    );
    // (NUM + 1) * 2^(5 * SCALE + 1) granules.
    for (scale, unit) in [(0, 2), (1, 64), (2, 2048), (3, 65536)] {
        assert_eq!(
            kill(Kind::RangeAny, operand(1, scale, 3, va >> 12), TCR_4K),
            range(va, 4 * unit * 4096, None)
        );
    }
    // The upper half extends bit 36 of the base.
    let high = 0xffff_8000_8000_0000_u64;
    assert_eq!(
        kill(Kind::Range, operand(1, 0, 31, high >> 12), TCR_4K),
        range(high, 64 * 4096, Some(0x21))
    );
    // 16 and 64 KiB granules.
    assert_eq!(
        kill(Kind::Range, operand(2, 0, 0, high >> 14), 1 << 36),
        range(high, 2 * 16384, Some(0x21))
    );
    assert_eq!(
        kill(Kind::Range, operand(3, 0, 0, high >> 16), 1 << 36),
        range(high, 2 * 65536, Some(0x21))
    );
    // With TCR.DS the base is in units of 64 KiB, the length still in granules.
    assert_eq!(
        kill(Kind::Range, operand(1, 0, 0, high >> 16), TCR_4K | DS),
        range(high, 2 * 4096, Some(0x21))
    );
    assert_eq!(
        kill(Kind::Range, operand(2, 0, 0, high >> 16), TCR_4K | DS),
        range(high, 2 * 16384, Some(0x21))
    );
    // A reserved granule.
    assert_eq!(kill(Kind::Range, operand(0, 0, 0, 5), TCR_4K), None);
    // The very end of the address space does not wrap.
    assert_eq!(
        kill(Kind::RangeAny, operand(1, 3, 31, u64::MAX), TCR_4K),
        Some(Kill::Range {
            first: !0xfff,
            last: u64::MAX,
            asid: None
        })
    );
}

#[test]
fn the_repeat_workaround_is_an_address_form_with_operand_zero() {
    let Some(Op::Tlbi(vale1is)) = decode(0xd508_83bf) else {
        panic!("a TLBI");
    };
    assert_eq!(vale1is.rt, XZR);
    assert!(vale1is.is_repeat(0));
    assert!(!vale1is.is_repeat(1));
    let Some(Op::Tlbi(aside1is)) = decode(0xd508_8347) else {
        panic!("a TLBI");
    };
    assert!(!aside1is.is_repeat(0));
}

#[test]
fn software_generated_interrupts() {
    assert_eq!(
        Sgi::new((1 << 24) | 0b1010, 4),
        Sgi {
            intid: 1,
            targets: 2
        }
    );
    assert_eq!(
        Sgi::new((5 << 24) | (1 << 40) | 0xffff, 4),
        Sgi {
            intid: 5,
            targets: 3
        }
    );
}
