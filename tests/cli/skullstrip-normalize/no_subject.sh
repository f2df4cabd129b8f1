# What holds no subject: a table that lies beside the cohort's directories is bad input (65: a pipeline passes over it), an empty
# directory is missing input (66); both say what a subject would be.
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: \"$2\", want \"$3\""; fi; }
mkdir "$T/table" "$T/none"; echo id >"$T/table/survival_info.csv"
try() { skullstrip-normalize --scans "$T/$1" --manifest "$ROOT/manifests/brats-2018-2021.json" --out "$T/$1.out" 2>"$T/err"; }
try table; same "a file that is no subject's" "$?:$(grep -c 'no subject matches {subject}.*it holds survival_info.csv' "$T/err")" "65:1"
try none; same "nothing at all" "$?:$(grep -c 'is empty; {subject}.* would be a subject' "$T/err")" "66:1"
# Found again in a store, the output is what it was, and so is the status.
again() { skullstrip-normalize --scans "$T/table" --manifest "$ROOT/manifests/brats-2018-2021.json" --store "$T/store" --out "$T/again.$1" 2>"$T/err"; }
again 1; same "into a store" "$?:$(ls "$T/again.1")" "65:"
again 2; same "and found again there" "$?:$(grep -c '"event":"reused"' "$T/err"):$(grep -c 'no subject matches' "$T/err")" "65:1:1"
