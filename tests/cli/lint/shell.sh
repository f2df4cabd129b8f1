# Shell lines are read as a shell reads them: valid ones pass, and what they name is still checked.
set -u
cd "$T" || exit 1
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
mk() { printf '{"pipeline":{"name":"l"},"transform":{"image":"%s","cmd":["sh"],"stdin":[%s]},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}}}' "$image" "$1" >l.json; }
good() { mk "$1"; voxtrail lint l.json >out 2>&1; if [ $? = 0 ]; then echo "ok - valid: $1"; else echo "not ok - valid: $1: $(head -n 1 out)"; fi; }
bad() { mk "$1"; voxtrail lint l.json >out 2>&1; rc=$?; if [ $rc = 65 ] && grep -q "$2" out; then echo "ok - refused: $1"; else echo "not ok - refused: $1: $rc $(head -n 1 out)"; fi; }
good '"for f in /pfs/r; do :; done"'
good '"cp -r /pfs/r/. /pfs/out; ls /pfs/r|wc -l >/pfs/out/n&"'
good '"ls `ls /pfs/r` $(cat </pfs/r/f) >/pfs/out/x"'
good '"cat /pfs/*/f /pfs/$name/f \"/pfs/$r\" /pfs/{r,out} >/pfs/out/x"'
good '"x=/pfs/r; echo ${x:-/pfs/out} #/pfs/later"'
good '"ls /home/pfs/nothing /pfsx"'
bad '"for f in /pfs/scan; do :; done"' '/pfs/scan is no input'
bad '"ls|cat /pfs/scan|wc"' '/pfs/scan is no input'
bad '"nice -n 5 export --modl /pfs/r --out /pfs/out"' 'write --model'
bad '"if true; then X=1 timeout 5 export --modl /pfs/r --out /pfs/out; fi"' 'write --model'
bad '"echo $(export --modl /pfs/r --out /pfs/out)"' 'write --model'
printf '[{"pipeline":{"name":"l"},"transform":{"image":"%s","cmd":["sh","-c","ls /pfs/r; cat /pfs/r/f"]},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}}}]' "$image" >l.json
voxtrail lint l.json >out 2>&1 && echo "ok - a line of sh -c" || echo "not ok - a line of sh -c: $(head -n 1 out)"
printf '[{"pipeline":{"name":"l"},"transform":{"image":"%s","cmd":["srun","-N1","export","--modl","/pfs/r","--out","/pfs/out"]},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}}}]' "$image" >l.json
voxtrail lint l.json >out 2>&1; grep -q 'write --model' out && echo "ok - a stage behind a launcher is held against its table" || echo "not ok - a stage behind a launcher is held against its table: $(head -n 1 out)"
