# Limit: 3600 s
# The Dockerfile's cpu image, built by buildah on a bare Debian of this machine's mirror instead of the registry's, and the stages run
# from it as the user it names.  SUITE=bookworm|trixie; BARE_ROOT=DIR is a bare root made before.
set -u
SUITE=${SUITE:-bookworm}
skip() { echo "skip - the image of the Dockerfile on a bare Debian ($SUITE): $1"; exit 0; }
[ "$(id -u)" = 0 ] || skip "needs root"
command -v buildah >/dev/null 2>&1 || skip "needs buildah"
[ -n "${BARE_ROOT:-}" ] || command -v mmdebstrap >/dev/null 2>&1 || skip "needs mmdebstrap"
git -C "$ROOT" rev-parse HEAD >/dev/null 2>&1 || skip "needs a git checkout"
case $SUITE in bookworm) debian=12 ;; trixie) debian=13 ;; *) skip "no such suite" ;; esac
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
where=$(mktemp -d /var/tmp/voxtrail-image.XXXXXX) || exit 2
trap 'rm -rf --one-file-system "$where"' EXIT
trap 'exit 143' INT TERM
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; tail -n 20 "$T/log"; fi; }
image() { verb=$1; shift; buildah --root "$where/store" --runroot "$where/run" --storage-driver vfs "$verb" "$@"; }
export BUILDAH_ISOLATION=chroot

# --- the base: a root file system under the registry's names --------------------------------------------------------------
mkdir "$T/lists" "$where/tree"
for f in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list; do
	[ -s "$f" ] && sed "s/\\b$codename\\b/$SUITE/g; s/\\b$codename-/$SUITE-/g" "$f" >"$T/lists/${f##*/}"
done
if [ -n "${BARE_ROOT:-}" ]; then
	tar -C "$BARE_ROOT" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -cf "$where/base.tar" .
else
	mmdebstrap --quiet --variant=minbase --include=ca-certificates "$SUITE" "$where/base.tar" "$T"/lists/* >"$T/log" 2>&1 ||
		{ tail -n 3 "$T/log"; skip "no root could be made of it from this machine's mirror"; }
fi
base=$(image from scratch) && image add -q "$base" "$where/base.tar" / >"$T/log" 2>&1 &&
	for f in /etc/apt/apt.conf.d/*prox*; do [ ! -f "$f" ] || image copy -q "$base" "$f" /etc/apt/apt.conf.d/; done >"$T/log" 2>&1 &&
	image commit -q "$base" docker.io/library/debian:$debian >"$T/log" 2>&1 || skip "buildah does not work here: $(tail -n 1 "$T/log")"
image tag docker.io/library/debian:$debian docker.io/library/debian:$debian-slim

# --- the image, from a clone: what git does not track is no part of it ------------------------------------------------------
git clone -q --no-hardlinks "$ROOT" "$where/tree"
image build --pull-never --network host --build-arg DEBIAN=$debian --target cpu -t voxtrail "$where/tree" >"$T/log" 2>&1; ok $? "$SUITE: the image is built"
c=$(image from --pull-never voxtrail 2>"$T/log")
inside() { image run "$c" -- "$@" >"$T/log" 2>&1; }
inside voxtrail --version && grep -qF "$(git -C "$where/tree" rev-parse HEAD)" "$T/log"; ok $? "its programs name the commit"
inside sh -c '[ "$(id -u):$(id -g)" = 65532:65532 ] && ! command -v gcc && [ -w /pfs/out ]'; ok $? "its user is 65532, who may write /pfs/out; no compiler is left in it"
m=/usr/share/voxtrail/manifests/embedded.json
inside sh -c "cd /tmp && make-cohort --out c --subjects 3 --seed 1 && skullstrip-normalize --scans c/scans --manifest $m --out n &&
	crop-patch --normed n --labels c/labels --manifest $m --out p &&
	train --patches p --network '{\"init_filters\":8}' --patch 16 --steps 2 --validate-every 2 --max-validation 1 --fold=-1 --out m &&
	evaluate --model m --patches p --subjects all --overlap 0 --bootstrap 0 --out e && env export --model m --metrics e --out x && sha256sum m/last.safetensors"
ok $? "the five stages run in it"
there=$(sed -n 's/^\([0-9a-f]\{64\}\) .*/\1/p' "$T/log" | tail -n 1)
cd "$T" && { make-cohort --out c --subjects 3 --seed 1 && skullstrip-normalize --scans c/scans --manifest "$ROOT/manifests/embedded.json" --out n &&
	crop-patch --normed n --labels c/labels --manifest "$ROOT/manifests/embedded.json" --out p &&
	train --patches p --network '{"init_filters":8}' --patch 16 --steps 2 --validate-every 2 --max-validation 1 --fold=-1 --out m; } >"$T/log" 2>&1
[ -n "$there" ] && [ "$there" = "$(sha256sum m/last.safetensors | cut -d' ' -f1)" ]; ok $? "and give the checkpoint that they give here"
image rm -a >/dev/null 2>&1
exit 0
