"""An arm is a module with `Params` and `build(params, context)`."""
