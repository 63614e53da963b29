"""What one optimizer step does: loss, update, frozen parts, kernels."""
