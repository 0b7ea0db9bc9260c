"""What the build runs: every vendored package can be read."""

import pathlib

packages = sorted(pathlib.Path("vendor").glob("package*/__init__.py"))
assert packages, "nothing is vendored"
assert all(package.read_text() for package in packages)
