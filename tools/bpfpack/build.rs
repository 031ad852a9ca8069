// SPDX-License-Identifier: GPL-2.0

//! Takes the names of the kernel's symbols that the module needs from the module's own table, so
//! that `bpfpack doctor` asks for what `insmod` asks for.

use std::env;
use std::fs;
use std::path::Path;

/// The file with the table, from this folder.
const TABLE: &str = "../../rust/ksym.rs";

fn main() {
    println!("cargo::rerun-if-changed={TABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let text = fs::read_to_string(TABLE).expect("the module's table of symbols");
    let symbols = symbols(&text);
    assert!(
        symbols.len() > 10 && symbols.iter().any(|symbol| symbol.hooked),
        "{TABLE}: the table `symbols!` does not look as it did"
    );
    let mut code = String::from("[\n");
    for symbol in &symbols {
        code += &format!(
            "    Symbol {{ name: {:?}, optional: {}, hooked: {} }},\n",
            symbol.name, symbol.optional, symbol.hooked
        );
    }
    code += "]\n";
    let folder = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&folder).join("symbols.rs"), code).expect("cargo made the folder");
}

struct Symbol {
    name: String,
    optional: bool,
    hooked: bool,
}

/// Reads the lines `FIELD: KIND TYPE = c"NAME";` of the table, and the doc comments before them.
fn symbols(text: &str) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    let table = text
        .lines()
        .skip_while(|line| *line != "symbols! {")
        .skip(1);
    let mut doc = "";
    for line in table.take_while(|line| *line != "}") {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            doc = text.trim();
            continue;
        }
        if let Some((field, name)) = line.split_once(" = c\"") {
            let kind = field.split_whitespace().nth(1);
            symbols.push(Symbol {
                name: name.trim_end_matches("\";").to_owned(),
                optional: kind == Some("optional"),
                hooked: doc.starts_with("Hooked"),
            });
        }
        doc = "";
    }
    symbols
}
