"""The machine: device, precision and layout, the engines that compute logits, our own training kernels."""
