"""Networks, preprocessing and augmentation as frozen values. No torch."""
