"""The Amazon States Language as Step Functions Express runs it, in process and in virtual or real time.

Knows the JSONPath dialect and Lambda tasks: `compile(definition).run(input, name=…, invoke=…, clock=…)`.
Must not know our workflows, tools or handlers. What is not interpreted (JSONata, distributed maps, other
integrations than Lambda) is refused by `compile`, never skipped.
"""

from local.asl.failures import StateError
from local.asl.machine import Execution, Machine, compile  # noqa: A004  callers write asl.compile
from local.asl.scope import Clock

__all__ = ["Clock", "Execution", "Machine", "StateError", "compile"]
