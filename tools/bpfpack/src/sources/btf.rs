// SPDX-License-Identifier: GPL-2.0

//! The names of functions by their number in the kernel's type information.

use crate::context::Context;
use btf_rs::{Btf, Type};
use std::collections::BTreeMap;

/// Type information that was read already, by the name of its file.
#[derive(Default)]
pub struct Functions {
    read: BTreeMap<String, Option<Btf>>,
}

impl Functions {
    /// Returns the name of function `id` of `object`, which is `vmlinux` or a module.
    pub fn name(&mut self, context: &Context, object: &str, id: u32) -> Option<String> {
        if object != "vmlinux" {
            self.load(context, "vmlinux");
        }
        self.load(context, object);
        let btf = self.read.get(object)?.as_ref()?;
        match btf.resolve_type_by_id(id).ok()? {
            Type::Func(function) => btf.resolve_name(&function).ok(),
            _ => None,
        }
    }

    fn load(&mut self, context: &Context, object: &str) {
        if self.read.contains_key(object) {
            return;
        }
        let path = context.path(format!("/sys/kernel/btf/{object}"));
        let base = self.read.get("vmlinux").and_then(Option::as_ref);
        let btf = match base {
            Some(base) => Btf::from_split_file(path, base),
            None => Btf::from_file(path),
        };
        self.read.insert(object.to_owned(), btf.ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya_obj::btf::{BtfType, Func, FuncLinkage};

    #[test]
    fn functions_have_the_names_of_their_numbers() {
        let root = std::env::temp_dir().join(format!("bpfpack-btf-{}", std::process::id()));
        let folder = root.join("sys/kernel/btf");
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let mut btf = aya_obj::btf::Btf::new();
        let name = btf.add_string("tcp_connect");
        let id = btf.add_type(BtfType::Func(Func::new(name, 0, FuncLinkage::Static)));
        std::fs::write(folder.join("vmlinux"), btf.to_bytes()).expect("a file for the test");
        let context = Context {
            json: false,
            color: false,
            columns: None,
            root: root.clone(),
        };
        let mut functions = Functions::default();
        let found = functions.name(&context, "vmlinux", id);
        let missing = functions.name(&context, "vmlinux", id + 1);
        let other = functions.name(&context, "no_module", id);
        std::fs::remove_dir_all(&root).expect("the test made it");
        assert_eq!(found.as_deref(), Some("tcp_connect"));
        assert_eq!((missing, other), (None, None));
    }
}
