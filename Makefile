# Voxtrail: one makefile, no recursion.  `make help` lists the targets.
#
#   MODE=release|asan|tsan|cover   which build under build/ (default release)
#   CUDA=0|1                       build the GPU plugin (default: 1 where nvcc is found)
#   CC=gcc|clang   V=1 (show commands)   WERROR=1 (warnings are errors)
#   DEPS=0                         do not ask dpkg for packages: the libraries come from elsewhere
#   CC=aarch64-linux-gnu-gcc PKG_CONFIG=aarch64-linux-gnu-pkg-config      for another architecture

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := default

CC      = gcc
AR      = $(if $(filter %-gcc,$(CC)),$(CC)-ar,gcc-ar)
MODE    ?= release
PREFIX  ?= /usr/local
DESTDIR ?=
V       ?= 0
Q       := $(if $(filter 1,$(V)),,@)
B       := build/$(MODE)
say      = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' '$(1)' '$(2)')

# --- packages -------------------------------------------------------------------------------------------------------
# This file is read again after packages were installed: whatever is found out about the machine below (flags, nvcc,
# architecture) is found out with the packages there.  Sets of packages by goal: tools/deps.sh.
DEPS  ?= 1
GOALS := $(or $(MAKECMDGOALS),default)
NEEDS := $(if $(filter-out help clean,$(GOALS)),build) $(if $(filter clang%,$(CC)),clang) \
         $(if $(filter test% asan gpu-% deps deps-test,$(GOALS)),test) $(if $(filter lint,$(GOALS)),lint) \
         $(if $(filter deb,$(GOALS)),deb) $(if $(filter deps-torch,$(GOALS)),torch) \
         $(if $(filter test-portability,$(GOALS)),portability)
DRY   := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
ifneq ($(and $(filter build,$(NEEDS)),$(filter 1,$(DEPS)),$(if $(DRY),,1)),)
include build/packages.mk
endif
build/packages.mk: FORCE
	@mkdir -p $(@D); [ -e $@ ] || : >$@
	@sh tools/deps.sh --stamp $@ $(NEEDS)

# --- the machine ----------------------------------------------------------------------------------------------------
PKG_CONFIG ?= pkg-config
ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
NVCC ?= $(shell command -v nvcc 2>/dev/null)
NVCC := $(NVCC)
CUDA ?= $(if $(NVCC),1,0)
$(if $(filter 1,$(CUDA)),$(if $(NVCC),,$(error CUDA=1: nvcc is not on PATH; install the CUDA toolkit, or say NVCC=/path/to/nvcc)))

WARN := -Wall -Wextra -Wshadow -Wvla -Wundef -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wformat=2 $(if $(filter 1,$(WERROR)),-Werror)
OPT_release := -O3 -g
OPT_asan    := -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g1 -fsanitize=thread -fno-omit-frame-pointer
OPT_cover   := -O0 -g --coverage
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# What a release build does against a memory error that got past everything else; tests/cli/install/hardening.py reads it back
# from the built files.  HARDEN= leaves it out.
CFI_x86_64  := -fcf-protection=full
CFI_aarch64 := -mbranch-protection=standard
HARDEN_release  := -fstack-protector-strong -fstack-clash-protection $(CFI_$(ARCH)) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
HARDEN_link     := -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
HARDEN      := $(HARDEN_$(MODE))
OPT  := $(OPT_$(MODE)) $(HARDEN)
$(if $(OPT),,$(error MODE=$(MODE): use release, asan, tsan, cover or fuzz (clang)))

PKGS := sqlite3 libcrypto zlib libdeflate libgit2 yaml-0.1
NIFTI_INC ?= -I/usr/include/nifti
NIFTI_LIB ?= -lnifti2 -lznz
# -ffp-contract=off: a fused multiply-add stands only where the source says fma, so every compiler gives the same bits.
CPPFLAGS_ALL := -I. -D_GNU_SOURCE $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null) $(NIFTI_INC) $(CPPFLAGS)
CFLAGS_ALL   := -std=c11 $(OPT) $(WARN) -fPIC -pthread -ffp-contract=off -fno-math-errno -fno-trapping-math $(CFLAGS)
LDLIBS_ALL   := -Wl,--as-needed $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) $(NIFTI_LIB) -ldl -lm -pthread $(LDLIBS)
LDFLAGS_ALL  := $(OPT) $(if $(HARDEN),$(HARDEN_link)) $(LDFLAGS)
FLAGS_NOW    := $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(LDLIBS_ALL)

# --- sources: found, never listed -----------------------------------------------------------------------------------
LIB_C    := $(wildcard common/*/*.c common/nn/cpu/*.c)
STAGES   := $(patsubst stages/%.c,%,$(wildcard stages/*.c))
TOOL_C   := $(wildcard pipelines/*/*.c)
COHORT_C := $(wildcard examples/cohort/*.c)
UNIT     := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
TOOLS_T  := $(patsubst tests/tools/%.c,%,$(wildcard tests/tools/*.c))
BENCH    := $(patsubst bench/%.c,%,$(wildcard bench/*.c))
LIB      := $B/libvoxtrail.a
BINS     := $(STAGES:%=$B/bin/%) $(if $(TOOL_C),$B/bin/voxtrail) $(if $(COHORT_C),$B/bin/make-cohort)
objects   = $(1:%=$B/obj/%.o)

# Kernels for one instruction set live in files of their own; nothing else is compiled beyond the architecture's baseline.
ifeq ($(ARCH),x86_64)
$B/obj/%_avx2.c.o:   ISA := -mavx2 -mfma -mf16c
$B/obj/%_avx512.c.o: ISA := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c
$B/obj/%_vnni.c.o:   ISA := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c
# Instructions made of halves, which -O3 unrolls for most of a minute.
$B/obj/tests/unit/test_nn_wide_avx2.c.o: ISA := -mavx2 -mfma -mf16c $(if $(filter release,$(MODE)),-O2)
$B/obj/%_shani.c.o:  ISA := -msha -msse4.1 -mssse3
endif
# gcc 12 for ARM64 dies of some reductions in its vectorizer (internal compiler error); the kernels' own it compiles.
ifeq ($(ARCH)-$(shell $(CC) -dumpversion 2>/dev/null),aarch64-12)
CFLAGS_ALL += -fno-tree-loop-vectorize
$B/obj/common/nn/cpu/%.c.o: ISA := -ftree-loop-vectorize
endif

.PHONY: default all help demo test test-quick lint bench install deps deps-test clean fuzz asan gpu-check gpu-bench FORCE
# On all processors, unless the command line says how many.
jobs        = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
in_parallel = +@$(MAKE) --no-print-directory $(jobs)
default:
	$(in_parallel) all
# What takes longest to compile comes first: no processor waits for it at the end.
LONG_C   := $(wildcard common/nn/cpu/kernels_*.c)
LONG_T   := tests/unit/test_nn_wide_avx2.c tests/gpu/emulate_kernels.c
all: $(call objects,$(LONG_C)) $(BINS) $(if $(filter 1,$(CUDA)),plugin)

$B/flags: FORCE
	@mkdir -p $(@D); echo '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || echo '$(subst ','\'',$(FLAGS_NOW))' >$@

$B/obj/%.c.o: %.c $B/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(ISA) -MMD -MP -c -o $@ $<

# Which commit a binary was built from, for the record; rewritten only when it changes.
$B/obj/common/stage/build_id.h: FORCE
	@mkdir -p $(@D); sh tools/build_id.sh | cmp -s - $@ || sh tools/build_id.sh >$@
$B/obj/common/stage/build_id.c.o: $B/obj/common/stage/build_id.h
$B/obj/common/stage/build_id.c.o: CPPFLAGS_ALL += -I$B/obj/common/stage

$(LIB): $(call objects,$(LIB_C))
	$(call say,AR,$@)
	$(Q)rm -f $@; $(AR) rcsD $@ $^

$(STAGES:%=$B/bin/%): $B/bin/%: $B/obj/stages/%.c.o $(LIB)
$B/bin/voxtrail: $(call objects,$(TOOL_C)) $(LIB)
$B/bin/make-cohort: $(call objects,$(COHORT_C)) $(LIB)
$(UNIT:%=$B/tests/%): $B/tests/%: $B/obj/tests/unit/%.c.o $(LIB)
$(TOOLS_T:%=$B/tests/%): $B/tests/%: $B/obj/tests/tools/%.c.o $(LIB)
$B/tests/glob_vectors $B/tests/yaml_json: $(call objects,$(wildcard pipelines/spec/*.c pipelines/runner/*.c))
# One program for every fuzz target; libFuzzer brings a main of its own.
FUZZ_C   := $(filter-out $(if $(filter fuzz,$(MODE)),tests/fuzz/standalone.c),$(wildcard tests/fuzz/*.c))
$B/tests/fuzz_parsers: $(call objects,$(FUZZ_C) $(wildcard pipelines/spec/*.c pipelines/runner/*.c pipelines/emit/*.c) pipelines/tool/tensor_diff.c) $(LIB)
$(if $(filter fuzz,$(MODE)),$B/tests/fuzz_parsers: LDFLAGS_ALL += -fsanitize=fuzzer)
$(BENCH:%=$B/bench/%): $B/bench/%: $B/obj/bench/%.c.o $(LIB)
define link
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS_ALL)
endef
$B/bin/%:
	$(link)
$B/tests/%:
	$(link)
$B/bench/%:
	$(link)

-include $(wildcard gpu/gpu.mk)
-include $(shell find $B/obj -name '*.d' 2>/dev/null)

# The packages themselves are seen to above, before anything is built.
deps deps-test deps-torch:
	@:
.PHONY: deps-torch

# --- everyday targets -----------------------------------------------------------------------------------------------
help:
	@sed -n 's/^#h //p' Makefile
#h make              build everything, on all processors, into build/release/bin
#h make demo         whole pipeline on the embedded cohort: data, training, scores, report, lineage
#h make test         every test; ends with "N passed, N failed, N skipped"
#h make test-quick   unit and command-line tests only
#h make test-portability   emitted CWL and Snakefile under cwltool and snakemake; ARM64 under qemu-user; stages under memcheck
#h make deps-torch         Debian's PyTorch, for the tests that run it beside ours (230 MB)
#h make test-specs         every committed spec with its own kind of network (minutes)
#h make lint         rooms, stand-alone headers, clang's warnings, circles, banned calls, format, spelling, sizes, names in documents
#h make docs         docs/stages from the stages' own tables
#h make asan         the tests under AddressSanitizer and UBSan      make fuzz   fuzz targets, FUZZ_SECONDS each
#h make bench        timings against the peers (opt-in, minutes)     make gpu-check, gpu-bench   on a machine with a GPU
#h make install DESTDIR= PREFIX=/usr/local      make deb   a Debian package      make clean
#h make sbom   SPDX and CycloneDX documents      make release KEY=FILE   deb and SBOM in one directory, signed

tests-built: $(call objects,$(LONG_T) $(LONG_C)) $(BINS) $(UNIT:%=$B/tests/%) $(TOOLS_T:%=$B/tests/%) $B/tests/fuzz_parsers $(BENCH:%=$B/bench/%) $(if $(filter 1,$(CUDA)),plugin)
.PHONY: tests-built plugin
test:
	$(in_parallel) tests-built
	@B=$B sh tests/run unit oracle cli corrupt hostile repro e2e
test-quick:
	$(in_parallel) tests-built
	@B=$B sh tests/run unit cli
# Emitted files under the engines they were emitted for (cwltool and snakemake are a gigabyte of packages).
test-portability:
	$(in_parallel) tests-built
	@B=$B sh tests/run portability
.PHONY: test-portability
# The committed specs with the networks they are for; minutes.
test-specs:
	$(in_parallel) tests-built
	@B=$B SIZE=full ONLY=specs sh tests/run e2e
.PHONY: test-specs
asan:
	$(in_parallel) MODE=asan CUDA=0 tests-built
	@B=build/asan sh tests/run unit cli corrupt hostile
demo:
	$(in_parallel) all
	@B=$B sh examples/demo.sh
lint:
	@CC='$(CC)' CPPFLAGS='$(CPPFLAGS_ALL)' WARN='$(WARN)' sh tools/lint.sh
# A page a stage, from its own tables.
docs: $(STAGES:%=$B/bin/%)
	@mkdir -p docs/stages; for s in $(STAGES); do $B/bin/$$s --describe=markdown >docs/stages/$$s.md; done
.PHONY: docs
bench: all $(BENCH:%=$B/bench/%)
	@B=$B sh bench/run.sh
fuzz:
	@sh tests/fuzz/run.sh

# Whatever the umask is, others can read what is installed.
install: all
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 $(BINS) '$(DESTDIR)$(PREFIX)/bin'
	@sh tools/install_tree.sh '$(DESTDIR)$(PREFIX)/share/voxtrail' manifests pipelines/recipes examples/cohort/template $(wildcard pipelines/*.json)
	@sh tools/install_tree.sh '$(DESTDIR)$(PREFIX)/share/doc/voxtrail' README.md CHANGELOG.md LICENSE $(wildcard docs/*)

deb:
	+@sh tools/deb.sh '$(MAKE) $(jobs)' $B
.PHONY: deb

# What the programs consist of (SPDX and CycloneDX), and with KEY=FILE everything of a release in one signed directory.
sbom: all
	@python3 tools/sbom.py $B/bin $B/release
release: deb sbom
	@cp $$(ls -t $B/voxtrail_*.deb | head -n 1) $B/release
	@[ -z '$(KEY)' ] || B=$B sh tools/sign_release.sh $B/release '$(KEY)'
	@ls $B/release
.PHONY: sbom release

clean:
	rm -rf build
