// SPDX-License-Identifier: GPL-2.0

//! Shows the kernel's page tables to tests, independently of what `bpf_pack` says of itself.
//!
//! Files in `/sys/kernel/debug/bpf_pack_ptwalk`, each guarded by a lock of its own:
//!
//! | file    | write               | read                                                       |
//! |---------|---------------------|------------------------------------------------------------|
//! | `walk`  | `VA`                | what maps VA, one line                                     |
//! | `check` | -                   | all mappings of the kernel by kind; each W+X one           |
//! | `linear`| -                   | the leaves of the linear map, and what is split into tables |
//! | `alias` | `VA LENGTH`         | every other mapping of the memory of the range             |
//! | `seed`  | `wx`, `alias VA`, `none` | the violation that was made on purpose                |
//!
//! `VA` is hexadecimal, `LENGTH` in bytes, decimal or with `0x`. `check`, `linear` and `alias` end with a
//! line `result: ok`, `result: N violations` or `result: incomplete`; a violation has a line that
//! begins with `violation: `.

use kernel::debugfs::{
    Dir,
    File, //
};
use kernel::prelude::*;
use kernel::sync::Mutex;

mod audit;
mod files;
mod memory;
mod seed;
mod sys;

use files::{
    AliasQuery,
    CheckQuery,
    LinearQuery,
    WalkQuery, //
};
use seed::Seed;

module! {
    type: PtWalk,
    name: "bpf_pack_ptwalk",
    authors: ["The bpf_pack developers"],
    description: "Audit of the kernel's page tables, for tests of bpf_pack",
    license: "GPL",
}

/// The files. Dropping them removes each file before its data, and the violation with `seed`.
#[pin_data]
struct PtWalk {
    #[pin]
    _walk: File<Mutex<WalkQuery>>,
    #[pin]
    _check: File<Mutex<CheckQuery>>,
    #[pin]
    _linear: File<Mutex<LinearQuery>>,
    #[pin]
    _alias: File<Mutex<AliasQuery>>,
    #[pin]
    _seed: File<Mutex<Seed>>,
    _dir: Dir,
}

impl kernel::InPlaceModule for PtWalk {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"bpf_pack_ptwalk");
        try_pin_init!(Self {
            _walk <- files::walk(&dir),
            _check <- files::check(&dir),
            _linear <- files::linear(&dir),
            _alias <- files::alias(&dir),
            _seed <- files::seed(&dir),
            _dir: dir,
        })
    }
}
