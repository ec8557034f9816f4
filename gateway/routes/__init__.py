"""Ways in over HTTP: one file an endpoint family. They name routes and call; they decide nothing."""
