// The vector type, a small matrix product and scratch memory: all that the kernels share.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, WIDE_ROWS = 8, NARROW_ROWS = 16;
#elif defined(__AVX__)
constexpr int LANES = 8, WIDE_ROWS = 6, NARROW_ROWS = 8;
#else
constexpr int LANES = 4, WIDE_ROWS = 6, NARROW_ROWS = 8;
#endif

// Element alignment only: channel blocks of a tensor that starts anywhere may be loaded.
typedef float vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef long Index;

typedef double wide __attribute__((vector_size(LANES * 8), aligned(4), may_alias));

static inline vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
static inline void store(float* p, vec v) { *reinterpret_cast<vec*>(p) = v; }
static inline void accumulate(double* sum, vec v) {
  *reinterpret_cast<wide*>(sum) += __builtin_convertvector(v, wide);
}
// Both let what is not a number through, as torch's ReLU does: a diverging run must show it.
static inline vec positive(vec v) { return v <= 0.0f ? vec{} : v; }
static inline vec where_positive(vec test, vec v) { return test <= 0.0f ? vec{} : v; }

// Two neighbours of the summed dimension in bf16, the first in the lower half: a matrix of them is a matrix of half the
// depth, whose products the processor adds two at a time.
typedef uint32_t Pair __attribute__((may_alias));
typedef uint32_t pairs __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline pairs load(const Pair* p) { return *reinterpret_cast<const pairs*>(p); }
static inline void store(Pair* p, pairs v) { *reinterpret_cast<pairs*>(p) = v; }

static inline vec add_product(vec sum, float left, vec right) { return sum + left * right; }
#if defined(__AVX512BF16__)
static inline vec add_product(vec sum, Pair left, pairs right) {
  return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(left), (__m512bh)right);
}
static inline pairs rounded(vec v) {  // to bf16, in the lower halves
  return (pairs)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)v));
}
static inline void store_halves(Pair* p, vec v) {  // neighbours in v are pairs
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
#else  // the same numbers by means that every processor has; too slow to be of use
static inline vec add_product(vec sum, Pair left, pairs right) {
  const pairs low = right << 16, high = right & 0xffff0000u, both = pairs{} + left;
  return sum + (vec)(both << 16) * (vec)low + (vec)(both & 0xffff0000u) * (vec)high;
}
static inline pairs rounded(vec v) {
  const pairs bits = (pairs)v;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
static inline void store_halves(Pair* p, vec v) {
  const pairs bits = rounded(v);
  for (int i = 0; i < LANES / 2; ++i) p[i] = bits[2 * i] | bits[2 * i + 1] << 16;
}
#endif

// ROWS x (COLUMNS * LANES) block of C (+)= A B with the block held in registers.
// A[i, k] is a[i * a_row + k * a_k], a_row being 1 if ADJACENT; rows of B and C are contiguous; ADD: to what C holds.
// Elements of A and B are floats, or pairs.
template <int ROWS, int COLUMNS, bool ADJACENT, bool ADD, typename Element>
__attribute__((always_inline)) static inline void product_block(Index depth, const Element* a, Index a_row, Index a_k,
                                                                const Element* b, Index b_k, float* c, Index c_row) {
  vec sum[ROWS][COLUMNS];
  float* from = c;
#pragma GCC unroll 32
  for (int i = 0; i < ROWS; ++i, from += c_row)
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j) sum[i][j] = ADD ? load(from + j * LANES) : vec{};
  // Four rows a pointer: an address reaches 0, 1, 2 and 3 strides from it without arithmetic of its own.
  const Element* quad[(ROWS + 3) / 4];
#pragma GCC unroll 8
  for (int q = 0; q < (ROWS + 3) / 4; ++q) quad[q] = a + 4 * q * (ADJACENT ? 1 : a_row);
  for (Index k = 0; k < depth; ++k, b += b_k) {
    decltype(load(b)) right[COLUMNS];
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j) right[j] = load(b + j * LANES);
#pragma GCC unroll 32
    for (int i = 0; i < ROWS; ++i) {
      const Element left = ADJACENT ? a[i] : quad[i / 4][i % 4 * a_row];
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; ++j) sum[i][j] = add_product(sum[i][j], left, right[j]);
    }
    a += a_k;
#pragma GCC unroll 8
    for (int q = 0; q < (ROWS + 3) / 4; ++q) quad[q] += a_k;
  }
#pragma GCC unroll 32
  for (int i = 0; i < ROWS; ++i, c += c_row)
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j) store(c + j * LANES, sum[i][j]);
}

template <int ROWS, int COLUMNS, bool ADJACENT, bool ADD, typename Element>
static void product_strip(Index rows, Index depth, const Element* a, Index a_row, Index a_k, const Element* b,
                          Index b_k, float* c, Index c_row) {
  for (; rows >= ROWS; rows -= ROWS, a += ROWS * a_row, c += ROWS * c_row)
    product_block<ROWS, COLUMNS, ADJACENT, ADD>(depth, a, a_row, a_k, b, b_k, c, c_row);
  if constexpr (ROWS > 1) {
    constexpr int fewer = ROWS > 4 ? ROWS / 2 : ROWS - 1;
    if (rows > 0) product_strip<fewer, COLUMNS, ADJACENT, ADD>(rows, depth, a, a_row, a_k, b, b_k, c, c_row);
  }
}

// C (rows, columns) (+)= A (rows, depth) B (depth, columns); columns is a multiple of LANES.
template <bool ADJACENT, bool ADD, typename Element>
static inline void product(Index rows, Index columns, Index depth, const Element* a, Index a_row, Index a_k,
                           const Element* b, Index b_k, float* c, Index c_row) {
  Index j = 0;
  for (; j + 2 * LANES <= columns; j += 2 * LANES)
    product_strip<WIDE_ROWS, 2, ADJACENT, ADD>(rows, depth, a, a_row, a_k, b + j, b_k, c + j, c_row);
  if (j < columns) product_strip<NARROW_ROWS, 1, ADJACENT, ADD>(rows, depth, a, a_row, a_k, b + j, b_k, c + j, c_row);
}

// Memory kept from call to call: fresh pages cost more than the arithmetic done on them.
class Scratch {
 public:
  ~Scratch() { std::free(base_); }
  float* reserve(Index floats) {
    if (floats <= size_) return base_;
    constexpr Index huge_page = 2 << 20;
    const Index bytes = (floats * 4 + huge_page - 1) / huge_page * huge_page;
    std::free(base_);
    base_ = static_cast<float*>(std::aligned_alloc(huge_page, bytes));
    size_ = base_ ? bytes / 4 : 0;
#if defined(__linux__)
    if (base_) madvise(base_, bytes, MADV_HUGEPAGE);
#endif
    return base_;
  }

 private:
  float* base_ = nullptr;
  Index size_ = 0;
};

// One odd cache line between blocks keeps them from sharing cache sets.
static inline Index padded(Index floats) { return (floats + 15) / 16 * 16 + 16; }

// Deals out a reserved block.
struct Take {
  float* next;
  float* operator()(Index floats) {
    float* start = next;
    next += padded(floats);
    return start;
  }
};
