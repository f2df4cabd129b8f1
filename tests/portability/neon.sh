# Limit: 1500 s
# The NEON kernels under qemu-user: the unit tests of convolutions and sessions, built by a cross compiler against nothing but the
# C library, which hold every table of kernels to the portable one's bits.  (arm64.sh builds the whole tree and compares
# checkpoints with x86-64's.)
set -u
skip() { echo "skip - NEON kernels: $1"; exit 0; }
case $B in */release) ;; *) skip "with the release build only" ;; esac
cc=aarch64-linux-gnu-gcc
command -v $cc >/dev/null 2>&1 || skip "needs $cc (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)"
command -v qemu-aarch64-static >/dev/null 2>&1 || skip "needs qemu-aarch64-static (qemu-user-static)"
cd "$ROOT" || exit 2
# gcc 12 dies of some reductions in its vectorizer: only the kernels have it, as in the Makefile
flags="-std=c11 -O2 -D_GNU_SOURCE -I. -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread"
# a source that needs a library's headers is none that these tests use
for f in common/base/*.c common/nn/*.c common/nn/cpu/*.c; do
	# shellcheck disable=SC2086
	case $f in
	common/nn/cpu/*) $cc $flags -Wall -Wextra -Werror -c "$f" -o "$T/$(basename "$f").o" || { echo "not ok - $f compiles for ARM64"; exit 1; } ;;
	*) $cc $flags -fno-tree-loop-vectorize -c "$f" -o "$T/$(basename "$f").o" 2>/dev/null ;;
	esac
done
echo "ok - the kernels compile for ARM64 without a warning"
aarch64-linux-gnu-ar rcs "$T/lib.a" "$T"/*.o
for t in test_nn_conv test_nn_session; do
	# shellcheck disable=SC2086
	$cc $flags -fno-tree-loop-vectorize -static "tests/unit/$t.c" "$T/lib.a" -lm -o "$T/$t" 2>"$T/log" || { echo "not ok - $t links for ARM64"; cat "$T/log"; continue; }
	qemu-aarch64-static "$T/$t" >"$T/$t.out" 2>&1
	rc=$?
	grep '^not ok' "$T/$t.out"
	[ $rc = 0 ] && ! grep -q '^not ok' "$T/$t.out" && grep -q '^ok' "$T/$t.out"
	if [ $? = 0 ]; then echo "ok - $t: $(grep -c '^ok' "$T/$t.out") cases with NEON and portable C"; else echo "not ok - $t under qemu-user"; fi
done
