"""Prints the crates that `cargo auditable` embedded in a binary, one `name version` a line.

Usage: sbom.py SECTION, the file that holds the bytes of the binary's section `.dep-v0`
(https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md).
"""

import json
import pathlib
import sys
import zlib

section = pathlib.Path(sys.argv[1]).read_bytes()
for package in json.loads(zlib.decompress(section))["packages"]:
    print(package["name"], package["version"])
