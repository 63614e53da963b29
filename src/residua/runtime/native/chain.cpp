// A chain of convolutions in training mode, each with batch normalisation, ReLU between them, and at the end
// relu(last + shortcut): a stem (one layer), a basic unit (two) or a bottleneck (three), forward and backward.
//
// Channels lie innermost (torch's channels_last). What travels between layers is the raw output c of each convolution:
// normalisation and ReLU are done when an image is copied into scratch for the next layer, the statistics and the sums of the
// backward pass while an image is still in cache, so that every activation is read and written as rarely as possible.
// Each thread owns a fixed range of images and sums are added in the order of threads: results repeat bit for bit.
#include <cmath>
#include <omp.h>

#include "conv.h"

extern "C" {
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

namespace {

constexpr int MAX_LAYERS = 3;

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

struct Workspace {
  float *x, *dx, *dy, *v, *m;
};

Index most(Index a, Index b) { return a > b ? a : b; }

Index workspace_size(const Conv& s) {
  return 2 * padded(s.group * s.image_size()) + padded(s.group * s.grad_size()) +
         padded(36 * s.v_step()) + padded(36 * s.m_step());
}

Workspace lay_out(const Conv& s, float* start) {
  Take scratch{start};
  Workspace w;
  w.x = scratch(s.group * s.image_size());
  w.dx = scratch(s.group * s.image_size());
  w.dy = scratch(s.group * s.grad_size());
  w.v = scratch(s.winograd ? 36 * s.v_step() : 0);
  w.m = scratch(s.winograd ? 36 * s.m_step() : 0);
  std::memset(w.x, 0, s.group * s.image_size() * 4);
  std::memset(w.dy, 0, s.group * s.grad_size() * 4);
  return w;
}

// Copies an input image into its zero border; a layer's raw output is normalised and activated on the way.
void stage_input(const Conv& s, const float* source, const Normalisation* norm, float* target) {
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

void add_row_sums(ThreadSums& sums, Index c, vec first, vec second) {
  accumulate(sums.first + c, first);
  accumulate(sums.second + c, second);
}

// The variance is taken about a pixel of the batch: sums of squares about zero lose a variance far below the mean.
void add_statistics(const Conv& s, const float* output, Index images, ThreadSums& sums) {
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

void finish_statistics(const Chain& chain, const Layer& l, const Conv& s, const ThreadSums* sums, Index threads,
                       Normalisation& norm) {
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
const float* shortcut_row(const Chain& chain, const Conv& first, const Conv& last, Index image, Index y, float* buffer) {
  const Index row = (image * last.out_height + y) * last.out_width * last.out;
  if (chain.shortcut_kind == IDENTITY) return chain.input + row;
  if (chain.shortcut_kind == GIVEN) return chain.shortcut + row;
  if (chain.shortcut_kind == NO_SHORTCUT) return nullptr;
  const float* from = chain.input + (image * first.height + y * chain.stride) * first.width * first.in;
  for (Index x = 0; x < last.out_width; ++x)
    std::memcpy(buffer + x * last.out + chain.before, from + x * chain.stride * first.in, first.in * 4);
  return buffer;
}

void write_result(const Chain& chain, const Conv& first, const Conv& last, const Normalisation& norm, Index image,
                  float* buffer) {
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
void add_last_sums(const Chain& chain, const Conv& last, const Normalisation& norm, Index image, ThreadSums& sums) {
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

void finish_sums(const Chain& chain, const Layer& l, const Conv& s, const ThreadSums* sums, Index threads,
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
void stage_gradient(const Conv& s, const Normalisation& norm, const float* gradient, const float* result,
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
void pass_inward(const Conv& s, const float* dx, const float* x, const float* output, const Normalisation& norm,
                 float* gradient, ThreadSums& sums) {
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
void write_input_gradient(const Chain& chain, const Conv& first, const Conv& last, const float* dx, Index image) {
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
        if (chain.result[i] > 0) to[x * chain.stride * first.in + c] += chain.result_gradient[i];
      }
  }
}

// What all threads see of one call: the layers' shapes, arranged weights, normalisations, and each thread's memory.
struct Plan {
  const Chain& chain;
  Index widest = 0, longest_row = 0, space = 0, weights = 0;
  Conv conv[MAX_LAYERS];
  float* weight[MAX_LAYERS];
  Normalisation norm[MAX_LAYERS];
  struct Thread {
    float *row, *weights, *space;  // weights: the gradient before its last transform
  }* thread = nullptr;
  ThreadSums* sums;
  float** parts;

  explicit Plan(const Chain& c, Scratch& scratch) : chain(c) {
    Index shared = 0;
    for (Index l = 0; l < chain.layers; ++l) {
      conv[l] = Conv(chain.layer[l].shape);
      widest = most(widest, conv[l].out);
      longest_row = most(longest_row, conv[l].out_width * conv[l].out);
      space = most(space, workspace_size(conv[l]));
      weights = most(weights, conv[l].weight_size());
      shared += padded(conv[l].weight_size());
    }
    const Index table = (sizeof(Thread) + sizeof(ThreadSums) + sizeof(float*)) * chain.threads / 4;
    const Index own = 5 * padded(widest) + padded(longest_row) + padded(weights) + padded(space);
    float* start = scratch.reserve(shared + 3 * MAX_LAYERS * padded(widest) + padded(table) + chain.threads * own);
    if (!start) return;
    Take take{start};
    thread = reinterpret_cast<Thread*>(take(table));
    sums = reinterpret_cast<ThreadSums*>(thread + chain.threads);
    parts = reinterpret_cast<float**>(sums + chain.threads);
    for (Index l = 0; l < chain.layers; ++l) {
      weight[l] = take(conv[l].weight_size());
      norm[l].mean = chain.layer[l].mean, norm[l].beta = chain.layer[l].beta;
      norm[l].scale = take(widest), norm[l].slope = take(widest), norm[l].offset = take(widest);
      for (Index i = 0; i < conv[l].out; ++i) norm[l].scale[i] = chain.layer[l].gamma[i] * chain.layer[l].deviation[i];
    }
    for (Index t = 0; t < chain.threads; ++t) {
      sums[t].first = reinterpret_cast<double*>(take(2 * widest));
      sums[t].second = reinterpret_cast<double*>(take(2 * widest));
      sums[t].pivot = take(widest);
      thread[t].row = take(longest_row);
      thread[t].weights = parts[t] = take(weights);
      thread[t].space = take(space);
    }
  }
  void clear(Index t) {
    std::memset(sums[t].first, 0, widest * 8);
    std::memset(sums[t].second, 0, widest * 8);
  }
  const Conv& last() const { return conv[chain.layers - 1]; }
};

thread_local Scratch scratch;

}  // namespace

// Both return 0, or 1 when memory is short.
extern "C" int residua_chain_forward(const Chain* given) {
  const Chain& chain = *given;
  Plan plan(chain, scratch);
  if (!plan.thread) return 1;
#pragma omp parallel num_threads(chain.threads)
  {
    const Index t = omp_get_thread_num(), threads = omp_get_num_threads();
    const Index begin = chain.images * t / threads, end = chain.images * (t + 1) / threads;
    for (Index l = 0; l < chain.layers; ++l) {
      const Conv& s = plan.conv[l];
      arrange_weight(s, chain.layer[l].weight, false, s.in * t / threads, s.in * (t + 1) / threads, plan.weight[l]);
      const Workspace w = lay_out(s, plan.thread[t].space);
      const float* source = l ? chain.layer[l - 1].output : chain.input;
      const Index in_size = s.height * s.width * s.in, out_size = s.out_height * s.out_width * s.out;
      plan.clear(t);
#pragma omp barrier
      for (Index first = begin; first < end; first += s.group) {
        const Index count = end - first < s.group ? end - first : s.group;
        for (Index i = 0; i < count; ++i)
          stage_input(s, source + (first + i) * in_size, l ? &plan.norm[l - 1] : nullptr,
                      w.x + i * s.image_size());
        float* output = chain.layer[l].output + first * out_size;
        Ahead ahead;
        const Index after = first + count, next = end - after < s.group ? end - after : s.group;
        ahead.add(source + after * in_size, next * in_size);
        ahead.add(output + count * out_size, next * out_size);
        conv_forward(s, w.x, count, plan.weight[l], w.v, w.m, output, ahead);
        if (first == begin) std::memcpy(plan.sums[t].pivot, output, s.out * 4);
        add_statistics(s, output, count, plan.sums[t]);
      }
#pragma omp barrier
#pragma omp single
      finish_statistics(chain, chain.layer[l], s, plan.sums, threads, plan.norm[l]);
    }
    std::memset(plan.thread[t].row, 0, plan.longest_row * 4);
    for (Index image = begin; image < end; ++image)
      write_result(chain, plan.conv[0], plan.last(), plan.norm[chain.layers - 1], image, plan.thread[t].row);
  }
  return 0;
}

extern "C" int residua_chain_backward(const Chain* given) {
  const Chain& chain = *given;
  Plan plan(chain, scratch);
  if (!plan.thread) return 1;
#pragma omp parallel num_threads(chain.threads)
  {
    const Index t = omp_get_thread_num(), threads = omp_get_num_threads();
    const Index begin = chain.images * t / threads, end = chain.images * (t + 1) / threads;
    plan.clear(t);
    for (Index image = begin; image < end; ++image)
      add_last_sums(chain, plan.last(), plan.norm[chain.layers - 1], image, plan.sums[t]);
    for (Index l = chain.layers - 1; l >= 0; --l) {
      const Layer& layer = chain.layer[l];
      const Conv& s = plan.conv[l];
      const bool top = l == chain.layers - 1, inward = l > 0 || chain.input_gradient;
      const Index in_size = s.height * s.width * s.in, out_size = s.out_height * s.out_width * s.out;
      if (inward) arrange_weight(s, layer.weight, true, s.out * t / threads, s.out * (t + 1) / threads, plan.weight[l]);
#pragma omp barrier
#pragma omp single
      finish_sums(chain, layer, s, plan.sums, threads, plan.norm[l]);
      plan.clear(t);
      const Workspace w = lay_out(s, plan.thread[t].space);
      float* weights = plan.thread[t].weights;
      const float* source = l ? chain.layer[l - 1].output : chain.input;
      const float* gradient = top ? chain.result_gradient : layer.gradient;
      std::memset(weights, 0, s.weight_size() * 4);
      for (Index first = begin; first < end; first += s.group) {
        const Index count = end - first < s.group ? end - first : s.group;
        for (Index i = 0; i < count; ++i) {
          const Index image = first + i;
          stage_input(s, source + image * in_size, l ? &plan.norm[l - 1] : nullptr, w.x + i * s.image_size());
          stage_gradient(s, plan.norm[l], gradient + image * out_size,
                         top ? chain.result + image * out_size : nullptr, layer.output + image * out_size,
                         w.dy + i * s.grad_size());
        }
        if (inward) std::memset(w.dx, 0, count * s.image_size() * 4);
        Ahead ahead;
        const Index after = first + count, next = end - after < s.group ? end - after : s.group;
        ahead.add(source + after * in_size, next * in_size);
        ahead.add(layer.output + after * out_size, next * out_size);
        ahead.add(gradient + after * out_size, next * out_size);
        const float* target = l ? chain.layer[l - 1].gradient : chain.input_gradient;
        if (target) ahead.add(target + after * in_size, next * in_size);
        if (top) ahead.add(chain.result + after * out_size, next * out_size);
        if (l == 0 && !top && chain.shortcut_kind == IDENTITY) {
          ahead.add(chain.result + after * in_size, next * in_size);
          ahead.add(chain.result_gradient + after * in_size, next * in_size);
        }
        conv_backward(s, w.x, w.dy, count, plan.weight[l], w.v, w.m, inward ? w.dx : nullptr, weights, ahead);
        for (Index i = 0; inward && i < count; ++i) {
          const float* dx = w.dx + i * s.image_size();
          if (l == 0)
            write_input_gradient(chain, s, plan.last(), dx, first + i);
          else
            pass_inward(s, dx, w.x + i * s.image_size(), chain.layer[l - 1].output + (first + i) * in_size,
                        plan.norm[l - 1], chain.layer[l - 1].gradient + (first + i) * in_size, plan.sums[t]);
        }
      }
#pragma omp barrier
      gather_weight_gradient(s, plan.parts, threads, s.in * t / threads, s.in * (t + 1) / threads,
                             layer.weight_gradient);
#pragma omp barrier
    }
  }
  return 0;
}
