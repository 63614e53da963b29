// What crosses from Python: structures.py declares the same fields in the same order, and compares sizes when it loads.
#pragma once
#include <cstdint>

extern "C" {
struct Shape {
  int64_t height, width, in, out, kernel, stride, pad;  // of the input; channels in and out
};

// Weights of torch's (out, in, kernel, kernel) in any strides.
struct Weight {
  float* data;
  int64_t out_step, in_step, down_step, across_step;
};

struct Layer {
  Shape shape;
  Weight weight, weight_gradient;
  const float *gamma, *beta;
  float *running_mean, *running_var;  // may be null
  double momentum, epsilon;
  float *output;            // raw convolution (n, height, width, channels)
  float *mean, *deviation;  // of the batch; deviation is 1 / sqrt(var + epsilon)
  float *gamma_gradient, *beta_gradient;
  float *gradient;  // backward: what reaches this layer's normalised output, for all but the last layer
};

enum ShortcutKind : int64_t { NO_SHORTCUT, IDENTITY, PADDED, GIVEN };

struct Chain {
  int64_t images, layers, threads;
  int64_t bf16;  // whether 3x3 convolutions multiply in bf16
  Layer* layer;
  const float* input;
  int64_t shortcut_kind;
  int64_t stride, before;  // of a PADDED shortcut: every stride-th pixel, `before` zero channels first
  const float* shortcut;   // of a GIVEN one
  float* result;
  const float* result_gradient;
  float *input_gradient, *shortcut_gradient;  // may be null
};
}
