// Convolution of a few images held in scratch memory: Winograd F(4x4, 3x3) where it applies, direct otherwise.
//
// Winograd: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), section 4.3:
//   Y = A^T [ (G g G^T) . (B^T d B) ] A
// turns 144 multiplications for a 4x4 tile of outputs into 36. Over channels and tiles, each of the 36 positions is
// one matrix product. Its derivatives are those of the formula itself, with D = A dY A^T:
//   dg = G^T [ sum over tiles of (B^T d B) . D ] G        dd = B [ (G g G^T) . D ] B^T   (overlapping tiles add up)
#pragma once
#include "chain.h"
#include "simd.h"

struct Conv : Shape {
  Index out_height, out_width;  // of the output
  Index rows, columns;          // of an input image with its border of zeros
  Index grad_rows, grad_columns;  // of an output-gradient image in scratch
  Index tiles_down, tiles_across, group, chunk;
  bool winograd, bf16;  // bf16: the products of the Winograd domain take bf16, and add in float

  Conv() = default;
  Conv(const Shape& s, bool in_bf16) : Shape(s) {
    out_height = (height + 2 * pad - kernel) / stride + 1;
    out_width = (width + 2 * pad - kernel) / stride + 1;
    winograd = kernel == 3 && stride == 1 && pad == 1 && in % LANES == 0;
    bf16 = winograd && in_bf16;
    tiles_down = (out_height + 3) / 4, tiles_across = (out_width + 3) / 4;
    rows = winograd ? 4 * tiles_down + 2 : height + 2 * pad;
    columns = winograd ? 4 * tiles_across + 2 : width + 2 * pad;
    grad_rows = winograd ? 4 * tiles_down : out_height;
    grad_columns = winograd ? 4 * tiles_across : out_width;
    // Enough tiles to make the products worth their overhead, few enough to keep what is between them in cache.
    chunk = in < 64 ? 1024 / in : 16;
    const Index tiles = tiles_down * tiles_across;
    group = winograd && tiles < chunk ? chunk / tiles : 1;
  }
  Index taps() const { return winograd ? 36 : kernel * kernel; }
  Index weight_size() const { return taps() * in * out; }
  Index image_size() const { return rows * columns * in; }
  Index grad_size() const { return grad_rows * grad_columns * out; }
  Index v_step() const { return chunk * in + 16; }
  Index m_step() const { return chunk * out + 16; }
  Index pair_step(Index channels) const { return (chunk + 1) / 2 * channels + 16; }
};

// Scratch memory of a convolution.
struct Workspace {
  float *x, *dx, *dy;     // padded images, and gradients of outputs
  float *v, *m;           // of the Winograd domain: inputs, or their gradients; outputs, or their gradients
  Pair *v_pairs;          // inputs in bf16: pairs of channels forward, of tiles backward
  Pair *m_rows, *m_pairs;  // output gradients in bf16: pairs of channels; of tiles
};

// What the next images will need, fetched into the cache a few lines at a time between the steps of this one's
// arithmetic: an activation is read once, in order, and waiting for it would take longer than the arithmetic.
class Ahead {
 public:
  void add(const float* start, Index floats) {
    if (start && count_ < MOST) begin_[count_] = start, end_[count_] = start + floats, ++count_, lines_ += floats / 16;
  }
  void spread_over(Index steps) { share_ = steps > 0 ? lines_ / steps + 1 : 0; }
  void step() {
    for (Index i = 0; i < share_ && now_ < count_; ++i) {
      __builtin_prefetch(begin_[now_], 0, 2);
      begin_[now_] += 16;
      if (begin_[now_] >= end_[now_]) ++now_;
    }
  }

 private:
  static constexpr int MOST = 8;
  const float *begin_[MOST], *end_[MOST];
  Index count_ = 0, now_ = 0, lines_ = 0, share_ = 0;
};

// One-dimensional transforms, applied to the columns and then to the rows of a tile.
static inline void input_1d(const vec* d, vec* v) {  // B^T
  const vec a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1], c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
  v[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
  v[1] = a + b;
  v[2] = a - b;
  v[3] = c + e;
  v[4] = c - e;
  v[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}
static inline void input_adjoint_1d(const vec* v, vec* d) {  // B
  const vec sum = v[1] + v[2], difference = v[1] - v[2], sum2 = v[3] + v[4], difference2 = 2.0f * (v[3] - v[4]);
  d[0] = 4.0f * v[0];
  d[1] = 4.0f * (v[5] - difference) - difference2;
  d[2] = -5.0f * v[0] - 4.0f * sum - sum2;
  d[3] = difference + difference2 - 5.0f * v[5];
  d[4] = v[0] + sum + sum2;
  d[5] = v[5];
}
static inline void output_1d(const vec* m, vec* y) {  // A^T
  const vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
  y[0] = m[0] + a + c;
  y[1] = b + 2.0f * d;
  y[2] = a + 4.0f * c;
  y[3] = b + 8.0f * d + m[5];
}
static inline void output_adjoint_1d(const vec* y, vec* m) {  // A
  const vec even = y[0] + y[2], odd = y[1] + y[3], even2 = y[0] + 4.0f * y[2], odd2 = 2.0f * y[1] + 8.0f * y[3];
  m[0] = y[0];
  m[1] = even + odd;
  m[2] = even - odd;
  m[3] = even2 + odd2;
  m[4] = even2 - odd2;
  m[5] = y[3];
}
static inline void weight_1d(const vec* g, vec* u) {  // G
  const vec even = (g[0] + g[2]) / 6.0f, odd = g[1] / 6.0f, even2 = g[0] / 24.0f + g[2] / 6.0f, odd2 = g[1] / 12.0f;
  u[0] = g[0] / 4.0f;
  u[1] = -even - odd;
  u[2] = odd - even;
  u[3] = even2 + odd2;
  u[4] = even2 - odd2;
  u[5] = g[2];
}
static inline void weight_adjoint_1d(const vec* u, vec* g) {  // G^T
  const vec sum = (u[1] + u[2]) / 6.0f, difference = (u[2] - u[1]) / 6.0f;
  g[0] = u[0] / 4.0f - sum + (u[3] + u[4]) / 24.0f;
  g[1] = difference + (u[3] - u[4]) / 12.0f;
  g[2] = (u[3] + u[4]) / 6.0f - sum + u[5];
}

// FROM x FROM vectors at `source` -> TO x TO at `target`, `f` along both axes.
template <int FROM, int TO, typename F, typename Put>
__attribute__((always_inline)) static inline void transform_2d(F f, const float* source, Index down, Index across,
                                                               Put put) {
  vec half[TO][FROM];
#pragma GCC unroll 8
  for (int x = 0; x < FROM; ++x) {
    vec column[FROM], result[TO];
#pragma GCC unroll 8
    for (int y = 0; y < FROM; ++y) column[y] = load(source + y * down + x * across);
    f(column, result);
#pragma GCC unroll 8
    for (int y = 0; y < TO; ++y) half[y][x] = result[y];
  }
#pragma GCC unroll 8
  for (int y = 0; y < TO; ++y) {
    vec result[TO];
    f(half[y], result);
#pragma GCC unroll 8
    for (int x = 0; x < TO; ++x) put(y, x, result[x]);
  }
}

// A 4x4 tile of outputs: its image and its top left pixel. Tiles are numbered image by image, row by row.
struct Tile {
  Index image, y, x;
  Tile(const Conv& s, Index number) {
    const Index per_image = s.tiles_down * s.tiles_across, rest = number % per_image;
    image = number / per_image, y = 4 * (rest / s.tiles_across), x = 4 * (rest % s.tiles_across);
  }
  void advance(const Conv& s) {
    if ((x += 4) < 4 * s.tiles_across) return;
    x = 0, y += 4;
    if (y >= 4 * s.tiles_down) y = 0, ++image;
  }
};

// B^T d B for `count` tiles of the padded images at x; put(tile, channel, position, vector) keeps it.
template <typename Put>
__attribute__((always_inline)) static inline void transform_inputs(const Conv& s, const float* x, Index first,
                                                                   Index count, Ahead& ahead, Put put) {
  Tile at(s, first);
  for (Index t = 0; t < count; ++t, at.advance(s)) {
    ahead.step();
    const float* corner = x + at.image * s.image_size() + (at.y * s.columns + at.x) * s.in;
    for (Index c = 0; c < s.in; c += LANES)
      transform_2d<6, 6>(input_1d, corner + c, s.columns * s.in, s.in,
                         [=](int i, int j, vec r) { put(t, c, i * 6 + j, r); });
  }
}

// A dY A^T for `count` tiles of the output gradients at dy; put as above.
template <typename Put>
__attribute__((always_inline)) static inline void transform_gradients(const Conv& s, const float* dy, Index first,
                                                                      Index count, Ahead& ahead, Put put) {
  Tile at(s, first);
  for (Index t = 0; t < count; ++t, at.advance(s)) {
    ahead.step();
    const float* corner = dy + at.image * s.grad_size() + (at.y * s.grad_columns + at.x) * s.out;
    for (Index c = 0; c < s.out; c += LANES)
      transform_2d<4, 6>(output_adjoint_1d, corner + c, s.grad_columns * s.out, s.out,
                         [=](int i, int j, vec r) { put(t, c, i * 6 + j, r); });
  }
}

// Keeps a vector of a tile beside the same channels of its neighbour: tiles of an even number come first.
static inline void store_paired(Pair* p, Index tile, vec v) {
  store(p, tile % 2 ? load(p) | rounded(v) << 16 : rounded(v));
}

// A^T m A for `count` tiles -> outputs y.
static void write_outputs(const Conv& s, const float* m, Index first, Index count, float* y, Ahead& ahead) {
  const Index down = s.out_width * s.out;
  Tile at(s, first);
  for (Index t = 0; t < count; ++t, at.advance(s)) {
    ahead.step();
    float* corner = y + ((at.image * s.out_height + at.y) * s.out_width + at.x) * s.out;
    const Index high = s.out_height - at.y, wide = s.out_width - at.x;
    for (Index c = 0; c < s.out; c += LANES) {
      const float* source = m + t * s.out + c;
      float* target = corner + c;
      if (high >= 4 && wide >= 4)
        transform_2d<6, 4>(output_1d, source, 6 * s.m_step(), s.m_step(),
                           [=](int i, int j, vec r) { store(target + i * down + j * s.out, r); });
      else
        transform_2d<6, 4>(output_1d, source, 6 * s.m_step(), s.m_step(), [=](int i, int j, vec r) {
          if (i < high && j < wide) store(target + i * down + j * s.out, r);
        });
    }
  }
}

// B v B^T for `count` tiles, added to the padded input gradient dx.
static void add_input_gradient(const Conv& s, const float* v, Index first, Index count, float* dx, Ahead& ahead) {
  Tile at(s, first);
  for (Index t = 0; t < count; ++t, at.advance(s)) {
    ahead.step();
    float* corner = dx + at.image * s.image_size() + (at.y * s.columns + at.x) * s.in;
    for (Index c = 0; c < s.in; c += LANES) {
      float* target = corner + c;
      const Index down = s.columns * s.in;
      transform_2d<6, 6>(input_adjoint_1d, v + t * s.in + c, 6 * s.v_step(), s.v_step(), [=](int i, int j, vec r) {
        float* pixel = target + i * down + j * s.in;
        store(pixel, load(pixel) + r);
      });
    }
  }
}

static void winograd_forward(const Conv& s, const Workspace& w, Index images, const float* u, float* y, Ahead& ahead) {
  const Index tiles = images * s.tiles_down * s.tiles_across, v_step = s.v_step(), pair_step = s.pair_step(s.in);
  float *v = w.v, *m = w.m;
  Pair* v_pairs = w.v_pairs;
  // Where one block of the product holds whole rows, they may take the place of what they were made from.
  if (!s.bf16 && s.in == s.out && s.out <= 2 * LANES) m = v;
  ahead.spread_over(2 * tiles + 36 * ((tiles + s.chunk - 1) / s.chunk));
  for (Index first = 0; first < tiles; first += s.chunk) {
    const Index count = tiles - first < s.chunk ? tiles - first : s.chunk, in = s.in;
    if (s.bf16)
      transform_inputs(s, w.x, first, count, ahead, [=](Index t, Index c, int k, vec r) {
        store_halves(v_pairs + k * pair_step + (t * in + c) / 2, r);
      });
    else
      transform_inputs(s, w.x, first, count, ahead,
                       [=](Index t, Index c, int k, vec r) { store(v + k * v_step + t * in + c, r); });
    for (Index k = 0; k < 36; ++k) {
      if (s.bf16)
        product<false, false>(count, s.out, in / 2, v_pairs + k * pair_step, in / 2, 1,
                              reinterpret_cast<const Pair*>(u) + k * in / 2 * s.out, s.out, m + k * s.m_step(), s.out);
      else
        product<false, false>(count, s.out, in, v + k * v_step, in, 1, u + k * in * s.out, s.out, m + k * s.m_step(),
                              s.out);
      ahead.step();
    }
    write_outputs(s, m, first, count, y, ahead);
  }
}

// For `count` tiles: adds to du (36, in, out); if `inward`, w.v becomes the gradient of their transformed inputs.
static void backward_products(const Conv& s, const Workspace& w, Index first, Index count, const float* ut, bool inward,
                              float* du, Ahead& ahead) {
  const Index in = s.in, out = s.out, v_step = s.v_step(), m_step = s.m_step();
  float *v = w.v, *m = w.m;
  transform_inputs(s, w.x, first, count, ahead,
                   [=](Index t, Index c, int k, vec r) { store(v + k * v_step + t * in + c, r); });
  transform_gradients(s, w.dy, first, count, ahead,
                      [=](Index t, Index c, int k, vec r) { store(m + k * m_step + t * out + c, r); });
  for (Index k = 0; k < 36; ++k) {
    float *vk = v + k * v_step, *mk = m + k * m_step;
    product<true, true>(in, out, count, vk, 1, in, mk, out, du + k * in * out, out);
    if (inward) product<false, false>(count, in, out, mk, out, 1, ut + k * in * out, in, vk, in);
    ahead.step();
  }
}

// The same in bf16: du sums over tiles, so tiles are paired for it; the inputs' gradient sums over channels.
static void backward_products_bf16(const Conv& s, const Workspace& w, Index first, Index count, const float* ut,
                                   bool inward, float* du, Ahead& ahead) {
  const Index in = s.in, out = s.out, v_step = s.pair_step(in), m_step = s.pair_step(out);
  Pair *v = w.v_pairs, *rows = w.m_rows, *m = w.m_pairs;
  transform_inputs(s, w.x, first, count, ahead, [=](Index t, Index c, int k, vec r) {
    store_paired(v + k * v_step + t / 2 * in + c, t, r);
  });
  transform_gradients(s, w.dy, first, count, ahead, [=](Index t, Index c, int k, vec r) {
    store_paired(m + k * m_step + t / 2 * out + c, t, r);
    store_halves(rows + k * m_step + (t * out + c) / 2, r);
  });
  const Pair* u = reinterpret_cast<const Pair*>(ut);
  for (Index k = 0; k < 36; ++k) {
    product<true, true>(in, out, (count + 1) / 2, v + k * v_step, 1, in, m + k * m_step, out, du + k * in * out, out);
    if (inward)
      product<false, false>(count, in, out / 2, rows + k * m_step, out / 2, 1, u + k * in * out / 2, in,
                            w.v + k * s.v_step(), in);
    ahead.step();
  }
}

// dx (padded, may be null) and du (36, in, out) are added to; ut is u with its matrices transposed.
static void winograd_backward(const Conv& s, const Workspace& w, Index images, const float* ut, float* dx, float* du,
                              Ahead& ahead) {
  const Index tiles = images * s.tiles_down * s.tiles_across;
  ahead.spread_over(3 * tiles + 36 * ((tiles + s.chunk - 1) / s.chunk));
  for (Index first = 0; first < tiles; first += s.chunk) {
    const Index count = tiles - first < s.chunk ? tiles - first : s.chunk;
    if (s.bf16)
      backward_products_bf16(s, w, first, count, ut, dx != nullptr, du, ahead);
    else
      backward_products(s, w, first, count, ut, dx != nullptr, du, ahead);
    if (dx) add_input_gradient(s, w.v, first, count, dx, ahead);
  }
}

// Direct convolution: a kernel row's taps and channels lie side by side in the image, so a row is one product.
static void direct_forward(const Conv& s, const float* x, const float* w, float* y, Ahead& ahead) {
  const Index depth = s.kernel * s.in, step = s.stride * s.in, size = s.out_width * s.out;
  for (Index r = 0; r < s.out_height; ++r, y += size) {
    const float* rows = x + r * s.stride * s.columns * s.in;
    product<false, false>(s.out_width, s.out, depth, rows, step, 1, w, s.out, y, s.out);
    for (Index ky = 1; ky < s.kernel; ++ky) {
      ahead.step();
      product<false, true>(s.out_width, s.out, depth, rows + ky * s.columns * s.in, step, 1, w + ky * depth * s.out,
                           s.out, y, s.out);
    }
  }
}

static void direct_backward(const Conv& s, const float* x, const float* dy, const float* wt, float* dx, float* dw,
                            Ahead& ahead) {
  const Index depth = s.kernel * s.in, step = s.stride * s.in, matrix = s.in * s.out;
  for (Index r = 0; r < s.out_height; ++r, dy += s.out_width * s.out)
    for (Index ky = 0; ky < s.kernel; ++ky) {
      ahead.step();
      const Index row = (r * s.stride + ky) * s.columns * s.in;
      product<true, true>(depth, s.out, s.out_width, x + row, 1, step, dy, s.out, dw + ky * depth * s.out, s.out);
      for (Index kx = 0; dx && kx < s.kernel; ++kx)
        product<false, true>(s.out_width, s.in, s.out, dy, s.out, 1, wt + (ky * s.kernel + kx) * matrix, s.in,
                             dx + row + kx * s.in, step);
    }
}

static void conv_forward(const Conv& s, const Workspace& w, Index images, const float* weight, float* y,
                         Ahead& ahead) {
  if (s.winograd) return winograd_forward(s, w, images, weight, y, ahead);
  ahead.spread_over(images * s.out_height * s.kernel);
  for (Index i = 0; i < images; ++i)
    direct_forward(s, w.x + i * s.image_size(), weight, y + i * s.out_height * s.out_width * s.out, ahead);
}

static void conv_backward(const Conv& s, const Workspace& w, Index images, const float* weight, float* dx, float* dw,
                          Ahead& ahead) {
  if (s.winograd) return winograd_backward(s, w, images, weight, dx, dw, ahead);
  ahead.spread_over(images * s.out_height * s.kernel);
  for (Index i = 0; i < images; ++i)
    direct_backward(s, w.x + i * s.image_size(), w.dy + i * s.grad_size(), weight,
                    dx ? dx + i * s.image_size() : nullptr, dw, ahead);
}

constexpr Index MOST_TAPS = 49;  // of a 7x7 kernel; Winograd has 36 positions

// The rows of a weight's matrices that thread t arranges begin here; pairs of them stay together.
static inline Index first_row(Index rows, Index t, Index threads) {
  return t == threads ? rows : rows * t / threads / 2 * 2;
}

// -> [tap or position][in][out], or [..][out][in] when `transposed`; rows of those matrices from `begin` to `end`.
static void arrange_weight(const Conv& s, const Weight& w, bool transposed, Index begin, Index end, float* target) {
  const Index columns = transposed ? s.in : s.out, matrix = s.in * s.out;
  const Index row_step = transposed ? w.out_step : w.in_step, column_step = transposed ? w.in_step : w.out_step;
  float taps[MOST_TAPS * LANES];
  for (Index i = begin; i < end; ++i)
    for (Index j = 0; j < columns; j += LANES) {
      for (Index k = 0; k < s.kernel * s.kernel; ++k)
        for (Index lane = 0; lane < LANES; ++lane)
          taps[k * LANES + lane] = w.data[i * row_step + (j + lane) * column_step + k / s.kernel * w.down_step +
                                          k % s.kernel * w.across_step];
      float* result = target + i * columns + j;
      Pair* pairs_of_rows = reinterpret_cast<Pair*>(target) + i / 2 * columns + j;
      if (s.bf16)
        transform_2d<3, 6>(weight_1d, taps, 3 * LANES, LANES, [=](int y, int x, vec r) {
          store_paired(pairs_of_rows + (y * 6 + x) * matrix / 2, i, r);
        });
      else if (s.winograd)
        transform_2d<3, 6>(weight_1d, taps, 3 * LANES, LANES,
                           [=](int y, int x, vec r) { store(result + (y * 6 + x) * matrix, r); });
      else
        for (Index k = 0; k < s.taps(); ++k) store(result + k * matrix, load(taps + k * LANES));
    }
}

// The threads' sums [tap or position][in][out], added in their order, -> the gradient in the strides of the weight;
// input channels from `begin` to `end`.
static void gather_weight_gradient(const Conv& s, float* const* parts, Index part_count, Index begin, Index end,
                                   const Weight& w) {
  const Index matrix = s.in * s.out;
  float sums[MOST_TAPS * LANES], taps[MOST_TAPS * LANES];
  for (Index i = begin; i < end; ++i)
    for (Index j = 0; j < s.out; j += LANES) {
      for (Index k = 0; k < s.taps(); ++k) {
        vec sum = load(parts[0] + k * matrix + i * s.out + j);
        for (Index p = 1; p < part_count; ++p) sum += load(parts[p] + k * matrix + i * s.out + j);
        store((s.winograd ? sums : taps) + k * LANES, sum);
      }
      if (s.winograd)
        transform_2d<6, 3>(weight_adjoint_1d, sums, 6 * LANES, LANES,
                           [&](int y, int x, vec r) { store(taps + (y * 3 + x) * LANES, r); });
      for (Index k = 0; k < s.kernel * s.kernel; ++k)
        for (Index lane = 0; lane < LANES; ++lane)
          w.data[(j + lane) * w.out_step + i * w.in_step + k / s.kernel * w.down_step +
                 k % s.kernel * w.across_step] = taps[k * LANES + lane];
    }
}
