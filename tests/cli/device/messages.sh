# --device: every way in which an accelerator is not to be had has its own message and exit status 75; auto says what it chose.
cd "$T" || exit 2
unset VOXTRAIL_PLUGIN

plugin() { # name flags
	${CC:-gcc} -std=c11 -D_GNU_SOURCE -I"$ROOT" -fPIC -shared -include string.h $2 -o "$1.so" "$ROOT/tests/cli/device/_plugin.c" || exit 1
}

says() { # what status pattern plugin
	VOXTRAIL_PLUGIN=$4 "$B/tests/device_probe" cuda >out 2>err
	rc=$?
	if [ $rc = "$2" ] && cat out err | grep -qE "$3"; then echo "ok - $1"; else
		echo "not ok - $1: status $rc: $(cat out err)"
	fi
	[ "$2" = 0 ] || [ ! -s out ] || echo "not ok - $1: something on stdout"
}

plugin right ""
plugin abi -DWRONG_ABI
plugin layout -DWRONG_LAYOUT
plugin symbol -DWRONG_SYMBOL
plugin driver -DWRONG_DRIVER
plugin nothing -DWRONG_NOTHING
echo 'no object' >text.so
says "a plugin that opens" 0 '^\{"card":"none","name":"cuda","precision":"bf16"\}$|"card":"none"' "$PWD/right.so"
says "another version of the interface" 75 'device cuda: the plugin .*abi\.so speaks version [0-9]+ of the interface, this program [0-9]+; build both' "$PWD/abi.so"
says "another build's structures" 75 'layout\.so was built from other sources' "$PWD/layout.so"
says "a library that is no plugin" 75 'has no symbol voxtrail_backend: it is not a plugin' "$PWD/symbol.so"
says "a plugin without a backend" 75 'offers no backend' "$PWD/nothing.so"
says "a file that is no library" 75 'cannot be loaded: .*text\.so' "$PWD/text.so"
says "what the plugin says is passed on" 75 '^device cuda: no driver$' "$PWD/driver.so"
says "the variable names no file" 75 'is missing \(looked for \$VOXTRAIL_PLUGIN = /no/such\.so\); build it' /no/such.so

# a copy of the program in a folder without the plugin
mkdir -p bin && cp "$B/tests/device_probe" "$B/bin/train" bin/ || exit 1
bin/device_probe cuda >out 2>err
[ $? = 75 ] && grep -q "libvoxtrail-cuda.so is missing (looked for $PWD/bin/libvoxtrail-cuda.so, $PWD/bin/../lib/voxtrail/libvoxtrail-cuda.so)" err &&
	echo "ok - no plugin: names both places" || echo "not ok - no plugin: $(cat err)"
cp right.so bin/libvoxtrail-cuda.so && bin/device_probe cuda >out 2>err && echo "ok - the plugin beside the program" || echo "not ok - beside: $(cat err)"
mkdir -p lib/voxtrail && mv bin/libvoxtrail-cuda.so lib/voxtrail/ && bin/device_probe cuda >out 2>err && echo "ok - the installed plugin" ||
	echo "not ok - installed: $(cat err)"
bin/device_probe auto >out 2>err && grep -q 'asked=auto chosen=cuda' err && echo "ok - auto takes the card and says so" || echo "not ok - auto: $(cat err)"
rm -r lib
bin/device_probe auto >out 2>err && grep -q 'asked=auto chosen=cpu because="the plugin .* is missing' err && grep -q '"name":"cpu"' out &&
	echo "ok - auto without a plugin takes the CPU and says why" || echo "not ok - auto: $(cat err)"

# a stage: exit status, no output, and the message in the log
mkdir patches
bin/train --log text --device cuda --patches patches --out result 2>err
rc=$?
[ $rc = 75 ] && grep -q 'code=75 reason="device cuda: the plugin' err && [ ! -e result/checkpoint.json ] && echo "ok - train --device cuda never falls back" ||
	echo "not ok - train: status $rc: $(cat err)"
exit 0
