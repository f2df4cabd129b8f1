# A release's tarball carries its commit; a tree says its own commit, never that of a repository it happens to lie in.
set -u
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
says() { sh "$1/tools/build_id.sh" | sed -n 's/.*COMMIT "\(.*\)"/\1/p'; }
commit=$(git -c safe.directory="$ROOT" -C "$ROOT" rev-parse HEAD 2>/dev/null) || { echo "skip - a tarball's commit: this is no git checkout"; exit 0; }
git -c safe.directory="$ROOT" -C "$ROOT" ls-files --error-unmatch tools/archive_commit >/dev/null 2>&1 || { echo "not ok - tools/archive_commit is not tracked"; exit 1; }
cd "$T" && mkdir "a tree" outer && git -c safe.directory="$ROOT" -C "$ROOT" archive HEAD | tar -C "a tree" -xf -
[ "$(says "a tree")" = "$commit" ]; ok $? "git archive: $(says "a tree")"
[ "$(sh "a tree/tools/build_id.sh" --time)" = "$(git -c safe.directory="$ROOT" -C "$ROOT" log -1 --format=%ct)" ]; ok $? "and the commit's time"
git -C outer init -q && git -C outer -c user.name=n -c user.email=e@example.org commit -q --allow-empty -m other && cp -a "a tree" outer/v
[ "$(says outer/v)" = "$commit" ]; ok $? "inside another repository it is the same"
rm "a tree/tools/archive_commit"
[ "$(says "a tree")" = unknown ]; ok $? "without either: unknown"
[ "$(says "$ROOT")" = "$commit" ]; ok $? "a checkout says its own"
GIT_DIR=$T/outer/.git GIT_WORK_TREE=$T/outer sh "$ROOT/tools/build_id.sh" | grep -q "$commit"; ok $? "whatever GIT_DIR says"
if [ "$(id -u)" = 0 ]; then
	git clone -q "$ROOT" theirs && chown -R nobody theirs && [ "$(says theirs)" = "$commit" ]; ok $? "in a checkout that belongs to another user"
else
	echo "skip - a checkout that belongs to another user: needs root"
fi
