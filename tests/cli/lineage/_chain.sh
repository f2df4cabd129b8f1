# A chain of real stages small enough for a command's test: make_chain DIR [SUBJECTS] leaves scans, labels, normed, crop and
# train below DIR, each the output of a stage with its .lineage, made without a store.
make_chain() {
	mkdir -p "$1" && make-cohort --out "$1/cohort" --subjects "${2:-3}" --seed 5 --coarse >/dev/null 2>&1 || return 1
	mv "$1/cohort/scans" "$1/scans" && mv "$1/cohort/labels" "$1/labels" || return 1
	skullstrip-normalize --scans "$1/scans" --manifest "$ROOT/manifests/embedded.json" --spacing 4 --out "$1/normed" >/dev/null 2>&1 || return 1
	crop-patch --normed "$1/normed" --labels "$1/labels" --manifest "$ROOT/manifests/embedded.json" --out "$1/crop" >/dev/null 2>&1 || return 1
	train --patches "$1/crop" --network '{"init_filters":8}' --patch 16 --steps 2 --validate-every 2 --max-validation 1 --fold 1 --out "$1/train" >/dev/null 2>&1
}
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; [ -f said ] && tail -n 3 said; fi; }
