"""Azure: durable reviews with approvals. `azure/` itself must stay a namespace folder, or the SDK vanishes."""
