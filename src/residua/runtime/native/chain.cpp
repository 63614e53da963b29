// A chain of convolutions in training mode, each with batch normalisation, ReLU between them, and at the end
// relu(last + shortcut): a stem (one layer), a basic unit (two) or a bottleneck (three), forward and backward.
//
// Channels lie innermost (torch's channels_last). What travels between layers is the raw output c of each convolution:
// normalisation and ReLU are done when an image is copied into scratch for the next layer, the statistics and the sums
// of the backward pass while an image is still in cache, so that every activation is read and written as rarely as
// possible. Each thread owns a fixed range of images and sums are added in the order of threads: results repeat bit for
// bit.
#include <omp.h>

#include "passes.h"

namespace {

constexpr int MAX_LAYERS = 3;
constexpr Index CACHED_FLOATS = 1 << 17;  // of one layer's output, half a megabyte: it is read again at once

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
      conv[l] = Conv(chain.layer[l].shape, chain.bf16);
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

// Fills in the sizes of the structures that cross from Python, bytes.
extern "C" void residua_sizes(int64_t* shape, int64_t* weight, int64_t* layer, int64_t* chain) {
  *shape = sizeof(Shape), *weight = sizeof(Weight), *layer = sizeof(Layer), *chain = sizeof(Chain);
}

// Whether the processor multiplies pairs of bf16 by an instruction of its own: elsewhere bf16 is slower than float.
extern "C" int residua_multiplies_bf16() {
#if defined(__AVX512BF16__)
  return 1;
#else
  return 0;
#endif
}

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
      arrange_weight(s, chain.layer[l].weight, false, first_row(s.in, t, threads), first_row(s.in, t + 1, threads), plan.weight[l]);
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
        conv_forward(s, w, count, plan.weight[l], output, ahead);
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

// Evaluation: every layer's mean and deviation are given, so nothing waits for the other threads' images. A few images
// at a time pass through all layers, while what lies between two layers is still in cache.
extern "C" int residua_chain_infer(const Chain* given) {
  const Chain& chain = *given;
  Plan plan(chain, scratch);
  if (!plan.thread) return 1;
  Index step = 1, largest = 1;
  for (Index l = 0; l < chain.layers; ++l) {
    const Conv& s = plan.conv[l];
    step = most(step, s.group), largest = most(largest, s.out_height * s.out_width * s.out);
  }
  step = most(step, CACHED_FLOATS / largest);
#pragma omp parallel num_threads(chain.threads)
  {
    const Index t = omp_get_thread_num(), threads = omp_get_num_threads();
    const Index begin = chain.images * t / threads, end = chain.images * (t + 1) / threads;
    for (Index l = 0; l < chain.layers; ++l) {
      const Conv& s = plan.conv[l];
      arrange_weight(s, chain.layer[l].weight, false, first_row(s.in, t, threads), first_row(s.in, t + 1, threads), plan.weight[l]);
    }
    std::memset(plan.thread[t].row, 0, plan.longest_row * 4);
#pragma omp barrier
    for (Index from = begin; from < end; from += step) {
      const Index to = end - from < step ? end : from + step;
      for (Index l = 0; l < chain.layers; ++l) {
        const Conv& s = plan.conv[l];
        const Workspace w = lay_out(s, plan.thread[t].space);
        const float* source = l ? chain.layer[l - 1].output : chain.input;
        const Index in_size = s.height * s.width * s.in, out_size = s.out_height * s.out_width * s.out;
        for (Index first = from; first < to; first += s.group) {
          const Index count = to - first < s.group ? to - first : s.group;
          for (Index i = 0; i < count; ++i)
            stage_input(s, source + (first + i) * in_size, l ? &plan.norm[l - 1] : nullptr, w.x + i * s.image_size());
          Ahead ahead;
          conv_forward(s, w, count, plan.weight[l], chain.layer[l].output + first * out_size, ahead);
        }
      }
      for (Index image = from; image < to; ++image)
        write_result(chain, plan.conv[0], plan.last(), plan.norm[chain.layers - 1], image, plan.thread[t].row);
    }
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
      if (inward) arrange_weight(s, layer.weight, true, first_row(s.out, t, threads), first_row(s.out, t + 1, threads), plan.weight[l]);
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
        conv_backward(s, w, count, plan.weight[l], inward ? w.dx : nullptr, weights, ahead);
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
