# The CUDA plugin and its stand-in on the host; included by the Makefile.

GPU_C     := gpu/plugin.c gpu/engine.c gpu/engine_forward.c gpu/engine_backward.c gpu/arena.c
EMULATED  := $B/tests/libvoxtrail-emulated.so

# Nothing of a plugin is seen from outside but voxtrail_backend.
$(call objects,$(GPU_C) gpu/emulate.c): ISA := -fvisibility=hidden
$(EMULATED): $(call objects,$(GPU_C) gpu/emulate.c) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,--exclude-libs,ALL -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS_ALL)
tests-built: $(EMULATED)

# --- what needs the CUDA toolkit's headers -----------------------------------------------------------------------------------
CUDA_HOME ?= $(firstword $(wildcard $(if $(NVCC),$(abspath $(dir $(NVCC))..)) /usr/local/cuda))
CUDNN_INC := $(firstword $(patsubst %/cudnn.h,%,$(wildcard $(CUDA_HOME)/include/cudnn.h /usr/local/include/cudnn.h /usr/include/cudnn.h)))
CUDA_INC  := $(if $(CUDNN_INC),-isystem $(CUDNN_INC)) -isystem $(CUDA_HOME)/include

# Plans a card's engines without the card; needs cuDNN's headers, and its library when it runs.
GPU_PLANS_C := tests/gpu/gpu_plans.c gpu/plan_device.c gpu/convolution.c $(filter gpu/engine%.c gpu/arena.c,$(GPU_C))
$(call objects,gpu/convolution.c): CPPFLAGS_ALL += $(CUDA_INC)
$B/tests/gpu_plans: $(call objects,$(GPU_PLANS_C)) $(LIB)
ifneq ($(CUDNN_INC),)
tests-built: $B/tests/gpu_plans
endif
