"""The chat service over gRPC, for clients that speak protobuf; it answers through the same ASGI app as HTTP does."""
