# Calls of the CUDA runtime and cuDNN that fail, one at a time, on the checked stand-in: training and prediction end with
# a message and the right status, or go on with the same bits, and leave nothing.  `make gpu-faults` tries every call.
P=$B/tests/libvoxtrail-mock.so
if [ ! -f "$P" ]; then
	echo "skip - calls of the CUDA runtime that fail: the stand-in was not built (no nvcc, or CUDA=0)"
	exit 0
fi
LD_LIBRARY_PATH=$B/tests/mock GPU_PLUGIN=$P exec "$B/tests/gpu_faults" 7 40
