# The real plugin, where it was built: what it exports and needs, and what it says on a machine without a driver or without a card.
cd "$T" || exit 2
P=$B/bin/libvoxtrail-cuda.so
if [ ! -f "$P" ]; then
	echo "skip - the CUDA plugin: it was not built (no nvcc, or CUDA=0)"
	exit 0
fi
[ "$(nm -D --defined-only "$P" | awk '{print $3}')" = voxtrail_backend ] && echo "ok - one symbol is exported" || echo "not ok - exports: $(nm -D --defined-only "$P")"
if ldd "$P" | grep -qE 'libcud|libnv'; then echo "not ok - links: $(ldd "$P")"; else echo "ok - neither driver, runtime nor cuDNN is linked"; fi
for stage in train predict evaluate; do
	ldd "$B/bin/$stage" | grep -qE 'libcud|libvoxtrail' && echo "not ok - $stage links the plugin or CUDA" || echo "ok - $stage links nothing of it"
done
export VOXTRAIL_PLUGIN="$P"
"$B/tests/device_probe" cuda >out 2>err
rc=$?
if [ $rc = 0 ]; then
	grep -q '"card":' out && echo "ok - a card is here: $(cat out)" || echo "not ok - $(cat out)"
	exit 0
fi
if grep -qE 'speaks version|other sources' err; then
	echo "skip - the CUDA plugin: the one in $B/bin is of another build"
	exit 0
fi
[ $rc = 75 ] && grep -qE 'device cuda: (the NVIDIA driver is (missing|too old)|no GPU|cuDNN|the GPU|the plugin holds no code)' err &&
	echo "ok - says what is missing: $(tail -n 1 err)" || echo "not ok - status $rc: $(cat err)"
stub=$(ls /usr/local/cuda/lib64/stubs/libcuda.so /usr/local/cuda/lib/stubs/libcuda.so 2>/dev/null | head -n 1)
if [ -n "$stub" ] && grep -q 'driver is missing' err; then
	ln -s "$stub" libcuda.so.1
	LD_LIBRARY_PATH=$PWD "$B/tests/device_probe" cuda >out 2>err
	[ $? = 75 ] && grep -q 'device cuda: no GPU: ' err && echo "ok - a driver without a card: $(tail -n 1 err)" || echo "not ok - $(cat err)"
fi
echo "skip - training on a card: there is none on this machine; \`make gpu-check\` does it where there is one"
exit 0
