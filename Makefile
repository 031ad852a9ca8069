# SPDX-License-Identifier: GPL-2.0
#
# bpf_pack: program packs for the arm64 BPF JIT, each mapped by one TLB entry.
#
# kbuild reads this file too, where the module is built inside a kernel tree.

ifdef KERNELRELEASE

CONFIG_ARM64_BPF_PACK ?= m
obj-$(CONFIG_ARM64_BPF_PACK) += rust/

else

# Without KERNEL=, make test runs the suites of several kernels.
KERNEL_OPTION := $(if $(KERNEL),--kernel $(KERNEL))
KERNEL ?= arm64
export KERNEL

.DEFAULT_GOAL := help
.PHONY: help deb demo test test-all test-debug test-suites bench bench-quick check litmus protocol loom mutants \
	coverage fuzz module clean distclean

help:
	@echo 'bpf_pack: program packs for the arm64 BPF JIT, each mapped by one TLB entry.'
	@echo
	@echo '  make demo       the main job: boot the stock arm64 kernel, insert the module, load'
	@echo '                  BPF programs with bpftool and show where they are and how mapped'
	@echo '  make test       the test suite (about 50 minutes on 2 cores the first time)'
	@echo '  make test-all   the same and the slow parts: all kernel flavours, other CPU'
	@echo '                  models, the TLB model in guests, the short benchmark, what takes hours'
	@echo '  make test-debug  the self-tests on kernels that check more: KASAN, lockdep, KCSAN,'
	@echo '                  64 KiB pages, BTI and kCFI (builds them first: two hours)'
	@echo '  make test-suites  the kernel'"'"'s own BPF, seccomp and ftrace suites beside the module'
	@echo '                  (hours; scripts/suites --quick is a part of it)'
	@echo '  make bench      measure: TLB model, costs, memory (about an hour on 2 cores)'
	@echo '  make bench-quick  a short run of it (about 7 minutes)'
	@echo '  make check      formatting and lints only'
	@echo '  make litmus     the order of cache maintenance, against the memory model of arm64'
	@echo '  make protocol   the concurrency of the service, with a model checker'
	@echo '  make loom       the gate of the module, all executions of a few tasks'
	@echo '  make mutants    changes in pack_core and pagetable that no test notices (an hour;'
	@echo '                  a run that was stopped goes on)'
	@echo '  make coverage   what the tests of these two crates reach'
	@echo '  make fuzz       100 million operations on pack_core (a run that was stopped goes on)'
	@echo '  make module     build bpf_pack.ko; its path is the last line printed'
	@echo '  make deb        Debian packages in build/deb/packages: modules, source for DKMS, tools'
	@echo '  make clean      remove what was built, keep toolchain, kernels and downloads'
	@echo '  make distclean  remove build/ altogether'
	@echo
	@echo '  KERNEL=NAME     flavour for demo and module: arm64 (default), cloud-arm64,'
	@echo '                  rt-arm64, arm64-16k, sid-arm64 (of Debian sid: it sets up other'
	@echo '                  compilers first, 15 minutes); for test: only the suites of this kernel'
	@echo '  KDIR=DIR        for module: a prepared arm64 kernel tree with Rust metadata, whose'
	@echo '                  compilers are in PATH, instead of KERNEL'
	@echo
	@echo 'Everything is set up on the way, under build/. See README.md.'

demo:
	@scripts/demo --kernel $(KERNEL)

test:
	@scripts/test $(KERNEL_OPTION)

test-all:
	@scripts/test --all $(KERNEL_OPTION)

test-debug:
	@scripts/test --debug

test-suites:
	@scripts/suites

bench:
	@scripts/bench

bench-quick:
	@scripts/bench --quick

check:
	@scripts/check

litmus:
	@tools/litmus/run

protocol:
	@tools/protocol/run

loom:
	@tools/gate-loom/run

mutants:
	@tools/mutants/run

coverage:
	@tools/coverage/run

fuzz:
	@tools/fuzz/run

module:
	@scripts/module $(if $(KDIR),--kdir $(KDIR),$(KERNEL))

deb:
	@scripts/deb

clean:
	@scripts/toolchain clean

distclean:
	@scripts/toolchain distclean

endif
