"""Tools called directly, outside a task.

Nothing outside a task has a budget, so a direct call gets no model: it reads, computes and answers. A tool that
pays for a model runs as a step of a task, where money is set aside, journalled and billed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.admission import tenant_policy
from shared.errors import Forbidden
from shared.tools.registry import Toolbox, get

if TYPE_CHECKING:
    from shared.core.completion import Completion, Prompt
    from shared.ports import Ports


class NoModels:
    """The models of somebody without a budget."""

    def complete(self, prompt: Prompt) -> Completion:
        """Refuse."""
        what = f"to {prompt.purpose} costs money, and only a task has a budget: submit one"
        raise Forbidden(what, code="needs-task")


def call_tool(ports: Ports, tenant: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a tool for a known tenant and return its output; asking again gives the same and costs nothing.

    Raises NotFound for a tool nobody registered, Forbidden for a stranger and for a tool that needs a model.
    """
    tenant_policy(ports.tenants, tenant)
    return get(name).run(arguments, Toolbox(ports.documents, NoModels())).model_dump(mode="json")
