# SPDX-License-Identifier: GPL-2.0
#
# Spoils a trace: edits the lines of standard input. The arguments are the edits, which
# are made from left to right.
#
#   awk -f spoil.awk EDIT... <good.trace
#
#   drop PLACE               takes a line out
#   move PLACE PLACE         puts the first line right after the second
#   copy PLACE PLACE         puts a copy of the first line right after the second
#   change PLACE FROM TO     in one line, the first match of FROM becomes TO
#   change-all FROM TO       the same in every line
#
# A PLACE is one pattern or more with " > " between them: the first line that matches the
# first pattern, the first line after it that matches the second one, and so on. A line
# that moves keeps its time stamp: the judge looks only at the order of lines.

function fail(what) {
	print "spoil.awk: " what >"/dev/stderr"
	failed = 1
	exit 1
}

# The number of the line at a place.
function find(place,    patterns, count, i, at) {
	count = split(place, patterns, / > /)
	at = 0
	for (i = 1; i <= count; i++) {
		do
			at++
		while (at <= lines && line[at] !~ patterns[i])
	}
	if (at > lines)
		fail("no such line: " place)
	return at
}

function remove(at) {
	for (; at < lines; at++)
		line[at] = line[at + 1]
	lines--
}

function insert(at, text,    i) {
	for (i = lines++; i > at; i--)
		line[i + 1] = line[i]
	line[at + 1] = text
}

# Both places are line numbers from before the move.
function move(from, to,    text) {
	text = line[from]
	insert(to, text)
	remove(from > to ? from + 1 : from)
}

function change(at, from, to) {
	if (!sub(from, to, line[at]))
		fail("no " from " in: " line[at])
}

function change_all(from, to,    at, changed) {
	for (at = 1; at <= lines; at++)
		changed += sub(from, to, line[at])
	if (!changed)
		fail("no " from " in any line")
}

# awk takes arguments for names of files: they are kept and emptied.
BEGIN {
	for (words = 0; words < ARGC - 1; words++) {
		word[words + 1] = ARGV[words + 1]
		ARGV[words + 1] = ""
	}
}

{ line[++lines] = $0 }

END {
	for (i = 1; i <= words && !failed; ) {
		edit = word[i++]
		if (edit == "drop") {
			remove(find(word[i]))
			i++
		} else if (edit == "move") {
			move(find(word[i]), find(word[i + 1]))
			i += 2
		} else if (edit == "copy") {
			insert(find(word[i + 1]), line[find(word[i])])
			i += 2
		} else if (edit == "change") {
			change(find(word[i]), word[i + 1], word[i + 2])
			i += 3
		} else if (edit == "change-all") {
			change_all(word[i], word[i + 1])
			i += 2
		} else {
			fail("no such edit: " edit)
		}
	}
	if (failed)
		exit 1
	for (i = 1; i <= lines; i++)
		print line[i]
}
