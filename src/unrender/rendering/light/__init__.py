"""Light transport: BSDFs, lights and the path tracer."""
