"""What the Python tests say and how they run programs; tests/run counts the lines."""
import subprocess, sys


def say(good, what, why=""):
    print(("ok - " if good else "not ok - ") + what + ("" if good or why == "" else ": " + str(why)[-900:]), flush=True)


def run(*args, code=0):
    """What a program wrote to stderr; the test ends if its status is not `code`."""
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if p.returncode != code:
        say(False, " ".join(map(str, args)), "exit %d, not %d: %s" % (p.returncode, code, p.stderr[-800:]))
        sys.exit(1)
    return p.stderr
