"""What all kernels share: choice of backend, compilation, SIMD helpers, threads."""
