"""Published policies of augmentation by Pillow: RandAugment, TrivialAugment, AugMix."""
