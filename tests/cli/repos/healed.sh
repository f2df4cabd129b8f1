# What a store has lost or finds damaged of its commits comes back by pull or push from a copy, whether a ref moves or not; and a record that
# came to a commit later goes along.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; sed 's/^/    /' said; fi; }
mkdir -p b/sub/deep && head -c 3000 /dev/urandom >b/x && echo two >b/sub/two && echo three >b/sub/deep/three && echo same >b/sub/same && echo same >b/same
voxtrail commit b b --copy --store A >/dev/null 2>said && rm b/same && echo late >b/late && voxtrail commit b b --copy --store A >/dev/null 2>said
voxtrail push b "$PWD/B" --store A >/dev/null 2>said; ok $? "two commits, in two stores"
sleep 0.1; cp -a A A0
# the store of A0, and its digests noted, as where it was filled by commit
again() { rm -rf A co && cp -a A0 A && voxtrail checkout b co --store A >/dev/null 2>&1; }
# spoil KIND: every object, tree or commit of A goes; the copy B heals it from either side
for kind in objects trees commits; do
	for how in lost damaged; do
		for verb in pull push; do
			again
			for f in $(find A/$kind -type f); do
				[ -L "$f" ] && continue
				if [ $how = lost ]; then rm -f "$f"; else chmod u+w "$f" && printf X | dd of="$f" conv=notrunc bs=1 2>/dev/null && chmod u-w "$f"; fi
			done
			if [ $verb = pull ]; then voxtrail pull b "$PWD/B" --store A >said 2>&1; else voxtrail push b "$PWD/A" --store B >said 2>&1; fi
			rc=$?
			rm -rf z && [ $rc = 0 ] && grep -q 'whole again' said && voxtrail verify --store A >>said 2>&1 && voxtrail checkout b z --store A >>said 2>&1 && diff -r b z >>said &&
				voxtrail pull b "$PWD/B" --store A >said && grep -q 'nothing to do' said
			ok $? "$kind $how: $verb makes the store whole, and then there is nothing to do"
		done
	done
done
# one of each kind, with another commit on top: one transfer
again && echo more >b/more && voxtrail commit b b --copy --store B >/dev/null 2>&1
rm -f "$(find A/objects -type f | sort | head -1)" "$(find A/trees -type f | sort | tail -1)"
voxtrail pull b "$PWD/B" --store A >said 2>&1 && grep -q 'whole again' said && voxtrail verify --store A >said 2>&1; ok $? "a pull that moves a ref heals what is below it too"
# a checkout that says "fetch it from another store" tells the truth
again; f=$(find A/objects -size -2 -type f | sort | head -1); rm -f "$f"
voxtrail checkout b z1 --store A >said 2>&1; rc=$?; grep -q 'fetch it from another store' said && [ $rc = 76 ] && voxtrail pull b "$PWD/B" --store A >said 2>&1 && voxtrail checkout b z1 --store A >said 2>&1
ok $? "the remedy that checkout names works"
# what neither has
rm -f "$f" "B${f#A}"; voxtrail pull b "$PWD/B" --store A >said 2>&1; rc=$?
[ $rc = 76 ] && grep -q "$(basename "$f")" said; ok $? "what the other side lost as well is named (76)"
# an object that only became writable is no damage, one that its owner wrote to is
again; rm -rf B && cp -r A0 B && chmod u+w "$f"; voxtrail pull b "$PWD/B" --store A >said 2>&1 && ! grep -q 'whole again' said; ok $? "an object that was only made writable is not sent again"
# erased by decision stays erased
again; rm -rf C E; mkdir -p E/sub-1 E/sub-2 && echo one >E/sub-1/a && echo two >E/sub-2/a && voxtrail commit e E --copy --store A >/dev/null 2>said && voxtrail push e "$PWD/C" --store A >/dev/null 2>said &&
	voxtrail erase sub-1 --yes --reason asked --store A >said 2>&1 && voxtrail pull e "$PWD/C" --store A >said 2>&1 && ! grep -q 'whole again' said && voxtrail verify --store A >said 2>&1
ok $? "what was erased here by decision does not come back"
