"""A task is a module with `Params` and `build(params, context)`."""
