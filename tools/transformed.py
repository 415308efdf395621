"""Prints what SAM makes of a template: `.venv-sam/bin/python tools/transformed.py template.yaml`.

Runs in aws-sam-cli's own environment, offline: policies that are named, not written, keep their names.
"""

from __future__ import annotations

import sys
from pathlib import Path

from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse


class NoManagedPolicies:
    """What SAM would ask IAM for, without asking."""

    def load(self) -> dict[str, str]:
        """Return the managed policies that are known: none."""
        return {}


def main() -> None:
    """Print the transformed template."""
    template = yaml_parse(Path(sys.argv[1]).read_text(encoding="utf-8"))
    made = SamTemplateValidator(template, NoManagedPolicies(), region="us-east-1")
    print(made.get_translated_template_if_valid())


if __name__ == "__main__":
    main()
