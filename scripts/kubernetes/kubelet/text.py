"""How texts of a Pod's specification become what a process gets. Pure."""

import re
from collections.abc import Mapping, Sequence

# A mountPath, and the real directory or file behind it.
Mount = tuple[str, str]

UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "m": 0.001}


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replaces $(NAME) by the variable, if there is one, and $$ by a dollar."""
    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else env.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", value, text)


def relocate(text: str, mounts: Sequence[Mount]) -> str:
    """Replaces each mountPath by the real path, the longest first; not where it is the end of another path."""
    for path, real in sorted(mounts, key=lambda mount: -len(mount[0])):
        # A backslash in a replacement would mean something.
        text = re.sub(r"(?<![\w.-])" + re.escape(path.rstrip("/")) + r"(?=/|$|[\s:,;\"'])", real.replace("\\", r"\\"), text)
    return text


def quantity(text: str, name: str) -> int:
    """A resource as the downward API tells it: whole cores (rounded up), or bytes."""
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    value = float(text.removesuffix(unit) or 0) * UNITS.get(unit, 1)
    return -int(-value // 1) if name == "cpu" else int(value)


def quote(text: str) -> str:
    """For a shell."""
    return "'" + text.replace("'", "'\\''") + "'"
