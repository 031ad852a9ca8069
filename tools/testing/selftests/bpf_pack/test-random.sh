#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Random operations on the running service from several CPUs: after each round every
# byte of every pack is compared with what the random model says (I2, I13).
# RANDOM_STEPS and RANDOM_SEED choose how many operations, and which.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test random
need_module bpf_pack bpf_pack_random

STEPS=${RANDOM_STEPS:-10000}
SEED=${RANDOM_SEED:-1}

# summary - what the module says at the end.
summary() {
	log_since_mark | sed -n 's/.*bpf_pack_random: \([0-9]* steps: .*\)/\1/p' | tail -n 1
}

# sum WHAT - one of its figures.
sum() {
	summary | tr ':' , | tr , '\n' | sed -n "s/^ *\([0-9]*\) $1\$/\1/p"
}

check "insmod succeeds" load_pack
mark_log
check "$STEPS operations with seed $SEED: every answer and every byte is right" \
	insmod "$(module bpf_pack_random)" steps="$STEPS" seed="$SEED" threads=4 \
	rounds=$((STEPS / 10000 + 1))
summary | comment
check "images were made" test "$(sum images)" -gt $((STEPS / 20))
check "images were finalized" test "$(sum finalized)" -gt $((STEPS / 20))
check "bad calls were made" test "$(sum misuses)" -gt $((STEPS / 100))
check "nothing was wrong" test "$(sum wrong)" -eq 0
check "all images are gone" loop_until images_are 0
check "rmmod of the random model succeeds" rmmod bpf_pack_random
check "the books are right" control check
check "rmmod succeeds" unload_pack
finish_test
