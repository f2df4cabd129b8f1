# _five_stages.sh PREFIX MANIFEST: a cohort of two phantoms and the five stages on it, and predict, in the current folder.
# PREFIX stands before each program's name: a folder ("/usr/bin/"), or an emulator and a folder.  Leaves `digests`: those of
# everything computed, without the records (which name the programs' own bytes).  UNTIL=train: no further.
set -eu
prefix=$1 manifest=$2
say() { "$@" >log 2>&1 || { echo "failed: $*"; tail -n 5 log; exit 1; }; }
# shellcheck disable=SC2086
{
	say ${prefix}make-cohort --out cohort --subjects 2 --seed 3
	say ${prefix}skullstrip-normalize --scans cohort/scans --manifest "$manifest" --out normed
	say ${prefix}crop-patch --normed normed --labels cohort/labels --manifest "$manifest" --out patches
	say ${prefix}train --patches patches --network '{"init_filters":8}' --patch 16 --steps 2 --validate-every 2 --max-validation 1 --fold=-1 \
		--out model
	[ "${UNTIL:-}" = train ] || say ${prefix}evaluate --model model --patches patches --subjects all --overlap 0 --bootstrap 0 --out metrics
	[ "${UNTIL:-}" = train ] || say ${prefix}export --model model --metrics metrics --out exported
}
find . -mindepth 2 -name .lineage -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum >digests
