"""An Azure Functions host in this process: the real SDKs run our function app, without `func`."""

from local.functions_host.host import FunctionsHost

__all__ = ["FunctionsHost"]
