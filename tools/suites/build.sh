#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds other people's suites for the guest. scripts/suites runs it in the suites' own
# toolchain, with BPF_PACK_BUILD leading to build/suites: everything here is below that.
# The kernel's source is copied first, because its suites build in their own folders.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

HERE=$ROOT/tools/suites
KIT=$(realpath -e "$BUILD/../kit/arm64")
CACHE=$(realpath -e "$BUILD/../cache/debs")
SRC=$BUILD/source
OBJ=$BUILD/obj
BTF=$BUILD/vmlinux.btf
SELFTESTS=$SRC/tools/testing/selftests
BPF=$SELFTESTS/bpf
DEBS=$BUILD/debs
GUEST=$BUILD/root
LIBRARIES=usr/lib/aarch64-linux-gnu

MAKE=(make ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- CC=aarch64-linux-gnu-gcc-14 HOSTCC=gcc)

# words FILE - a list without its comments.
words() {
	grep -v '^#' "$1"
}

# copy_source - the parts of the kernel's source that the suites are made of.
copy_source() {
	local from
	from=$(realpath -e "$KIT/source")
	rm -rf "$SRC.new" && mkdir -p "$SRC.new"
	(cd "$from" && rsync -a --exclude /Documentation --exclude /drivers --exclude /sound \
		--exclude '/arch/*' --exclude /fs --exclude /net --exclude /crypto ./ "$SRC.new")
	rsync -a "$from/arch/arm64" "$SRC.new/arch/"
	local file
	# Very large programs, for the compiler and for the verifier in an emulated guest.
	for file in "$SRC.new/tools/testing/selftests/bpf"/{progs/pyperf*.c,progs/strobemeta*.c,prog_tests/bpf_verif_scale.c}; do
		rm -f "$file"
	done
	rm -rf "$SRC" && mv "$SRC.new" "$SRC"
}

# copy_build_directory - for test modules with BTF. The kit's own stays without a vmlinux:
# modules that are built with it would get BTF, too.
copy_build_directory() {
	rm -rf "$OBJ" && mkdir -p "$OBJ"
	rsync -a "$KIT/obj/" "$OBJ/"
	# Its Makefile says where it is.
	sed -i "s|^export KBUILD_OUTPUT = .*|export KBUILD_OUTPUT = $OBJ|" "$OBJ/Makefile"
	cp "$BTF" "$OBJ/vmlinux"
}

build_headers() {
	"${MAKE[@]}" -C "$SRC" -j"$(nproc)" headers
}

build_seccomp() {
	"${MAKE[@]}" -C "$SELFTESTS/seccomp" KHDR_INCLUDES="-isystem $SRC/usr/include"
}

build_ftrace() {
	"${MAKE[@]}" -C "$SELFTESTS/ftrace" KHDR_INCLUDES="-isystem $SRC/usr/include"
}

# The build of the suite deletes these: they are kept elsewhere.
build_test_modules() {
	make -C "$OBJ" M="$BPF/test_kmods" "${MAKE[@]:1}" -j"$(nproc)" modules
	rm -rf "$BUILD/kmods" && mkdir -p "$BUILD/kmods"
	cp "$BPF"/test_kmods/*.ko "$BUILD/kmods/"
}

# build_samples - users of ftrace, fprobes and kprobes in modules.
build_samples() {
	rm -rf "$BUILD/samples" && mkdir -p "$BUILD/samples"
	cp "$SRC"/samples/trace_printk/trace-printk.c "$SRC"/samples/ftrace/ftrace-direct*.c \
		"$SRC"/samples/ftrace/ftrace-ops.c "$SRC"/samples/fprobe/fprobe_example.c \
		"$SRC"/samples/kprobes/k*_example.c "$SRC"/samples/trace_events/trace-events-sample.[ch] \
		"$BUILD/samples/"
	(
		cd "$BUILD/samples"
		# shellcheck disable=SC2016 # expanded by make
		echo 'CFLAGS_trace-events-sample.o := -I$(src)' >Kbuild
		for file in *.c; do echo "obj-m += ${file%.c}.o"; done >>Kbuild
	)
	make -C "$OBJ" M="$BUILD/samples" "${MAKE[@]:1}" -j"$(nproc)" modules
}

# Not everything is built: with -k and BPF_STRICT_BUILD=0 a test that does not build is
# left out, and `required` looks at what is there.
build_bpf() {
	"${MAKE[@]}" -C "$BPF" -j"$(nproc)" -k CLANG=clang-22 LLC=llc-22 LLVM_STRIP=llvm-strip-22 \
		LLVM_OBJCOPY=llvm-objcopy-22 LLVM_CONFIG=llvm-config-22 VMLINUX_BTF="$BTF" \
		GENDIR="$KIT/obj/include/generated" BPF_STRICT_BUILD=0 SKIP_DOCS=1 SKIP_LIBBFD=1 \
		feature-llvm=1 PKG_CONFIG=false "$@" || echo "make ended with status $?"
	local name
	for name in "$@"; do
		[ -x "$BPF/$name" ] || {
			echo "not built: $name"
			return 1
		}
	done
}

# shorten FILE TEXT LESS - puts LESS in the place of TEXT in a test's source, unless that is done.
shorten() {
	sed -i "s/$2/$3/" "$BPF/$1"
	grep -qF "$3" "$BPF/$1" || {
		echo "$1 has no \"$2\": it is not shorter than in the kernel's source"
		return 1
	}
}

# build_short - with the source's 100 tasks side by side, half of which make and walk maps of 10,000
# elements, test_maps was in the fourth of its first 12 rounds of tasks after 18 minutes in an emulated
# guest. A round of test_tag, of the five in the source, takes seven.
build_short() {
	shorten test_maps.c 'TASKS 100' 'TASKS 10' || return
	shorten test_maps.c 'run_parallel(100,' 'run_parallel(10,' || return
	shorten test_tag.c 'i < 5; i++' 'i < 1; i++' || return
	build_bpf test_maps test_tag
}

# download_guest - the guest's packages with all that they depend on, chosen by apt as for
# an arm64 machine on which nothing is installed.
download_guest() {
	local empty=$BUILD/empty-status packages
	mapfile -t packages < <(words "$HERE/packages.guest")
	rm -rf "$DEBS" && mkdir -p "$DEBS/partial"
	: >"$empty"
	apt_private apt-get -o APT::Architecture=arm64 -q update
	apt_private apt-get -o APT::Architecture=arm64 -o Dir::State::status="$empty" \
		-o Dir::Cache::archives="$DEBS" -q -y --no-install-recommends --download-only \
		install "${packages[@]}"
}

# stage_packages - unpacked, never configured: no foreign binary runs here.
stage_packages() {
	local deb directory
	rm -rf "$GUEST" && mkdir -p "$GUEST"/{usr/bin,usr/sbin,usr/lib}
	for directory in bin sbin lib; do
		ln -s "usr/$directory" "$GUEST/$directory"
	done
	for deb in "$DEBS"/*.deb; do
		dpkg --fsys-tarfile "$deb" | tar -x -C "$GUEST" --keep-directory-symlink --no-same-owner \
			--exclude './usr/share/*' --exclude './usr/lib/*/perl*' --exclude './usr/lib/systemd'
	done
	ln -sf bash "$GUEST/usr/bin/sh"
	ln -sf gawk "$GUEST/usr/bin/awk"
	local name
	for name in iptables ip6tables; do
		ln -sf "$name-nft" "$GUEST/usr/sbin/$name"
	done
	mkdir -p "$GUEST"/{dev,proc,sys,tmp,run,mnt,boot,root,etc,var/tmp,var/lib}
	ln -s ../run "$GUEST/var/run"
	printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'nobody:x:65534:65534:nobody:/:/bin/sh' >"$GUEST/etc/passwd"
	printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' 'adm:x:4:' >"$GUEST/etc/group"
	cp "$KIT/config" "$GUEST/boot/config-$(cat "$KIT/release")"
}

# stage_modules - those of the kernel's modules that the suites use.
stage_modules() {
	local release all=$BUILD/all-modules deb name file
	release=$(cat "$KIT/release")
	rm -rf "$all"
	for deb in "$CACHE/linux-modules-$(cat "$KIT/release")_"*.deb; do
		dpkg -x "$deb" "$all"
	done
	depmod -b "$all/usr" "$release"
	mkdir -p "$GUEST/usr/lib/modules/$release"
	for name in $(words "$HERE/modules.guest"); do
		modprobe -d "$all/usr" -S "$release" --show-depends "$name" 2>/dev/null ||
			echo "the kernel has no module $name" >&2
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
		install -D -m 644 "$file" "$GUEST/usr/lib/modules/$release/${file#*"/modules/$release/"}"
	done
	find "$GUEST/usr/lib/modules/$release" -name '*.ko*' | wc -l
	rm -rf "$all"
}

# stage_suites - what was built, without debug information.
stage_suites() {
	local to=$GUEST/suites name file strip=aarch64-linux-gnu-strip
	rm -rf "$to" && mkdir -p "$to/bpf" "$to/seccomp" "$to/ftrace" "$to/samples"
	for name in test_progs test_verifier test_maps test_tag urandom_read liburandom_read.so \
		xdp_synproxy sign-file uprobe_multi veristat; do
		[ ! -e "$BPF/$name" ] || "$strip" --strip-debug -o "$to/bpf/$name" "$BPF/$name"
	done
	cp "$BPF"/{ima_setup.sh,verify_sig_setup.sh} "$BPF"/progs/btf_dump_test_case_*.c "$BPF"/btf_dump_test_case_*.c \
		"$to/bpf/" 2>/dev/null || true
	"$strip" --strip-debug -o "$to/bpf/bpftool" "$BPF/tools/sbin/bpftool"
	ln -s /suites/bpf/bpftool "$GUEST/usr/sbin/bpftool"
	for file in "$BPF"/*.bpf.o; do
		llvm-strip-22 -g -o "$to/bpf/${file##*/}" "$file"
	done
	# With their BTF, which the tests look at: only the debug information goes.
	for file in "$BUILD"/kmods/*.ko; do
		"$strip" --strip-debug -o "$to/bpf/${file##*/}" "$file"
	done
	cp "$SELFTESTS/seccomp/seccomp_bpf" "$to/seccomp/"
	cp -R "$SELFTESTS/ftrace/." "$to/ftrace/"
	for file in "$BUILD"/samples/*.ko; do
		"$strip" --strip-debug -o "$to/samples/${file##*/}" "$file"
	done
	# ftrace's tests look for these where modules are installed.
	for name in trace-printk trace-events-sample ftrace-direct ftrace-direct-too; do
		install -D -m 644 "$to/samples/$name.ko" \
			"$GUEST/usr/lib/modules/$(cat "$KIT/release")/kernel/samples/$name.ko"
	done
	depmod -b "$GUEST/usr" "$(cat "$KIT/release")"
}

# check_libraries - fails where something in the guest needs what no package brought.
check_libraries() {
	local file needed lost=0
	for file in "$GUEST"/suites/bpf/{test_progs,test_verifier,test_maps,test_tag,bpftool} \
		"$GUEST"/suites/seccomp/seccomp_bpf "$GUEST"/usr/bin/{bash,gawk,grep,openssl} "$GUEST"/usr/sbin/{tc,ethtool}; do
		for needed in $(llvm-readelf-22 --needed-libs "$(realpath "$file")" | grep -o '[a-zA-Z][^ ]*\.so[^ ]*'); do
			[ -e "$GUEST/$LIBRARIES/$needed" ] || [ -e "$GUEST/usr/lib/$needed" ] ||
				[ -e "${file%/*}/$needed" ] || {
				echo "${file#"$GUEST"} needs $needed"
				lost=1
			}
		done
	done
	return "$lost"
}

stage() {
	stage_packages
	stage_modules
	stage_suites
	check_libraries
	tar -C "$GUEST" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$BUILD/root.tar.new" .
	mv "$BUILD/root.tar.new" "$BUILD/root.tar"
	sha256sum <"$BUILD/root.tar" >"$BUILD/root.tar.stamp"
	ls -l "$BUILD/root.tar"
}

# once NAME STEP... - a step that is done only if it has not been with this recipe.
once() {
	local name=$1
	shift
	[ "$(cat "$BUILD/done/$name" 2>/dev/null)" != "$RECIPE" ] || return 0
	step "$@"
	echo "$RECIPE" >"$BUILD/done/$name"
}

main() {
	local network="check that the package mirror is in reach and run it again"
	local compiler="read the compiler's message above; the log has all of it"
	# What is built stays while the kernel is the same; the guest's files follow these lists.
	RECIPE="1 $(cat "$KIT/version")"
	mkdir -p "$BUILD/done"
	once source "copy the kernel's source" "free 2 GB of disk and run it again" copy_source
	once obj "copy the build directory for modules" "free 1 GB of disk and run it again" copy_build_directory
	once headers "make the kernel's headers" "$compiler" build_headers
	once seccomp "build the seccomp suite" "$compiler" build_seccomp
	once ftrace "build the ftrace suite" "$compiler" build_ftrace
	once kmods "build the BPF suite's modules" "$compiler" build_test_modules
	once samples "build ftrace's and kprobes' samples" "$compiler" build_samples
	once verifier "build test_verifier" "$compiler" build_bpf test_verifier
	once bpf "build test_progs (10 to 20 minutes)" "$compiler" build_bpf test_progs
	once short "build test_maps, test_tag" "$compiler" build_short
	RECIPE="$RECIPE $(cat "$HERE"/{packages.guest,modules.guest,build.sh} | sha256sum | cut -c1-16)"
	once debs "download the guest's packages" "$network" retry download_guest
	once stage "put the guest's files together" "read the message above" stage
}

main
