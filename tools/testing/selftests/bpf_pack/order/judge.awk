# SPDX-License-Identifier: GPL-2.0
#
# Judges a trace that test-order.sh recorded, as tracefs shows it. Prints a line "RULE:
# what happened" for each violation, and "count WHAT N" for each kind of step that the
# trace has. The rules are those of Documentation/invariants.md.
#
#   awk -v cpus=N -f judge.awk TRACE
#
# It runs with busybox awk (the guest's), mawk and gawk. Addresses are cut to 48 bits:
# awk's numbers have 53. scripts/tests/order-judge.sh tests it with spoilt traces.

# Addresses are array indices, too. Without this, mawk writes a large number with few
# digits, and one index would stand for many addresses.
BEGIN { CONVFMT = "%.17g" }

function number(hex,    i, value) {
	sub(/^0x/, "", hex)
	if (length(hex) > 12)
		hex = substr(hex, length(hex) - 11)
	for (i = 1; i <= length(hex); i++)
		value = value * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
	return value + 0
}

function field(name,    rest) {
	rest = substr(details, index(" " details, " " name "=") + length(name) + 1)
	sub(/ .*/, "", rest)
	return rest
}

function address_of(name) {
	return number(field(name))
}

function bad(rule, what) {
	printf "%s: %s (%s at %s)\n", rule, what, details, stamp
}

function synchronised_since(when,    cpu) {
	for (cpu = 0; cpu < cpus; cpu++)
		if (synchronised[cpu] <= when)
			return 0
	return 1
}

# Marks the 64-byte chunks of an image.
function mark_live(start, size,    at) {
	for (at = start; at < start + size; at += 64)
		live[at] = 1
}

function mark_dead(start, size, when,    at) {
	for (at = start; at < start + size; at += 64) {
		delete live[at]
		dead[at] = when
	}
}

# True if the image was written since it was reserved, maintenance from start to end or
# further followed that, and this task wrote nothing after its last maintenance. It may have
# written other images of one load since.
function fetchable(start, end) {
	return wrote[start] > born[start] && cleaned_to[start] >= end &&
		written[task] < maintained[task]
}

# This task has maintained the caches for these bytes.
function maintain(start, end) {
	cleaned[start] = now
	cleaned_to[start] = end
	# What this task wrote before its last maintenance is another image of the load.
	if (written[task] > maintained[task])
		wrote[start] = written[task]
	maintained[task] = now
	# Only freeing writes to a final image.
	if (state[start] == "live" && end == start + size[start] && written[task] > born[start]) {
		mark_dead(start, size[start], now)
		state[start] = "dead"
	}
}

function work(what) {
	if (task in held)
		bad("I11", what " with the pool lock held")
}

!match($0, /\[[0-9]+\] [^ ]+ +[0-9.]+: [a-z_]+: /) { next }
{
	now++
	task = substr($0, 1, RSTART - 1)
	sub(/ +$/, "", task)
	sub(/.*-/, "", task)
	split(substr($0, RSTART, RLENGTH), part, " ")
	cpu = substr(part[1], 2) + 0
	in_interrupt = substr(part[2], 3, 1) != "."
	stamp = part[3]
	event = part[4]
	details = substr($0, RSTART + RLENGTH)
}

event == "order_lock:" { held[task] = 1; locked[task] = now }
event == "order_unlock:" { delete held[task] }
event == "order_map:" { work("mapping") }
event == "order_alias:" { work("changing the linear map") }
event == "order_synchronise:" { work("synchronising"); called[task] = now }

# By task, not by CPU: the probe is at the entry of the function that takes the lock,
# where the task may still move to another CPU.
event == "order_poke:" {
	work("writing")
	written[task] = now
	window[task] = 1
	pages[task] = mapped[task] = 0
}
event == "order_window:" && window[task] {
	mapped[task] = number(field("physical")) > 0
	pages[task] += mapped[task]
}
event == "order_poked:" && window[task] {
	if (pages[task] != 1)
		bad("I12", pages[task] " pages with interrupts off")
	if (mapped[task])
		bad("I1", "a page was left writable")
	window[task] = 0
	windows++
}
event == "order_clean:" { maintain(address_of("start"), address_of("end")) }

# A kernel that calls the module writes to all pages in one function, which maintains the
# caches before it returns.
event ~ /^order_(write|fill):$/ {
	work("writing")
	written[task] = now
	writing[task] = address_of("start")
	writing_to[task] = writing[task] + address_of("size")
	mapped[task] = 0
}
event == "order_window:" && task in writing {
	physical = number(field("physical"))
	if (physical > 0 && mapped[task])
		bad("I1", "two pages writable at once")
	mapped[task] = physical > 0
	windows += mapped[task]
}
event ~ /^order_(wrote|filled):$/ && task in writing {
	if (mapped[task])
		bad("I1", "a page was left writable")
	maintain(writing[task], writing_to[task])
	delete writing[task]
}
event == "csd_function_entry:" && details ~ /func=synchronise_context/ {
	synchronised[cpu] = now
}

event == "bpf_pack_reserve:" {
	start = address_of("address")
	if (start % 64)
		bad("I10", "not at the start of a chunk")
	size[start] = int((field("size") + 63) / 64) * 64
	for (at = start; at < start + size[start]; at += 64) {
		if (at in live) {
			bad("I4", "handed out while live")
			break
		}
		if (at in dead && !synchronised_since(dead[at])) {
			bad("I4", "handed out before every CPU was synchronised")
			break
		}
		reused += at in dead
		delete dead[at]
	}
	state[start] = "reserved"
	born[start] = now
}
event == "bpf_pack_finalize:" {
	start = address_of("address")
	size[start] = field("size") + 0
	# The end of the last chunk may not have been copied.
	if (!fetchable(start, start + size[start] - 63))
		bad("I3", "final without maintenance after the copy")
	if (!synchronised_since(cleaned[start]))
		bad("I3", "final before every CPU was synchronised")
	state[start] = "live"
	born[start] = now
	mark_live(start, size[start])
	finalized++
}
event == "order_free:" && address_of("image") in size { freeing[task] = 1 }
event == "kmalloc:" || event == "kmem_cache_alloc:" || event == "mm_page_alloc:" {
	seen_allocations++
	if (!in_interrupt && task in freeing)
		bad("I6", event " while freeing")
	if (!in_interrupt)
		work("allocating")
}
event == "bpf_pack_retire:" {
	start = address_of("address")
	if (state[start] == "live" || state[start] == "reserved" &&
	    !fetchable(start, start + field("size")))
		bad("I2", "freed without being overwritten")
	if (state[start] == "reserved")
		mark_dead(start, field("size") + 0, cleaned[start])
	delete state[start]
	freed += task in freeing
	delete freeing[task]
}
event == "bpf_pack_synchronise:" && field("images") + 0 {
	released += field("images")
	if (locked[task] < called[task])
		bad("I4", "released before the CPUs were synchronised")
}
END {
	print "count finalized", finalized + 0
	print "count freed", freed + 0
	print "count released", released + 0
	print "count reused", reused + 0
	print "count windows", windows + 0
	print "count allocations", seen_allocations + 0
}
