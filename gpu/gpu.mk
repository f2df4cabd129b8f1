# The CUDA plugin and its stand-in on the host; included by the Makefile.

EMULATE_C := $(wildcard tests/gpu/emulate*.c)
# A plugin but for its device, which is EMULATE_C's or what needs the toolkit; the sessions on any device.
GPU_C     := $(wildcard gpu/engine/*.c) gpu/cuda/plugin.c
SESSION_C := $(wildcard gpu/engine/engine*.c)
EMULATED  := $B/tests/libvoxtrail-emulated.so

# Nothing of a plugin is seen from outside but voxtrail_backend.
$(call objects,$(GPU_C) $(EMULATE_C)): ISA := -fvisibility=hidden
$(EMULATED): $(call objects,$(GPU_C) $(EMULATE_C)) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,--exclude-libs,ALL -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS_ALL)
tests-built: $(EMULATED)

# --- what needs the CUDA toolkit's headers -----------------------------------------------------------------------------------
CUDA_HOME ?= $(firstword $(wildcard $(if $(NVCC),$(abspath $(dir $(NVCC))..)) /usr/local/cuda))
CUDNN_INC := $(firstword $(patsubst %/cudnn.h,%,$(wildcard $(CUDA_HOME)/include/cudnn.h /usr/local/include/cudnn.h /usr/include/cudnn.h)))
CUDA_INC  := $(if $(CUDNN_INC),-isystem $(CUDNN_INC)) -isystem $(CUDA_HOME)/include

# Plans a GPU's engines without the GPU; needs cuDNN's headers, and its library when it runs.
CUDNN_C   := gpu/cuda/convolution.c gpu/cuda/cudnn_library.c
GPU_PLANS_C := tests/gpu/gpu_plans.c tests/gpu/plan_device.c $(CUDNN_C) $(SESSION_C)
$(call objects,$(CUDNN_C)): CPPFLAGS_ALL += $(CUDA_INC)
$B/tests/gpu_plans: $(call objects,$(GPU_PLANS_C)) $(LIB)
$B/tests/gpu_card: $(call objects,tests/gpu/gpu_card.c $(CUDNN_C) gpu/engine/engine_plan.c) $(LIB)
$B/tests/gpu_large: $(call objects,tests/gpu/gpu_large.c) $(LIB)
tests-built: $B/tests/gpu_large
ifneq ($(CUDNN_INC),)
tests-built: $B/tests/gpu_plans $B/tests/gpu_card
endif

# Counts what a step moves, without a GPU or a library.
GPU_COUNT_C := tests/gpu/traffic.c $(SESSION_C)
$B/tests/gpu_traffic: $(call objects,tests/gpu/gpu_traffic.c $(GPU_COUNT_C)) $(LIB)
tests-built: $B/tests/gpu_traffic

# --- on a machine with a GPU, one command each; B is the build folder --------------------------------------------------------------
gpu-check: tests-built plugin $B/bench/gpu_step
	@B=$B sh tests/gpu/check.sh
gpu-bench: tests-built plugin all $B/bench/gpu_step $B/bench/gpu_volume
	@B=$B sh bench/gpu/run.sh

# --- the plugin: only launch.cu is compiled by nvcc; the runtime is linked in, cuDNN and the driver are found when it runs --------
# --fmad=false: a fused multiply-add stands only where the source says fmaf, as on the host.
# GPU_ARCHS: machine code for these; the last also as PTX, which a driver compiles for GPUs that come later (86 and 89 run 80).
GPU_ARCHS ?= 80 90
PLUGIN    := $B/bin/libvoxtrail-cuda.so
CUDART    := $(firstword $(wildcard $(CUDA_HOME)/lib64/libcudart_static.a $(CUDA_HOME)/lib/libcudart_static.a))
NVCCFLAGS := -std=c++17 -O3 -I. --fmad=false -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra -Werror all-warnings --threads 2 \
	$(foreach a,$(GPU_ARCHS),-gencode arch=compute_$a,code=sm_$a) \
	-gencode arch=compute_$(lastword $(GPU_ARCHS)),code=compute_$(lastword $(GPU_ARCHS))
CUDA_C    := $(GPU_C) gpu/cuda/cuda.c $(CUDNN_C) gpu/cuda/nccl.c
NCCL_INC  := $(firstword $(patsubst %/nccl.h,%,$(wildcard $(CUDA_HOME)/include/nccl.h /usr/local/include/nccl.h /usr/include/nccl.h)))
$(call objects,gpu/cuda/nccl.c): CPPFLAGS_ALL += $(if $(NCCL_INC),-isystem $(NCCL_INC)) $(CUDA_INC)
$(call objects,gpu/cuda/cuda.c): CPPFLAGS_ALL += $(CUDA_INC)
$(call objects,gpu/cuda/cuda.c $(CUDNN_C) gpu/cuda/nccl.c): ISA := -fvisibility=hidden

# --keep and -v: its PTX and what ptxas says of each kernel stay, for the tests.
$B/obj/gpu/kernel/launch.cu.o: gpu/kernel/launch.cu $(wildcard gpu/kernel/*.h) $B/nvcc-flags
	$(call say,NVCC,$< ($(GPU_ARCHS)))
	@mkdir -p $(@D)/keep
	$(Q)$(NVCC) $(NVCCFLAGS) --keep --keep-dir $(@D)/keep -Xptxas -v -c -o $@ $< 2>$@.usage || { cat $@.usage >&2; exit 1; }
$B/nvcc-flags: FORCE
	@mkdir -p $(@D); echo '$(NVCC) $(NVCCFLAGS)' | cmp -s - $@ || echo '$(NVCC) $(NVCCFLAGS)' >$@
$(PLUGIN): $(call objects,$(CUDA_C)) $B/obj/gpu/kernel/launch.cu.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,--exclude-libs,ALL -o $@ $(filter %.o,$^) $(LIB) $(CUDART) $(LDLIBS_ALL) -lrt -lstdc++

# --- what nvcc made of the kernels, run by an interpreter of PTX on a machine without a GPU (tests/gpu/ptx.h) ----------------------
comma      := ,
PTX_C      := $(filter-out tests/gpu/ptx_device.c tests/gpu/ptx_runtime.c,$(wildcard tests/gpu/ptx_*.c))
PTX_PLUGIN := $B/tests/libvoxtrail-ptx.so
PTX_HOST_C := $(GPU_C) $(EMULATE_C) tests/gpu/ptx_device.c tests/gpu/ptx_runtime.c $(PTX_C)
$(PTX_PLUGIN): $(call objects,$(PTX_HOST_C)) $B/obj/gpu/kernel/launch.cu.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,--exclude-libs,ALL -Wl,-z,nodelete \
		$(patsubst %,-Wl$(comma)--wrap=%,vg_device_open vg_link_open vg_emulate_kernel vg_emulate_conv) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS_ALL) -lstdc++
$(call objects,$(filter tests/%,$(PTX_HOST_C))): ISA := -fvisibility=hidden
$B/tests/test_ptx: $(call objects,$(PTX_C))
$B/tests/far_kernels: $(call objects,tests/gpu/far_kernels.c tests/gpu/ptx_runtime.c $(PTX_C)) $B/obj/gpu/kernel/launch.cu.o $(LIB)
$B/tests/far_kernels: LDLIBS_ALL += -lstdc++
ifeq ($(CUDA),1)
tests-built: $(PTX_PLUGIN) $B/tests/far_kernels
endif

ifneq ($(and $(CUDNN_INC),$(CUDART)),)
plugin: $(PLUGIN)
else
plugin:
	@echo 'the plugin is left out: cudnn.h or libcudart_static.a was not found'
endif

# --- the plugin's own host code without a GPU: launch.cu, cuda.c and convolution.c over a checked stand-in for the runtime and cuDNN.
# It lies as libcudnn.so.9 in a folder of its own, where the plugin's run path leads; libcuda.so.1 is there to be found.
MOCK      := $B/tests/libvoxtrail-mock.so
MOCK_DIR  := $B/tests/mock
MOCK_C    := $(wildcard tests/gpu/mock/*.c) tests/gpu/emulate_kernels.c
$(call objects,$(wildcard tests/gpu/mock/*.c)): CPPFLAGS_ALL += $(if $(NCCL_INC),-isystem $(NCCL_INC)) $(CUDA_INC)
$(MOCK_DIR)/libcuda.so.1: $B/flags
	@mkdir -p $(@D)
	$(Q)echo 'int cuInit(unsigned f) { return (int)f; }' | $(CC) -shared -fPIC -Wl,-soname,libcuda.so.1 -x c -o $@ -
$(MOCK_DIR)/libcudnn.so.9: $(call objects,$(MOCK_C)) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,-soname,libcudnn.so.9 -Wl,--exclude-libs,ALL -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS_ALL)
$(MOCK_DIR)/libnccl.so.2: $(MOCK_DIR)/libcudnn.so.9
	$(Q)ln -sf libcudnn.so.9 $@
$(MOCK): $(call objects,$(CUDA_C)) $B/obj/gpu/kernel/launch.cu.o $(LIB) $(addprefix $(MOCK_DIR)/,libcudnn.so.9 libcuda.so.1 libnccl.so.2)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,--exclude-libs,ALL -Wl,-rpath,'$$ORIGIN/mock' -o $@ $(filter %.o,$^) $(LIB) $(MOCK_DIR)/libcudnn.so.9 $(LDLIBS_ALL) -lstdc++
ifneq ($(and $(filter 1,$(CUDA)),$(CUDNN_INC)),)
tests-built: $(MOCK) $B/tests/gpu_faults $B/bench/gpu_step $B/bench/gpu_volume
endif
$B/tests/gpu_faults: $(call objects,tests/gpu/gpu_faults.c) $(LIB)

# Every call of the runtime and of cuDNN made to fail, in every plausible way; minutes.
gpu-faults: tests-built
	@GPU_PLUGIN=$(MOCK) $B/tests/gpu_faults 1
.PHONY: gpu-faults

install: install-plugin
install-plugin: all
	@if [ $(CUDA) = 1 ] && [ -f $(PLUGIN) ]; then \
		install -d '$(DESTDIR)$(PREFIX)/lib/voxtrail' && install -m 755 $(PLUGIN) '$(DESTDIR)$(PREFIX)/lib/voxtrail'; fi
.PHONY: install-plugin
