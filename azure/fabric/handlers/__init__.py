"""Azure's entry points: thin functions, registered by `function_app.py` through their blueprints."""
