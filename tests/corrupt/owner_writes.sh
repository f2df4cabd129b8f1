# Committed files and the store's objects are one file.  What an owner's chmod and writing do is noticed, mended or refused.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
inode() { stat -c %i "$1"; }
mkdir d && printf 'first\n' >d/a && printf 'second\n' >d/b
touch -d '2 minutes ago' d/a d/b
voxtrail commit scans d --store st >/dev/null || exit 1
a=st/objects/$(printf 'first\n' | sha256sum | sed 's/\(..\)\([0-9a-f]*\).*/\1\/\2/')
b=st/objects/$(printf 'second\n' | sha256sum | sed 's/\(..\)\([0-9a-f]*\).*/\1\/\2/')
[ "$(inode d/a)" = "$(inode "$a")" ] && [ "$(stat -c %a d/a)" = 444 ]; ok $? "a committed file and its object are one, read-only"

chmod u+w d/a
voxtrail checkout scans o1 --store st >/dev/null 2>said; rc=$?
[ $rc = 0 ] && [ "$(stat -c %a o1/a)" = 444 ] && [ "$(inode o1/a)" != "$(inode d/a)" ] && [ "$(inode o1/a)" = "$(inode "$a")" ] && grep -q 'copy of its own' said
ok $? "a file that its owner made writable: checkout hands out a read-only link to a copy of the store's own"
printf 'changed\n' >d/a
voxtrail verify --store st >/dev/null && [ "$(cat o1/a)" = first ]; ok $? "the owner's later writing reaches neither store nor checkout"
voxtrail checkout scans o2 --store st >/dev/null 2>&1 && [ "$(cat o2/a)" = first ]; ok $? "and the next checkout is as committed"

chmod u+w d/b && printf 'SECOND\n' >d/b && chmod u-w d/b
voxtrail checkout scans o3 --store st >/dev/null 2>said; rc=$?
[ $rc = 76 ] && grep -q "$b: its bytes have changed" said && grep -q 'the original of b again' said && [ ! -e o3 ]
ok $? "a file that was written to in place: checkout refuses with object, path and remedy, and writes nothing"
voxtrail verify --store st >said 2>&1; [ $? = 76 ] && grep -q "$(basename "$b")" said; ok $? "verify names it"
voxtrail commit other d --store st >/dev/null 2>said && grep -q 'written to in place' said; ok $? "committing the changed file says that the old content is lost"
mkdir good && printf 'second\n' >good/again
voxtrail commit more good --store st >/dev/null 2>&1 && voxtrail verify --store st >/dev/null && voxtrail checkout scans o4 --store st >/dev/null && [ "$(cat o4/b)" = second ]
ok $? "committing the original again mends the object"

printf 'third\n' >d/c && voxtrail commit kept d --store st --copy >/dev/null 2>&1
[ -w d/c ] && [ "$(stat -c %a d/c)" = 644 ] && printf 'more\n' >>d/c && voxtrail verify --store st >/dev/null
ok $? "commit --copy leaves the files as they are, and writing to them touches nothing"

rm st/stat-cache; voxtrail checkout scans o5 --store st >/dev/null && [ "$(cat o5/b)" = second ]; ok $? "without its stat cache the store reads the bytes again"
head -c 100 /dev/urandom >st/stat-cache; voxtrail checkout scans o6 --store st >/dev/null; ok $? "a damaged stat cache is none"
