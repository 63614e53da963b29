// The passes of a chain over activations between the convolutions: one image or one row at a time.
#pragma once
#include <cmath>

#include "chain.h"
#include "conv.h"

// Per channel: normalised z = scale * (c - mean) + beta, and in the backward pass
// dc = scale * dz - slope * (c - mean) - offset (Ioffe & Szegedy 2015, section 3, gathered by powers of c).
struct Normalisation {
  const float *mean, *beta;
  float *scale, *slope, *offset;
};

struct ThreadSums {
  double *first, *second;  // per channel: of c and its square about `pivot`; or of dz and dz * (c - mean)
  float* pivot;
};

static inline Index most(Index a, Index b) { return a > b ? a : b; }

static inline Index workspace_size(const Conv& s) {
  return 2 * padded(s.group * s.image_size()) + padded(s.group * s.grad_size()) +
         padded(36 * s.v_step()) + padded(36 * s.m_step()) +
         (s.bf16 ? padded(36 * s.pair_step(s.in)) + 2 * padded(36 * s.pair_step(s.out)) : 0);
}

static inline Workspace lay_out(const Conv& s, float* start) {
  Take take{start};
  Workspace w;
  w.x = take(s.group * s.image_size());
  w.dx = take(s.group * s.image_size());
  w.dy = take(s.group * s.grad_size());
  w.v = take(s.winograd ? 36 * s.v_step() : 0);
  w.m = take(s.winograd ? 36 * s.m_step() : 0);
  w.v_pairs = w.m_rows = w.m_pairs = nullptr;
  if (s.bf16) {
    w.v_pairs = reinterpret_cast<Pair*>(take(36 * s.pair_step(s.in)));
    w.m_rows = reinterpret_cast<Pair*>(take(36 * s.pair_step(s.out)));
    w.m_pairs = reinterpret_cast<Pair*>(take(36 * s.pair_step(s.out)));
  }
  std::memset(w.x, 0, s.group * s.image_size() * 4);
  std::memset(w.dy, 0, s.group * s.grad_size() * 4);
  return w;
}

// Copies an input image into its zero border; a layer's raw output is normalised and activated on the way.
static inline void stage_input(const Conv& s, const float* source, const Normalisation* norm, float* target) {
  for (Index y = 0; y < s.height; ++y) {
    const float* from = source + y * s.width * s.in;
    float* to = target + ((y + s.pad) * s.columns + s.pad) * s.in;
    if (!norm) {
      std::memcpy(to, from, s.width * s.in * 4);
      continue;
    }
    for (Index c = 0; c < s.in; c += LANES) {
      const vec mean = load(norm->mean + c), scale = load(norm->scale + c), beta = load(norm->beta + c);
      for (Index i = c; i < s.width * s.in; i += s.in)
        store(to + i, positive((load(from + i) - mean) * scale + beta));
    }
  }
}

static inline void add_row_sums(ThreadSums& sums, Index c, vec first, vec second) {
  accumulate(sums.first + c, first);
  accumulate(sums.second + c, second);
}

// The variance is taken about a pixel of the batch: sums of squares about zero lose a variance far below the mean.
static inline void add_statistics(const Conv& s, const float* output, Index images, ThreadSums& sums) {
  for (Index row = 0; row < images * s.out_height; ++row, output += s.out_width * s.out)
    for (Index c = 0; c < s.out; c += LANES) {
      const vec pivot = load(sums.pivot + c);
      vec first{}, second{};
      for (Index i = c; i < s.out_width * s.out; i += s.out) {
        const vec d = load(output + i) - pivot;
        first += d;
        second += d * d;
      }
      add_row_sums(sums, c, first, second);
    }
}

static inline void finish_statistics(const Chain& chain, const Layer& l, const Conv& s, const ThreadSums* sums,
                                     Index threads, Normalisation& norm) {
  const double pixels = double(s.out_height * s.out_width);
  for (Index c = 0; c < s.out; ++c) {
    double count = 0, mean = 0, square = 0;  // square: sum of squared distances to the mean (Chan et al. 1979)
    for (Index t = 0; t < threads; ++t) {
      const double n = pixels * double(chain.images * (t + 1) / threads - chain.images * t / threads);
      if (n == 0) continue;
      const double shift = sums[t].first[c] / n, m = sums[t].pivot[c] + shift;
      const double m2 = sums[t].second[c] - n * shift * shift, total = count + n, delta = m - mean;
      square += m2 + delta * delta * count * n / total;
      mean += delta * n / total;
      count = total;
    }
    const double variance = square > 0 ? square / count : square * 0;
    l.mean[c] = float(mean);
    l.deviation[c] = float(1 / std::sqrt(variance + l.epsilon));
    norm.scale[c] = l.gamma[c] * l.deviation[c];
    if (l.running_mean) {
      l.running_mean[c] += float(l.momentum * (mean - l.running_mean[c]));
      l.running_var[c] += float(l.momentum * (variance * count / (count - 1) - l.running_var[c]));
    }
  }
}

// One row of the shortcut as it meets the branch: (width, channels) of the result.
static inline const float* shortcut_row(const Chain& chain, const Conv& first, const Conv& last, Index image, Index y,
                                        float* buffer) {
  const Index row = (image * last.out_height + y) * last.out_width * last.out;
  if (chain.shortcut_kind == IDENTITY) return chain.input + row;
  if (chain.shortcut_kind == GIVEN) return chain.shortcut + row;
  if (chain.shortcut_kind == NO_SHORTCUT) return nullptr;
  const float* from = chain.input + (image * first.height + y * chain.stride) * first.width * first.in;
  for (Index x = 0; x < last.out_width; ++x)
    std::memcpy(buffer + x * last.out + chain.before, from + x * chain.stride * first.in, first.in * 4);
  return buffer;
}

static inline void write_result(const Chain& chain, const Conv& first, const Conv& last, const Normalisation& norm,
                                Index image, float* buffer) {
  for (Index y = 0; y < last.out_height; ++y) {
    const Index row = (image * last.out_height + y) * last.out_width * last.out;
    const float *from = chain.layer[chain.layers - 1].output + row;
    const float* around = shortcut_row(chain, first, last, image, y, buffer);
    float* to = chain.result + row;
    for (Index c = 0; c < last.out; c += LANES) {
      const vec mean = load(norm.mean + c), scale = load(norm.scale + c), beta = load(norm.beta + c);
      for (Index i = c; i < last.out_width * last.out; i += last.out) {
        const vec z = (load(from + i) - mean) * scale + beta;
        store(to + i, positive(around ? z + load(around + i) : z));
      }
    }
  }
}

// Sums of dz and dz * (c - mean) of the last layer, where dz = gradient of the result where the result is positive.
static inline void add_last_sums(const Chain& chain, const Conv& last, const Normalisation& norm, Index image,
                                 ThreadSums& sums) {
  const Index size = last.out_width * last.out;
  for (Index y = 0; y < last.out_height; ++y) {
    const Index row = (image * last.out_height + y) * size;
    const float *gradient = chain.result_gradient + row, *result = chain.result + row;
    const float* output = chain.layer[chain.layers - 1].output + row;
    for (Index c = 0; c < last.out; c += LANES) {
      const vec mean = load(norm.mean + c);
      vec first{}, second{};
      for (Index i = c; i < size; i += last.out) {
        const vec dz = where_positive(load(result + i), load(gradient + i));
        first += dz;
        second += dz * (load(output + i) - mean);
      }
      add_row_sums(sums, c, first, second);
      if (chain.shortcut_gradient)
        for (Index i = c; i < size; i += last.out)
          store(chain.shortcut_gradient + row + i, where_positive(load(result + i), load(gradient + i)));
    }
  }
}

static inline void finish_sums(const Chain& chain, const Layer& l, const Conv& s, const ThreadSums* sums, Index threads,
                 Normalisation& norm) {
  const double count = double(chain.images * s.out_height * s.out_width);
  for (Index c = 0; c < s.out; ++c) {
    double first = 0, second = 0;
    for (Index t = 0; t < threads; ++t) first += sums[t].first[c], second += sums[t].second[c];
    const double deviation = l.deviation[c], scale = l.gamma[c] * deviation;
    l.beta_gradient[c] = float(first);
    l.gamma_gradient[c] = float(second * deviation);
    norm.slope[c] = float(scale * deviation * deviation * second / count);
    norm.offset[c] = float(scale * first / count);
  }
}

// Gradient of a layer's raw output, one image, into scratch. `result` masks the last layer's ReLU, or is null.
static inline void stage_gradient(const Conv& s, const Normalisation& norm, const float* gradient, const float* result,
                    const float* output, float* target) {
  for (Index y = 0; y < s.out_height; ++y) {
    const Index row = y * s.out_width * s.out;
    float* to = target + y * s.grad_columns * s.out;
    for (Index c = 0; c < s.out; c += LANES) {
      const vec mean = load(norm.mean + c), scale = load(norm.scale + c), slope = load(norm.slope + c);
      const vec offset = load(norm.offset + c);
      for (Index i = c; i < s.out_width * s.out; i += s.out) {
        vec dz = load(gradient + row + i);
        if (result) dz = where_positive(load(result + row + i), dz);
        store(to + i, dz * scale - (load(output + row + i) - mean) * slope - offset);
      }
    }
  }
}

// Gradient at the border-free part of dx, through the ReLU that made x, to the layer before; and that layer's sums.
static inline void pass_inward(const Conv& s, const float* dx, const float* x, const float* output,
                               const Normalisation& norm, float* gradient, ThreadSums& sums) {
  for (Index y = 0; y < s.height; ++y) {
    const Index row = y * s.width * s.in, inside = ((y + s.pad) * s.columns + s.pad) * s.in;
    for (Index c = 0; c < s.in; c += LANES) {
      const vec mean = load(norm.mean + c);
      vec first{}, second{};
      for (Index i = c; i < s.width * s.in; i += s.in) {
        const vec dz = where_positive(load(x + inside + i), load(dx + inside + i));
        first += dz;
        second += dz * (load(output + row + i) - mean);
        store(gradient + row + i, dz);
      }
      add_row_sums(sums, c, first, second);
    }
  }
}

// Gradient of the chain's input: what came through the first convolution and what came around it.
static inline void write_input_gradient(const Chain& chain, const Conv& first, const Conv& last, const float* dx,
                                        Index image) {
  const Index size = first.width * first.in, result_size = last.out_width * last.out;
  for (Index y = 0; y < first.height; ++y) {
    const float* from = dx + ((y + first.pad) * first.columns + first.pad) * first.in;
    float* to = chain.input_gradient + (image * first.height + y) * size;
    if (chain.shortcut_kind == IDENTITY) {
      const Index row = (image * first.height + y) * size;
      const float *result = chain.result + row, *gradient = chain.result_gradient + row;
      for (Index i = 0; i < size; i += LANES)
        store(to + i, load(from + i) + where_positive(load(result + i), load(gradient + i)));
      continue;
    }
    std::memcpy(to, from, size * 4);
    if (chain.shortcut_kind != PADDED || y % chain.stride) continue;
    const Index row = (image * last.out_height + y / chain.stride) * result_size + chain.before;
    for (Index x = 0; x < last.out_width; ++x)
      for (Index c = 0; c < first.in; ++c) {
        const Index i = row + x * last.out + c;
        if (!(chain.result[i] <= 0)) to[x * chain.stride * first.in + c] += chain.result_gradient[i];
      }
  }
}
