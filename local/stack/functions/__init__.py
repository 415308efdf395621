"""The Functions host over HTTP: `python -m local.stack.functions`. Loads function_app.py as it is."""
