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
