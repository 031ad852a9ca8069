#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs programs with known TLB behaviour in a guest under the TLB model, and
# checks what the model says about them. KTAP on standard output.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=tools/tlb-model/guests.sh
. "$ROOT/tools/tlb-model/guests.sh"

HERE=$ROOT/tools/tlb-model
OUT=$BUILD/tlb-model
MODULE=$BUILD/module/arm64/bpf_pack.ko
RUNS=$OUT/known-answers
# The longest that one guest may take, in seconds; a busy host needs ten times the usual.
TIMEOUT=1800

usage() {
	cat <<USAGE
Usage: tools/tlb-model/known-answers.sh [RUN]...

Builds the plugin and its guest programs, boots the guests and checks the known
answers. Each guest takes 15 to 60 seconds. RUN, one of
  $(all_runs | tr '\n' ' ')
boots only some of the guests; the checks need all of them and use what earlier
runs left in build/tlb-model/known-answers.

  check     boots no guest, only checks
  overhead  boots the longest guest without and with the plugin, and prints the
            user CPU time of each; checks nothing

Without bpf_pack.ko in build/module/arm64 the rows about it are skipped.

Environment:
  BPF_PACK_HEAVY_LOCK   a file to lock while a guest runs, so that several runs
                        on one machine take turns
USAGE
}

all_runs() {
	printf '%s\n' n1 max max-again max-slow begin tlbi-off asid-off module-near module-far
}

# guest_script TESTS - what the guest executes.
guest_script() {
	local pages='
./pages 1 40 1000
./pages 2 64 1000
./pages 3 600 100
./pages 4 2000 100
./pages 5 64 1000 thp
./pages 6 2000 100 thp
./pages 7 40 100 flush'
	local teeth='
./remap 8
./fork 9'
	local chains='
./chain 10 33 4176 1000
sleep 2
./chain 11 33 12176 1000'
	printf 'set -e\ncd /overlay\nsleep 2\n'
	case $1 in
	all) printf '%s\n' "$pages" "$teeth" "$chains" ;;
	teeth) printf '%s\n' "$teeth" ;;
	begin) printf '%s\n' './mark flush' './mark begin' 'sleep 2' "$pages" "$teeth" "$chains" ;;
	module) printf 'insmod bpf_pack.ko near_packs=%s\nsleep 1\n./chain 11 33 12176 1000\n' "$2" ;;
	esac
}

# guest CPU TESTS ARGUMENT PLUGIN - runs the tests on the machine on which runs
# repeat. PLUGIN may be empty.
guest() {
	local cpu=$1 tests=$2 argument=$3 plugin=$4
	local arguments=(--repeatable --qemu-arg -cpu --qemu-arg "$cpu")
	[ -z "$plugin" ] || arguments+=(--qemu-arg -plugin --qemu-arg "$plugin")
	if [ "$tests" = module ]; then
		mkdir -p "$OUT/module"
		cp "$MODULE" "$OUT/module/"
		arguments+=(--overlay "$OUT/module")
	fi
	locked env BPF_PACK_BUILD="$OUT/image" "$ROOT/scripts/vm" --timeout "$TIMEOUT" --overlay "$OUT/guest" \
		"${arguments[@]}" -- "$(guest_script "$tests" "$argument")"
}

# record NAME CPU TESTS ARGUMENT OPTION... - a guest under the plugin; its lines
# go to NAME.json. An old file must not stand in for a run that failed.
record() {
	local name=$1 cpu=$2 tests=$3 argument=$4 json=$RUNS/$1.json
	shift 4
	echo "# $name"
	rm -f "$json"
	guest "$cpu" "$tests" "$argument" \
		"$PLUGIN$(printf ',%s' "out=$json.new" "$@")" | sed 's/^/#   /'
	mv "$json.new" "$json"
}

run() {
	local both=(model=n1/lru model=n1/random=1) check=(stale=on walkcheck=on)
	case $1 in
	n1) record n1 neoverse-n1 all '' "${both[@]}" model=n1/random={2,3,4,5} "${check[@]}" ;;
	max) record max max all '' "${both[@]}" "${check[@]}" ;;
	max-again) record max-again max all '' "${both[@]}" "${check[@]}" ;;
	max-slow) record max-slow max all '' "${both[@]}" "${check[@]}" slow=on pc=on ;;
	begin) record begin max begin '' "${both[@]}" "${check[@]}" begin=marker ;;
	tlbi-off) record tlbi-off max teeth '' "${check[@]}" tlbi=off ;;
	asid-off) record asid-off max teeth '' "${check[@]}" asid=off ;;
	module-near | module-far)
		rm -f "$RUNS/$1.json" "$RUNS/$1.skip"
		if [ -e "$MODULE" ]; then
			record "$1" neoverse-n1 module "$([ "$1" = module-far ] && echo 0 || echo 16)" \
				"${both[@]}" "${check[@]}"
		else
			: >"$RUNS/$1.skip"
		fi
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
}

# user_time PLUGIN - user CPU seconds of the longest guest.
user_time() {
	local TIMEFORMAT=%U
	{ time guest max all '' "$1" >/dev/null 2>&1; } 2>&1 | tail -n 1
}

overhead() {
	local json=$RUNS/overhead.json plain with
	plain=$(user_time '')
	echo "plain TCG:                 $plain s of user CPU"
	for with in model=n1/lru model=n1/lru,model=n1/random=1 \
		model=n1/lru,model=n1/random=1,model=v2/lru,model=v2/random=1,model=small/lru,model=small/random=1; do
		user_time "$PLUGIN,out=$json,$with" |
			awk -v plain="$plain" -v with="$with" '{ printf "%s: %s s, %.2f times plain\n", with, $1, $1 / plain }'
	done
}

build() {
	build_model
	mkdir -p "$RUNS"
	bare_build "$OUT/image"
}

main() {
	local runs=("$@") name
	if [ $# -eq 0 ]; then
		mapfile -t runs < <(all_runs)
	fi
	case ${1:-} in
	-h | --help)
		usage
		return
		;;
	esac
	enter_toolchain "$0" "$@"
	build
	[ "${1:-}" = overhead ] || echo "KTAP version 1"
	for name in "${runs[@]}"; do
		case $name in
		check) ;;
		overhead)
			overhead
			return
			;;
		*) run "$name" ;;
		esac
	done
	python3 "$HERE/known_answers.py" "$RUNS"
}

main "$@"
