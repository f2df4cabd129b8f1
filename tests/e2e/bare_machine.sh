# Limit: 3000 s
# The README's commands on a machine that has make and git and nothing else of ours: a bare Debian root (SUITE, default trixie:
# the system that this machine is not) in which `make demo` is the first command, of root; then the tests are an ordinary
# user's, in a folder with a space in its name, under umask 077 and without a network; and the package of `make deb` is installed
# in another bare root and runs the stages there.  Checkpoint and results are those made here, by this machine's compiler.
#
#   SUITE=bookworm|trixie     BARE_ROOT=DIR   a bare root made before, which is copied     KEEP=1   leaves the root behind
set -u
SUITE=${SUITE:-trixie}
skip() { echo "skip - a bare Debian ($SUITE): $1"; exit 0; }
case $B in */release) ;; *) skip "with the release build only" ;; esac
[ "$(id -u)" = 0 ] || skip "needs root"
[ -n "${BARE_ROOT:-}" ] || command -v mmdebstrap >/dev/null 2>&1 || skip "needs mmdebstrap"
git -C "$ROOT" rev-parse HEAD >/dev/null 2>&1 || skip "needs a git checkout"
unshare --mount --pid --net --fork --kill-child true 2>/dev/null || skip "needs namespaces"
[ "$(df -Pk /var/tmp | awk 'NR == 2 {print $4}')" -gt 4000000 ] || skip "needs 4 GB in /var/tmp"
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
bare=$(mktemp -d /var/tmp/voxtrail-bare.XXXXXX) || exit 2
[ -n "${KEEP:-}" ] && echo "the root is $bare" || trap 'rm -rf --one-file-system "$bare" "$bare-2"' EXIT
trap 'exit 143' INT TERM
chmod 755 "$bare"
ok() {
	if [ "$1" = 0 ]; then echo "ok - $2"; return; fi
	echo "not ok - $2"
	grep -vE '^ +(CC|LD|AR) |^PASS|^ *ok - |^FAIL|^ *not ok - ' "$T/log" | tail -n 12
	grep -E '^FAIL|^ *not ok - ' "$T/log" | sed 's/^ *not ok/  (there) not ok/' | sort -u | head -n 20
}

# --- a bare root, from the mirror that this machine uses ----------------------------------------------------------------
mkdir "$T/lists"
for f in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list; do
	[ -s "$f" ] && sed "s/\\b$codename\\b/$SUITE/g; s/\\b$codename-/$SUITE-/g" "$f" >"$T/lists/${f##*/}"
done
if [ -n "${BARE_ROOT:-}" ]; then
	cp -a --reflink=auto "$BARE_ROOT/." "$bare/"
else
	mmdebstrap --quiet --variant=minbase --include=make,git,ca-certificates "$SUITE" "$bare" "$T"/lists/* >"$T/log" 2>&1 ||
		{ tail -n 3 "$T/log"; skip "no root could be made of it from this machine's mirror"; }
fi
for f in /etc/resolv.conf /etc/hosts; do [ -e "$f" ] && cp -L "$f" "$bare$f"; done
cp /etc/apt/apt.conf.d/*prox* "$bare/etc/apt/apt.conf.d/" 2>/dev/null
chroot "$bare" useradd --create-home anna
cp -a --reflink=auto "$bare" "$bare-2"
proxies=$(env | grep -iE '^(http|https|no)_proxy=')
# inside [--net] USER DIR COMMAND: in the root, with nothing of this machine's environment; --net: without a network.
inside() {
	net=; [ "$1" = --net ] && { net=--net; shift; }
	unshare --mount --pid $net --fork --kill-child sh -c '
		mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount -t tmpfs tmpfs "$0/tmp" || exit 2
		root=$0 user=$1; shift
		exec chroot --userspec="$user:$user" "$root" env -i "$@"' "$bare" "$1" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$2/.." TERM=dumb SUBJECTS=8 TEST_SUBJECTS= RECIPE=tests/e2e/tiny_recipe \
		$proxies sh -c 'cd "$0" && eval "$1"' "$2" "$3" >"$T/log" 2>&1 </dev/null
}
here='/home/anna/my work/v'

# --- the tree as it is here, the clone's history with it ---------------------------------------------------------------
mkdir -p "$bare/home/anna/my work"
git clone -q --no-hardlinks "$ROOT" "$bare$here" || exit 2
git -C "$ROOT" ls-files -co --exclude-standard -z | tar -C "$ROOT" --null --ignore-failed-read -T - -cf - 2>/dev/null | tar -C "$bare$here" -xf -
chroot "$bare" chown -R anna:anna "/home/anna"

# --- an ordinary user first: told what is missing; nothing is left behind ----------------------------------------------
inside anna "$here" 'make'
rc=$?
[ $rc != 0 ] && grep -q '^missing packages: gcc ' "$T/log" && grep -q '^install them:     sudo apt-get install ' "$T/log"
ok $? "$SUITE: an ordinary user is told the packages and the command"
told=$(sed -n 's/^install them:     sudo //p' "$T/log" | head -n 1)

# --- root: the README's first command as the first of all ---------------------------------------------------------------
start=$(date +%s)
cp -a "$bare$here" "$bare/root/v" && chroot "$bare" chown -R root:root /root/v
inside root /root/v 'make demo'; ok $? "$SUITE: make demo, $(($(date +%s) - start)) s with its packages"
[ -n "$told" ] && grep -qxF "installing: ${told##*--no-install-recommends }" "$T/log"; ok $? "what the ordinary user was told is what was missing"
grep -qE '^WT +[0-9.]+ ' "$T/log"; ok $? "its scores are printed"
grep -q 'warning' "$T/log" && ok 1 "no warning of make or compiler" || ok 0 "no warning of make or compiler"
there=$(sed -n 's/^checkpoint: *\([0-9a-f]*\) .*/\1/p' "$T/log")
DEMO=$T/demo SUBJECTS=8 TEST_SUBJECTS= RECIPE=tests/e2e/tiny_recipe sh "$ROOT/examples/demo.sh" >"$T/log" 2>&1
mine=$(sed -n 's/^checkpoint: *\([0-9a-f]*\) .*/\1/p' "$T/log")
[ -n "$mine" ] && [ "$mine" = "$there" ]; ok $? "the checkpoint of $SUITE is the one made here: $mine, $there"

# --- its package in another bare root: what `apt-get install` of it brings is enough --------------------------------------
inside root /root/v 'make deb && sh tools/runtime_packages.sh build/release/deb/usr/bin >build/runtime_packages'; ok $? "$SUITE: make deb"
mkdir "$T/here" "$bare-2/srv/stages"
cp "$bare"/root/v/build/release/voxtrail_*.deb "$bare-2/srv/voxtrail.deb"
cp "$ROOT/tests/e2e/_five_stages.sh" "$bare-2/srv"
first=$bare; bare=$bare-2
inside root /srv 'chown anna stages; apt-get update -qq && apt-get install -y -qq --no-install-recommends ./voxtrail.deb >/dev/null &&
	dpkg --verify voxtrail && dpkg-query -W -f "\${Depends}\n" voxtrail | tr -d "," | sed "s/ ([^)]*)//g" >depends'
ok $? "$SUITE: the package is installed, every file as its md5sums say"
cmp -s "$bare/srv/depends" "$first/root/v/build/runtime_packages"; ok $? "a container's package list is the package's: $(cat "$bare/srv/depends")"
inside --net anna /srv/stages 'umask 077; sh ../_five_stages.sh /usr/bin/ /usr/share/voxtrail/manifests/embedded.json'
ok $? "$SUITE: the stages run from it in a root without compiler and python"
(cd "$T/here" && sh "$ROOT/tests/e2e/_five_stages.sh" "$B/bin/" "$ROOT/manifests/embedded.json") >"$T/log" 2>&1
cmp "$T/here/digests" "$bare/srv/stages/digests" >>"$T/log" 2>&1
ok $? "and write what they write here: $(grep -c . "$T/here/digests") files"
bare=$first

# --- the tests, by the ordinary user, in a folder with a space, under umask 077, without a network ----------------------
# All of the command line and those C tests that take seconds: networks and the GPU's engines need no package.
inside root /root/v 'make deps'; ok $? "$SUITE: make deps"
rm -rf "$bare$here/build"; mv "$bare/root/v/build" "$bare$here/build"; chroot "$bare" chown -R anna:anna "/home/anna"
inside --net anna "$here" 'umask 077; make test-quick ONLY="^cli|test_(base|image|json|store)"'; rc=$?
said=$(tail -n 1 "$T/log")
case $said in *" 0 failed, "*) ;; *) rc=1 ;; esac
ok $rc "$SUITE: make test-quick by an ordinary user in a folder with a space, umask 077, no network: $said"
[ $rc != 0 ] || sed -n 's/^ *skip - /  (there) skip: /p' "$T/log"
