# What ptxas says of every kernel for every architecture that was built: no more than 128 registers, so that two blocks of 256 fit
# into a multiprocessor, and nothing in local memory but a few bytes in kernels that are not bound by memory.
U=$B/obj/gpu/kernel/launch.cu.o.usage
if [ ! -s "$U" ]; then
	echo "skip - registers of every kernel: the plugin was not built"
	exit 0
fi
awk '
function allowed(k) { # bytes of stack: divisions in f64 and windows that a call or a branch splits
	return k ~ /norm_back/ ? 160 : k ~ /coefficients/ ? 64 : k ~ /maxpool_back|pairs|loss_sums|sums/ ? 32 : 0
}
/Compiling entry function/ {
	split($0, part, "\047")
	kernel = part[2] " for " part[4]
	n++
}
/bytes stack frame/ && $1 > allowed(kernel) { print "not ok - " kernel ": " $0; bad = 1 }
/Used [0-9]+ registers/ {
	for (i = 1; i < NF; i++)
		if ($i == "Used") {
			most = $(i + 1) > most ? $(i + 1) : most
			if ($(i + 1) > 128) { print "not ok - " kernel ": " $(i + 1) " registers"; bad = 1 }
		}
}
END {
	if (!n) print "not ok - registers: nothing was read"
	else if (!bad) print "ok - " n " kernels: at most " most " registers, no spills where memory is the bound"
}' "$U"
