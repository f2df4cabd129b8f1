"""A process that was killed while it made a store's index left no damage: who only reads next finds a store without records, as who writes does."""
import os, sqlite3, subprocess
from _checks import say

B, T = os.environ["B"], os.environ["T"]
os.chdir(T)
READERS = (["verify"], ["log", "r"], ["history", "--check"], ["consent", "check"], ["checkout", "r", "out"])


def tool(*args, store):
    return subprocess.run([B + "/bin/voxtrail", *args, "--store", store], capture_output=True, text=True)


def missing(path):
    pass


def empty(path):
    open(path, "w").close()


def without_tables(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.close()


def log_unmerged(path):
    """Killed inside the transaction of the tables: a rollback journal that is still valid."""
    child = subprocess.Popen([os.environ["PYTHON"], "-c", "import os, sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\ndb.execute('PRAGMA cache_size = 1')\n"
                              "db.execute('CREATE TABLE x (a)')\ndb.execute('BEGIN')\nfor k in range(200): db.execute('INSERT INTO x VALUES (randomblob(3000))')\nos.kill(os.getpid(), 9)\n", path])
    child.wait()


os.makedirs("d")
open("d/a", "w").write("bytes\n")
number = 0
for state in (missing, empty, without_tables):
    for words in READERS:
        number += 1
        store = f"s{number}"
        tool("commit", "r", "d", "--copy", store=store)
        for name in ("lineage.db", "lineage.db-wal", "lineage.db-shm"):
            if os.path.exists(f"{store}/{name}"):
                os.remove(f"{store}/{name}")
        state(f"{store}/lineage.db")
        subprocess.run(["rm", "-rf", "out"])
        r = tool(*words, store=store)
        say(r.returncode == 0, f"{words[0]}, the index {state.__name__.replace('_', ' ')}: 0", (r.returncode, r.stderr))
        r = tool("commit", "r", "d", "--copy", store=store)
        say(r.returncode == 0, "and a commit after it", r.stderr)
# another program's database stays what it is
tool("commit", "r", "d", "--copy", store="other")
os.remove("other/lineage.db")
log_unmerged(f"{T}/other/lineage.db")
r = tool("verify", store="other")
say(r.returncode == 65 and "rebuild" in r.stderr, "a database of other tables, its journal rolled back: 65 with the remedy", (r.returncode, r.stderr))
say(tool("rebuild", store="other").returncode == 0 and tool("verify", store="other").returncode == 0, "which works")
# an index that is lost beside records is no new store
tool("commit", "r", "d", "--copy", store="lost")
open("lost/records/" + "0" * 64, "w").write("{}")
os.remove("lost/lineage.db")
r = tool("verify", store="lost")
say(r.returncode == 76 and "missing, though there are records" in r.stderr, "an index lost beside records is not made anew unasked", (r.returncode, r.stderr))
say(not os.path.exists("lost/lineage.db"), "and stays away")
