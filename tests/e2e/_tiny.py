"""_tiny.py FROM TO NAME.json KEY=VALUE... [-- NAME.json KEY=VALUE...]: the shipped recipes below FROM, with other sizes.

NAME is a shell pattern of paths below FROM; VALUE is JSON, and goes into params ('/' leads into objects); a file without params is left."""
import fnmatch, json, os, sys

source, target, *rest = sys.argv[1:]
changes, name = {}, None
for word in rest:
    if word == "--":
        name = None
    elif name is None:
        name = word
        changes[name] = {}
    else:
        key, value = word.split("=", 1)
        changes[name][key] = json.loads(value)
for root, _, files in os.walk(source):
    for f in files:
        path = os.path.relpath(os.path.join(root, f), source)
        recipe = json.load(open(os.path.join(root, f)))
        for pattern, params in changes.items():
            for key, value in params.items() if fnmatch.fnmatch(path, pattern) else ():
                *into, last = key.split("/")
                at = recipe["params"] if "params" in recipe else recipe
                for k in into:
                    at = at.setdefault(k, {})
                at[last] = value
        os.makedirs(os.path.dirname(os.path.join(target, path)) or target, exist_ok=True)
        json.dump(recipe, open(os.path.join(target, path), "w"))
