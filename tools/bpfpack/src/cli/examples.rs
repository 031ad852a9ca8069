// SPDX-License-Identifier: GPL-2.0

//! The examples at the end of each help text, with the exit status where it means something.

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

/// Those of `advise`.
pub(super) const ADVISE: &str = "\
Examples:
  sudo bpfpack advise
  sudo bpfpack advise --json";

/// Those of `measure`.
pub(super) const MEASURE: &str = "\
Examples:
  sudo bpfpack measure -- ./benchmark --seconds 10";

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
