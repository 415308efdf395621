"""What the Functions host loads: one app, every function from a blueprint."""

import azure.durable_functions as df
import azure.functions as func

from azure.fabric import wiring
from azure.fabric.handlers import activities, approvals, links, review, start

wiring.refuse_objects_in_json()
app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
for blueprint in (start.blueprint, review.blueprint, activities.blueprint, approvals.blueprint, links.blueprint):
    app.register_functions(blueprint)
