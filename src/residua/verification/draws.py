"""From what ranges the peers' weights are drawn, so that none stays at a default that could hide a difference."""

SCALES, BIASES = (0.6, 1.4), (-0.3, 0.3)
# Statistics are those of the images, put off: the mean by a share of the deviation, the variance by a factor.
MEANS_OFF, VARIANCE_FACTORS = (-0.3, 0.3), (0.5, 2.0)
# A channel that hardly varied over so few pixels would be blown up: it has this share of the layer's mean variance.
LEAST_VARIANCE = 0.1
