"""Looks for secrets in what is under version control: `python -m tools.leaks [FILE…]`, run by make.

Knows how the providers' keys look. What has to look like one, in a test, is put together at run time.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PATTERNS = {
    "an AWS access key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b",
    "an AWS secret key": r"(?i)aws.{0,20}secret.{0,20}[\"'= :]+[A-Za-z0-9/+]{40}\b",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "a storage account's key": r"(?i)(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}",
    "a shared access signature": r"[?&]sig=[A-Za-z0-9%+/]{40,}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a Google service account's key": r"\"private_key_id\"\s*:\s*\"[0-9a-f]{40}\"",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}\b",
    "a Slack token": r"\bxox[abprs]-[0-9A-Za-z-]{20,}",
    "a key of OpenAI or Anthropic": r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}\b",
    "a package registry's token": r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,})\b",
    "a signed token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"'<>{}$]{1,64}:[^\s/:@\"'<>{}$]{8,}@[a-z0-9.-]+",
}
_LOOKS = {kind: re.compile(pattern) for kind, pattern in PATTERNS.items()}


def main() -> int:
    """Look through the files named, else through all under version control; 1 when something was found."""
    found = [leak for path in map(Path, sys.argv[1:] or tracked()) for leak in leaks(path)]
    for leak in found:
        print(leak, file=sys.stderr)
    return 1 if found else 0


def tracked() -> Iterable[str]:
    """Return the files under version control."""
    said = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout  # noqa: S607  git is on the path
    return filter(None, said.decode().split("\0"))


def leaks(path: Path) -> Iterator[str]:
    """Yield where a file seems to hold a secret, and what kind: never the secret."""
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    for kind, looks in _LOOKS.items():
        for match in looks.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: looks like {kind}"


if __name__ == "__main__":
    sys.exit(main())
