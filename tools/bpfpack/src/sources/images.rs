// SPDX-License-Identifier: GPL-2.0

//! Which image is what: the module's books, the programs and the symbols of images, joined.

use super::bpf::{self, Bpf, Program};
use super::btf::Functions;
use super::module::{self, BookedImage, Pack};
use super::{kallsyms, sysctl};
use crate::context::Context;
use crate::output;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// What an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Owner {
    /// A function of a program.
    Program {
        /// The program's id.
        id: u32,
        /// The program's type.
        kind: String,
        /// The program's name.
        name: String,
        /// The program's tag.
        tag: String,
        /// The number of the function, 0 for the main one.
        function: usize,
    },
    /// A trampoline.
    Trampoline {
        /// The function that it belongs to, in words.
        target: String,
    },
    /// A dispatcher, a stub of struct_ops, or something else that has a symbol.
    Other {
        /// The name in `/proc/kallsyms`.
        symbol: String,
    },
    /// It has neither an id nor a symbol: a classic filter of a socket or of seccomp, or a program
    /// that is not loaded any more.
    Anonymous,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The address of its first byte; for images of the stock allocator, where it is entered.
    #[serde(serialize_with = "output::address")]
    pub address: u64,
    /// Bytes: whole chunks of ours; of the stock allocator's images without header and padding.
    pub bytes: u64,
    /// The number of its pack in `packs`; `None` if the stock allocator has it.
    pub pack: Option<usize>,
    /// Its state in the module's books; `None` if the stock allocator has it.
    pub state: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// Seconds since its program was loaded, if it is one.
    pub age_seconds: Option<u64>,
    /// How often its program was run while statistics were on, if it is one.
    pub run_count: Option<u64>,
}

/// All packs and all images that can be found.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// The packs.
    pub packs: Vec<Pack>,
    /// The images of the packs by address within each, then those of the stock allocator.
    pub images: Vec<Image>,
    /// Whether the module is loaded.
    pub loaded: bool,
    /// What could not be found out, in sentences.
    pub notes: Vec<String>,
}

impl Owner {
    /// A word or two for a table: what it is, by its name.
    pub fn label(&self) -> String {
        match self {
            Self::Program { name, function, .. } => {
                let name = if name.is_empty() { "(no name)" } else { name };
                match function {
                    0 => name.to_owned(),
                    number => format!("{name}/{number}"),
                }
            }
            Self::Trampoline { target } => target.clone(),
            Self::Other { symbol } => symbol.clone(),
            Self::Anonymous => "(filter)".to_owned(),
        }
    }

    /// The type in a table.
    pub fn kind(&self) -> &str {
        match self {
            Self::Program { kind, .. } => kind,
            Self::Trampoline { .. } => "trampoline",
            Self::Other { symbol } if symbol.starts_with("bpf_dispatcher_") => "dispatcher",
            Self::Other { .. } => "other",
            Self::Anonymous => "-",
        }
    }

    /// The program's id.
    pub fn id(&self) -> Option<u32> {
        match self {
            Self::Program { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The program's tag.
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Program { tag, .. } => Some(tag),
            _ => None,
        }
    }
}

impl Image {
    /// Whether it was freed, and waits for a synchronisation of all CPUs.
    pub fn is_retired(&self) -> bool {
        matches!(
            self.state.as_deref(),
            Some("retiring" | "retired" | "syncing")
        )
    }

    /// What it is, by its name; of a freed one only that.
    pub fn label(&self) -> String {
        if self.is_retired() {
            "(retired)".to_owned()
        } else {
            self.owner.label()
        }
    }
}

impl Census {
    /// The pack of `image`.
    pub fn pack_of(&self, image: &Image) -> Option<&Pack> {
        self.packs.get(image.pack?)
    }

    /// The images of pack number `pack`.
    pub fn images_of(&self, pack: usize) -> impl Iterator<Item = &Image> {
        self.images
            .iter()
            .filter(move |image| image.pack == Some(pack))
    }
}

/// Takes the census of the running kernel, or of a recording.
///
/// # Errors
///
/// If the module's books or the programs cannot be read.
pub fn census(context: &Context) -> Result<Census> {
    let books = module::books(context)?;
    let bpf = bpf::read(context)?;
    let uptime = sysctl::uptime(context)?;
    let symbols = kallsyms::read(context, &[])?;
    let mut census = Census {
        loaded: books.is_some(),
        ..Census::default()
    };
    if bpf.addresses_hidden() {
        census.notes.push(
            "The kernel hides the addresses of programs: which image is which is not known. \
             Addresses need CAP_SYSLOG, and kernel.kptr_restrict less than 2."
                .to_owned(),
        );
    }
    let books = books.unwrap_or_default();
    census.packs = books.packs;
    let mut join = Join {
        context,
        bpf: &bpf,
        uptime,
        functions: Functions::default(),
        entered: BTreeMap::new(),
        symbols: symbols.bpf,
    };
    for program in &bpf.programs {
        for (number, function) in program.functions.iter().enumerate() {
            join.entered.insert(function.address, (program, number));
        }
    }
    for image in &books.images {
        let image = join.booked(image);
        census.images.push(image);
    }
    census.images.append(&mut join.stock());
    Ok(census)
}

/// What is known of addresses, less what was given to an image already.
struct Join<'a> {
    context: &'a Context,
    bpf: &'a Bpf,
    uptime: f64,
    functions: Functions,
    /// Functions of programs, by the address where they are entered.
    entered: BTreeMap<u64, (&'a Program, usize)>,
    /// Symbols of images, by address.
    symbols: BTreeMap<u64, String>,
}

impl Join<'_> {
    /// Describes an image of the module's books.
    fn booked(&mut self, booked: &BookedImage) -> Image {
        let inside = booked.address..booked.address.saturating_add(booked.bytes);
        let entered = self.entered.range(inside.clone()).next();
        let entered = entered.map(|(&address, &found)| (address, found));
        let symbols: Vec<u64> = self.symbols.range(inside).map(|(&at, _)| at).collect();
        let names = symbols.iter().filter_map(|at| self.symbols.remove(at));
        let name = names.last();
        let mut image = match (entered, name) {
            (Some((address, (program, number))), _) => {
                self.entered.remove(&address);
                self.of_program(program, number)
            }
            (None, Some(symbol)) => self.of_symbol(&symbol),
            (None, None) => without_program(Owner::Anonymous),
        };
        image.address = booked.address;
        image.bytes = booked.bytes;
        image.pack = Some(booked.pack);
        image.state = Some(booked.state.clone());
        image
    }

    /// Describes what is in none of the packs: the stock allocator's.
    fn stock(&mut self) -> Vec<Image> {
        let mut images = Vec::new();
        for (address, (program, number)) in std::mem::take(&mut self.entered) {
            let mut image = self.of_program(program, number);
            image.address = address;
            image.bytes = program.functions[number].bytes.into();
            let end = address.saturating_add(image.bytes.max(1));
            let inside: Vec<u64> = self
                .symbols
                .range(address..end)
                .map(|(&at, _)| at)
                .collect();
            for at in inside {
                self.symbols.remove(&at);
            }
            images.push(image);
        }
        for (address, symbol) in std::mem::take(&mut self.symbols) {
            // The symbols of programs and subprograms that have come since are no other images.
            if symbol.starts_with("bpf_prog_") {
                continue;
            }
            let mut image = self.of_symbol(&symbol);
            image.address = address;
            images.push(image);
        }
        images.sort_by_key(|image| image.address);
        images
    }

    fn of_program(&self, program: &Program, function: usize) -> Image {
        let loaded = program.loaded_ns / 1_000_000_000;
        Image {
            // CAST: Seconds of an uptime; a fraction is cut off.
            age_seconds: Some((self.uptime as u64).saturating_sub(loaded)),
            run_count: Some(program.run_count),
            ..without_program(Owner::Program {
                id: program.id,
                kind: program.kind.clone(),
                name: program.name.clone(),
                tag: program.tag.clone(),
                function,
            })
        }
    }

    fn of_symbol(&mut self, symbol: &str) -> Image {
        let key = symbol.strip_prefix("bpf_trampoline_");
        let key = key.and_then(|key| key.parse::<u64>().ok());
        without_program(match key {
            Some(key) => Owner::Trampoline {
                target: self.target(key),
            },
            None => Owner::Other {
                symbol: symbol.to_owned(),
            },
        })
    }

    /// Names the function that a trampoline belongs to by its key: the id of a program, or of the
    /// kernel's type information with bit 31 set below, and the number of the function
    /// (include/linux/bpf_verifier.h, `bpf_trampoline_compute_key()`).
    fn target(&mut self, key: u64) -> String {
        const OF_KERNEL: u64 = 1 << 31;
        // CAST: The halves of a 64-bit number.
        let (object, function) = ((key >> 32) as u32, (key & (OF_KERNEL - 1)) as u32);
        if key & OF_KERNEL == 0 {
            let mut programs = self.bpf.programs.iter();
            let program = programs.find(|program| program.id == object);
            let name = program.map_or("", |program| &program.name);
            return format!("function {function} of program {object} {name}")
                .trim_end()
                .to_owned();
        }
        let names = &self.bpf.btf_objects;
        let name = names.get(&object).map_or("vmlinux", String::as_str);
        let found = self.functions.name(self.context, name, function);
        match found {
            Some(function) if name == "vmlinux" => function,
            Some(function) => format!("{function} [{name}]"),
            None => format!("function {function} of {name}"),
        }
    }
}

fn without_program(owner: Owner) -> Image {
    Image {
        address: 0,
        bytes: 0,
        pack: None,
        state: None,
        owner,
        age_seconds: None,
        run_count: None,
    }
}
