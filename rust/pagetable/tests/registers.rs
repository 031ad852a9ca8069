// SPDX-License-Identifier: GPL-2.0

//! Decoding the registers.

use super::*;

#[test]
fn geometry_follows_the_registers() {
    // Granule and options, bits, start level, entries of the first table.
    for (options, va_bits, level, entries) in [
        (TG1_4K, 48, 0, 512),
        (TG1_4K, 47, 0, 256),
        (TG1_4K, 40, 0, 2),
        (TG1_4K, 39, 1, 512),
        (TG1_4K, 31, 1, 2),
        (TG1_4K, 30, 2, 512),
        (TG1_4K, 21, 3, 512),
        (TG1_4K | TCR_DS, 52, -1, 16),
        (TG1_4K | TCR_DS, 49, -1, 2),
        (TG1_4K | TCR_DS, 48, 0, 512),
        (TG1_16K, 48, 0, 2),
        (TG1_16K, 47, 1, 2048),
        (TG1_16K, 36, 2, 2048),
        (TG1_16K | TCR_DS, 52, 0, 32),
        (TG1_64K, 52, 1, 1024),
        (TG1_64K, 48, 1, 64),
        (TG1_64K, 42, 2, 8192),
    ] {
        let regime = regime(0, tcr(va_bits, options));
        assert_eq!(regime.start_level(), level, "{options:#x} {va_bits}");
        assert_eq!(
            1 << regime.table_order(level),
            entries,
            "{options:#x} {va_bits}"
        );
        assert_eq!(u64::from(regime.va_bits()), va_bits);
        assert_eq!(regime.first_va(), !((1 << va_bits) - 1));
    }
}

#[test]
fn impossible_registers_are_refused() {
    for bad in [
        tcr(48, 0),                 // Reserved granule.
        tcr(48, TG1_4K | TCR_EPD1), // Walks disabled.
        tcr(49, TG1_4K),            // Too wide without LPA2.
        tcr(52, TG1_16K),           //
        tcr(53, TG1_64K),           // Too wide at all.
        tcr(53, TG1_4K | TCR_DS),   //
        tcr(64, TG1_4K | TCR_DS),   // T1SZ = 0.
        tcr(12, TG1_4K),            // Not even two pages.
        tcr(16, TG1_64K),           //
    ] {
        assert_eq!(Regime::from_registers(0x1000, bad), None, "{bad:#x}");
    }
}

#[test]
fn root_has_no_asid_and_no_cnp() {
    let root = |ttbr, tcr| regime(ttbr, tcr).root();
    assert_eq!(root(0xabcd_0000_4123_4001, tcr(48, TG1_4K)), 0x4123_4000);
    // A first table smaller than a page is aligned to its size only.
    assert_eq!(root(0x0001_0000_4123_5e01, tcr(48, TG1_64K)), 0x4123_5e00);
    // 52-bit addresses: TTBR bits 5 to 2 are address bits 51 to 48.
    let wide = 0xabcd_8000_4123_5e00 | (0b1010 << 2) | 1;
    assert_eq!(root(wide, tcr(48, TG1_64K | IPS_52)), 0xa_8000_4123_5e00);
    assert_eq!(root(wide, tcr(48, TG1_64K)), 0x8000_4123_5e00);
    assert_eq!(
        root(wide & !0xe00, tcr(52, TG1_4K | TCR_DS | IPS_52)),
        0xa_8000_4123_5000
    );
    assert_eq!(
        root(wide & !0xe00, tcr(52, TG1_4K | TCR_DS)),
        0x8000_4123_5000
    );
    // Without LPA2, IPS alone does not widen what 4 KiB tables can hold.
    assert_eq!(root(wide, tcr(48, TG1_4K | IPS_52)), 0x8000_4123_5000);
}
