"""The front door: routes, errors, relay, model registry, configuration, CLI, metrics."""
