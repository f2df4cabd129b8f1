"""What the Python tests say and how they run programs; tests/run counts the lines."""
import os, subprocess, sys


def say(good, what, why=""):
    print(("ok - " if good else "not ok - ") + what + ("" if good or why == "" else ": " + str(why)[-900:]), flush=True)


def run(*args, code=0):
    """What a program wrote to stderr; the test ends if its status is not `code`."""
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if p.returncode != code:
        say(False, " ".join(map(str, args)), "exit %d, not %d: %s" % (p.returncode, code, p.stderr[-800:]))
        sys.exit(1)
    return p.stderr


def sanitizer():
    """The sanitizer the programs were built with, or ''.  Such a build takes memory and time of its own, so no bound of either can be checked."""
    program = open(os.environ["B"] + "/bin/voxtrail", "rb").read()
    return "".join(name for name in ("AddressSanitizer", "ThreadSanitizer") if b"__%ssan_init" % name[0].lower().encode() in program)


def no_bounds(what):
    """Whether memory and time cannot be checked here; says so, once for a test."""
    name = sanitizer()
    if name:
        print(f"skip - {what}: built with {name}, which takes memory and time of its own", flush=True)
    return bool(name)
