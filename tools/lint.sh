#!/bin/sh
# lint.sh: what a reviewer would otherwise have to look for.  Prints one line a finding; exits 1 if there is any.
set -u
cd "$(dirname "$0")/.." || exit 2
found=$(mktemp) || exit 2
trap 'rm -f "$found"' EXIT
# Tracked files; in a tree without git, all that no build made.
files() {
	git -c safe.directory="$PWD" ls-files "$@" 2>/dev/null && return
	for pattern in "$@"; do find . \( -name .git -o -name build -o -name demo \) -prune -o -name "$pattern" -type f -print; done | sed 's,^\./,,' | sort
}
sources() { files '*.c' '*.h' '*.cu' '*.cuh'; }
[ -n "$(sources | head -n 1)" ] || { echo "lint: no sources found"; exit 2; }

rooms() {
	sources | while read -r f; do
		room=$(awk -v f="$f" '!/^#/ && NF && index(f, $1 "/") == 1 {print $1}' tools/rooms.txt)
		[ -n "$room" ] || { echo "$f: lies in no room of tools/rooms.txt"; continue; }
		allowed=" $(awk -v r="$room" '$1 == r' tools/rooms.txt | tr -s ' ') "
		sed -n 's/^# *include "\(.*\)".*/\1/p' "$f" | while read -r inc; do
			[ "$inc" = build_id.h ] && continue
			target=$(awk -v f="$inc" '!/^#/ && NF && index(f, $1 "/") == 1 {print $1}' tools/rooms.txt)
			[ -n "$target" ] || { echo "$f: include \"$inc\" is not written from the root"; continue; }
			case $allowed in *" $target "*) ;; *) echo "$f: room $room may not include $inc" ;; esac
		done
	done
}

# A third-party library's header stands in one file only; of OpenSSL, hashes in digest.c and keys in sign.c.
wrappers() {
	for h in nifti2_io.h znzlib.h sqlite3.h git2.h openssl/ cudnn libdeflate.h zlib.h yaml.h nccl.h; do
		users=$(sources | grep -v '^bench/\|^tests/\|^common/attest/sign.c' | xargs grep -lE "^# *include [<\"]$h" 2>/dev/null)
		[ "$(echo "$users" | grep -c .)" -le 1 ] || echo "<$h> is included by more than one file:" $users
	done
}

banned() {
	sources | grep -E '^(common|gpu|stages|pipelines)/' | xargs grep -nE \
		'\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|atof|gmtime|localtime|alloca|rand|srand)\(' /dev/null |
		sed 's/$/   (banned call)/'
	sources | grep -E '^(common|gpu)/' | grep -vE '^common/base/(log|buf)\.c|^common/stage/stage_main' |
		xargs grep -nE '\b(printf|fprintf|puts|fputs|perror|exit|_exit|abort)\(' /dev/null |
		grep -vE 'printf\(fp?|fprintf\(f|^[^:]*:[0-9]*: \*|fputs\([^,]*, f' | sed 's/$/   (only the log and main may print or exit)/'
	sources | grep -E '^common/(nn|image|seg)/' | xargs grep -nE \
		'[^_a-zA-Z](exp|log|tanh|sin|cos|pow|erf|expf|logf|tanhf|sinf|cosf|powf|erff)\(' /dev/null |
		grep -vE ':[0-9]+:[[:space:]]*(/?\*|.*/\*.*(exp|log|tanh|sin|cos|pow|erf)\()' | sed 's/$/   (use fmath.h)/'
}

# Every header compiles alone.
# CUDA's and another architecture's headers are not on every machine.
headers() {
	files '*.h' | grep -vE '^(tests/)?gpu/|build_id.h' | while read -r h; do
		grep -q '<arm_neon.h>' "$h" && [ "$(uname -m)" != aarch64 ] && continue
		echo "#include \"$h\"" | ${CC:-gcc} $CPPFLAGS -std=c11 -Wall -Wextra -Werror -Wno-unused-function -fsyntax-only -x c - 2>/dev/null ||
			echo "$h: does not compile alone"
	done
}

# What the other compiler warns of, in what every machine compiles.
clang_warnings() {
	command -v clang >/dev/null 2>&1 || { echo "lint: clang's warnings not checked: no clang" >&2; return; }
	files '*.c' | grep -vE '^(tests/)?gpu/|^tests/cli/|_(avx2|avx512|vnni|shani|neon)\.c$|build_id.c$' |
		xargs -P "$(nproc)" -n 40 clang $CPPFLAGS ${WARN-} -std=c11 -fsyntax-only 2>&1 |
		sed -n 's/: \(warning\|error\): /: clang: /p'
}

# A tab is eight columns.
columns() {
	sources | while read -r f; do
		expand -t 8 "$f" | awk -v f="$f" 'length($0) > 100 {print f ":" NR ": " length($0) " columns (100)"}'
	done
}

# .clang-format is written for version 14, whose Debian name ends in it where another is the default.
format() {
	for tool in clang-format-14 clang-format; do
		case $($tool --version 2>/dev/null) in *'version 14.'*) break ;; esac
		tool=
	done
	[ -n "$tool" ] || { echo "lint: format not checked: no clang-format 14" >&2; return; }
	sources | grep -v build_id.h | xargs "$tool" --dry-run 2>&1 | sed -n 's/^\([^ :]*:[0-9]*\):.*clang-format-violations.*/\1: not as clang-format writes it/p'
}

# American spelling, in code and text.  opts.c and its test know what other tools call an option.
spelling() {
	git ls-files '*.c' '*.h' '*.cu' '*.py' '*.sh' '*.md' '*.json' '*.yaml' Makefile '*.mk' |
		grep -vE '^CHANGELOG|^common/base/opts.c|^common/seg/(learned_mask|published).[ch]|^tests/unit/test_base.c|^tools/lint.sh' | xargs grep -nEi \
		'(normal|general|central|optim|recogn|final|initial|standard|maxim|sanit|synchron|serial|organ|summar)is(e|ed|es|er|ing|ation)\b|\b(colour|neighbour|behaviour|honour|favour|centre|millimetre|oedema|artefact|catalogue|labelled|travelled|cancelled|modelled)' /dev/null |
		sed 's/^\([^:]*:[0-9]*\):.*/\1: British spelling/'
}

# A function's body begins and ends with a brace of its own in the first column.
sizes() {
	sources | xargs wc -l | awk '$2 != "total" && $1 > 650 {print $2 ": " $1 " lines; split it by concept (650)"}'
	sources | xargs awk '
		$0 == "{" { begin = FNR }
		$0 == "}" && begin { if (FNR - begin > 61) print FILENAME ":" begin ": a function of " FNR - begin - 1 " lines (60)"; begin = 0 }'
}

# Circles inside a room, functions that no other file names, ?: inside ?:.
source_checks() {
	command -v ctags >/dev/null 2>&1 && command -v python3 >/dev/null 2>&1 || { echo "lint: circles, dead exports and nested ?: not checked: no ctags or python3" >&2; return; }
	python3 tools/lint_source.py
}

# What README and docs/ name is there: links, files, tests, flags.
documents() {
	command -v python3 >/dev/null 2>&1 || { echo "lint: documents not checked: no python3" >&2; return; }
	python3 tools/lint_docs.py
}

{ rooms; wrappers; banned; headers; clang_warnings; columns; format; spelling; sizes; source_checks; documents; } >"$found"
sort -u "$found"
if [ -s "$found" ]; then
	echo "lint: $(sort -u "$found" | wc -l) findings"
	exit 1
fi
echo "lint: clean"
