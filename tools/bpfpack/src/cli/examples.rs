// SPDX-License-Identifier: GPL-2.0

//! The examples at the end of each help text, with the exit status where it means something. They
//! are given to the subcommands in `cli.rs`, where they replace what an `Options` would have.

/// Those of `bpfpack` itself.
pub(super) const ALL: &str = "\
Examples:
  sudo bpfpack status        does the module serve?
  sudo bpfpack list          every image of the BPF JIT
  sudo bpfpack map           a picture of every pack
  sudo bpfpack doctor        before the module is installed: would it load?

Exit status: 0 done; 3 an error; 64 wrong arguments. What 1 and 2 mean is in the help of
status, doctor and unload.";

/// Those of `status`.
pub(super) const STATUS: &str = "\
Examples:
  sudo bpfpack status
  sudo bpfpack status --json | jq .verdict
  sudo bpfpack status --quiet || echo 'the module does not do all that it should'

Exit status: 0 good; 1 degraded; 2 not loaded; 3 an error.";

/// Those of `list`.
pub(super) const LIST: &str = "\
Examples:
  sudo bpfpack list --sort size             the largest first
  sudo bpfpack list --place stock           what is not in packs
  sudo bpfpack list --all                   also what was freed and not reused yet
  sudo bpfpack list --type -                filters without an id, and who holds them
  sudo bpfpack list --json | jq '.images[] | select(.id == 42)'";

/// Those of `map`.
pub(super) const MAP: &str = "\
Examples:
  sudo bpfpack map
  sudo bpfpack map --color always | less -R
  sudo bpfpack map --svg packs.svg";

/// Those of `top`.
pub(super) const TOP: &str = "\
Examples:
  sudo bpfpack top                          q ends it, p holds it, + and - change the interval
  sudo bpfpack top --interval 5
  sudo bpfpack top --json --count 10        ten lines of JSON, one a second";

/// Those of `advise`, and what it costs.
pub(super) const ADVISE: &str = "\
Examples:
  sudo bpfpack advise                       under the usual load of the machine
  sudo bpfpack advise --seconds 60          where programs run in bursts
  sudo bpfpack advise --itlb 48             for a core that the tool's table does not have

The machine must be at its usual work while the tool counts. Counting costs each run of a program
some tens of nanoseconds; it ends with the tool.";

/// Those of `measure`, and what it does to the module.
pub(super) const MEASURE: &str = "\
Examples:
  sudo bpfpack measure -- ./load-and-run-my-programs
  sudo bpfpack measure --all-cpus --turns 9 -- sh -c 'systemctl restart my-agent; sleep 30'
  bpfpack measure --as-is -- make -j8

Images that are live stay where they are: COMMAND has to load the BPF programs that it runs, or to
restart the service that does. Each turn tells the module where new images go (\"drain\": to the
stock allocator, \"serve\": into packs); the mode is put back at the end, also after ^C. While it
runs, images of everybody else go there, too. COMMAND's output goes to standard error.";

/// Those of `doctor`.
pub(super) const DOCTOR: &str = "\
Examples:
  sudo bpfpack doctor
  sudo bpfpack doctor --module ./bpf_pack.ko

Exit status: 0 insmod would succeed, as far as can be told; 1 it would fail; 3 an error.";

/// Those of `metrics`.
pub(super) const METRICS: &str = "\
Examples:
  sudo bpfpack metrics
  sudo bpfpack metrics --format prometheus | promtool check metrics
  sudo bpfpack metrics --format prometheus \\
      --output /var/lib/prometheus/node-exporter/bpfpack.prom";

/// Those of `unload`.
pub(super) const UNLOAD: &str = "\
Examples:
  sudo bpfpack unload                       now, or not at all
  sudo bpfpack unload --wait                when the last image is gone; ^C ends the wait
  sudo bpfpack unload --wait=60             for a minute at most

Exit status: 0 removed, or not loaded; 1 still in use; 3 an error.";
