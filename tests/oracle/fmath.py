"""Elementary functions against 60-digit arithmetic (decimal; series written out here), in units of the last place."""
import collections, math, os, subprocess
from decimal import Decimal as D, getcontext

getcontext().prec = 60
PI = D("3.14159265358979323846264338327950288419716939937510582097494459")


def sin(x):
    x = x % (2 * PI)
    term, total, n = x, x, 1
    while abs(term) > D(10) ** -55:
        term *= -x * x / ((n + 1) * (n + 2))
        n += 2
        total += term
    return total


def erf(x):
    a, term, total, n = abs(x), abs(x), abs(x), 0
    while term > D(10) ** -58:
        n += 1
        term *= 2 * a * a / (2 * n + 1)
        total += term
    return (total * 2 * (-a * a).exp() / PI.sqrt()).copy_sign(x)


def tanh(x):
    e = (2 * x).exp()
    return (e - 1) / (e + 1)


exact = {"exp": lambda x: x.exp(), "log": lambda x: x.ln(), "tanh": tanh, "erf": erf, "sin": sin,
         "cos": lambda x: sin(x + PI / 2), "pow": lambda x, y: (x.ln() * y).exp()}
bound = {"exp": 2, "log": 2, "tanh": 2, "erf": 3, "sin": 2, "cos": 2, "pow": 4}
worst = collections.defaultdict(float)
for line in subprocess.run([os.environ["B"] + "/tests/fmath_table"], capture_output=True, text=True, check=True).stdout.split("\n"):
    if not line:
        continue
    name, *numbers = line.split()
    *args, got = [float.fromhex(v) for v in numbers]
    want = exact[name](*map(D, args))
    ulp = math.ulp(float(want))
    if name in ("sin", "cos"):
        ulp = max(ulp, math.ulp(1e-3))
    worst[name] = max(worst[name], float(abs(D(got) - want) / D(ulp)))
for name, ulps in sorted(worst.items()):
    print(f"{'ok' if ulps <= bound[name] else 'not ok'} - {name} within {bound[name]} ulp (worst seen {ulps:.2f})")
