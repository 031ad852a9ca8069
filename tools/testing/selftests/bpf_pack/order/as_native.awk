# SPDX-License-Identifier: GPL-2.0
#
# Makes of a trace of the redirecting module what a kernel that calls the module shows for the
# same steps: there one function writes to all pages and maintains the caches, and the trace
# has its entry and its return.
#
#   awk -f as_native.awk <good.trace

function task_of(text) {
	match(text, /\[[0-9]+\] /)
	return substr(text, 1, RSTART - 1)
}

function value_of(text, name) {
	text = substr(text, index(text, " " name "=") + length(name) + 2)
	sub(/ .*/, "", text)
	return text
}

# The last eight digits of an address, as a number: awk's numbers have 53 bits.
function low(hex,    i, value) {
	hex = substr(hex, length(hex) - 7)
	for (i = 1; i <= length(hex); i++)
		value = value * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
	return value
}

{ line[++lines] = $0 }

END {
	for (at = 1; at <= lines; at++) {
		if (line[at] !~ / order_poke: /)
			continue
		task = task_of(line[at])
		for (to = at + 1; to <= lines; to++) {
			if (task_of(line[to]) != task)
				continue
			if (line[to] ~ / order_poked?: /)
				line[to] = ""
			if (line[to] ~ / order_clean: /)
				break
		}
		start = value_of(line[to], "start")
		size = low(value_of(line[to], "end")) - low(start)
		sub(/order_poke: .*/, sprintf("order_write: (aarch64_insn_copy_nosync+0x0/0x40) start=%s size=0x%x", start, size), line[at])
		sub(/order_clean: .*/, "order_wrote: (write <- aarch64_insn_copy_nosync)", line[to])
	}
	for (at = 1; at <= lines; at++)
		if (line[at] != "")
			print line[at]
}
