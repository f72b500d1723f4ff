// Written by `npm run gen` from the ops' definitions; change those instead.
#pragma once

#include "../src/frame.h"
#include "../src/kernel.h"

namespace golgi {

constexpr int32_t n_opcodes = 59;

/// The activation function of each neuron (SiLU: arXiv:1702.03118; GELU: arXiv:1606.08415).
/// x[...] -> [...]
struct ActivateArgs {
  enum class Fn { silu, gelu, gelu_tanh, relu, sigmoid };
  const float* x;
  float* out;
  int64_t n_rest;
  Fn fn;

  static constexpr int32_t n_words = 8;

  ActivateArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    fn = static_cast<Fn>(f.number(words + 6));
  }
};

/// a + b; b is repeated over the leading sizes of a.
/// a[*, ...], b[...] -> [*, ...]
struct AddArgs {
  const float* a;
  const float* b;
  float* out;
  int64_t n_lead;
  int64_t n_rest;

  static constexpr int32_t n_words = 9;

  AddArgs(const int32_t* words, const Frame& f) {
    a = f.floats(words[2]);
    b = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_lead = f.size(words[5], words[6]);
    n_rest = f.size(words[7], words[8]);
  }
};

/// Causal attention softmax(scale · q·kᵀ) · v over each row's own visible keys (arXiv:1706.03762), with grouped heads (arXiv:2305.13245), a sliding window (arXiv:2310.06825), capped scores (arXiv:2408.00118) and sinks (arXiv:2508.10925).
/// q[T, H, D], cache:cache[K, D, E], rows:rows, sinks?[H] -> [T, H, E]
struct AttentionArgs {
  const float* q;
  const Cache* cache;
  const Rows* rows;
  const float* sinks;  ///< null where absent
  float* out;
  float* scores;  ///< null unless somebody reads it
  float* pattern;  ///< null unless somebody reads it
  int64_t n_T;
  int64_t n_H;
  int64_t n_D;
  int64_t n_K;
  int64_t n_E;
  double scale;
  int64_t window;  ///< 0 where absent
  double softcap;  ///< 0 where absent

  static constexpr int32_t n_words = 25;

  AttentionArgs(const int32_t* words, const Frame& f) {
    q = f.floats(words[2]);
    cache = f.cache(words[3]);
    rows = f.rows(words[4]);
    sinks = f.floats(words[5]);
    out = f.floats_out(words[6]);
    scores = f.floats_out(words[7]);
    pattern = f.floats_out(words[8]);
    n_T = f.size(words[9], words[10]);
    n_H = f.size(words[11], words[12]);
    n_D = f.size(words[13], words[14]);
    n_K = f.size(words[15], words[16]);
    n_E = f.size(words[17], words[18]);
    scale = static_cast<double>(f.number(words + 19));
    window = static_cast<int64_t>(f.number(words + 21));
    softcap = static_cast<double>(f.number(words + 23));
  }
};

/// z = Σ over visible keys of pattern · v.
/// pattern[H, P], cache:cache[K, D, E], rows:rows -> [T, H, E]
struct AttentionMixArgs {
  const float* pattern;
  const Cache* cache;
  const Rows* rows;
  float* out;
  int64_t n_H;
  int64_t n_P;
  int64_t n_K;
  int64_t n_D;
  int64_t n_E;
  int64_t n_T;
  int64_t window;  ///< 0 where absent

  static constexpr int32_t n_words = 20;

  AttentionMixArgs(const int32_t* words, const Frame& f) {
    pattern = f.floats(words[2]);
    cache = f.cache(words[3]);
    rows = f.rows(words[4]);
    out = f.floats_out(words[5]);
    n_H = f.size(words[6], words[7]);
    n_P = f.size(words[8], words[9]);
    n_K = f.size(words[10], words[11]);
    n_D = f.size(words[12], words[13]);
    n_E = f.size(words[14], words[15]);
    n_T = f.size(words[16], words[17]);
    window = static_cast<int64_t>(f.number(words + 18));
  }
};

/// scale · q · k for each head, row and key visible to the row, within ±softcap where there is one. Query head h reads key head ⌊h / (H/K)⌋.
/// q[T, H, D], cache:cache[K, D, E], rows:rows -> [H, P]
struct AttentionScoresArgs {
  const float* q;
  const Cache* cache;
  const Rows* rows;
  float* out;
  int64_t n_T;
  int64_t n_H;
  int64_t n_D;
  int64_t n_K;
  int64_t n_E;
  int64_t n_P;
  double scale;
  int64_t window;  ///< 0 where absent
  double softcap;  ///< 0 where absent

  static constexpr int32_t n_words = 24;

  AttentionScoresArgs(const int32_t* words, const Frame& f) {
    q = f.floats(words[2]);
    cache = f.cache(words[3]);
    rows = f.rows(words[4]);
    out = f.floats_out(words[5]);
    n_T = f.size(words[6], words[7]);
    n_H = f.size(words[8], words[9]);
    n_D = f.size(words[10], words[11]);
    n_K = f.size(words[12], words[13]);
    n_E = f.size(words[14], words[15]);
    n_P = f.size(words[16], words[17]);
    scale = static_cast<double>(f.number(words + 18));
    window = static_cast<int64_t>(f.number(words + 20));
    softcap = static_cast<double>(f.number(words + 22));
  }
};

/// Softmax over the keys visible to each row, so that the weights of a row add up to 1. Where a head has a sink, a score of no key, they add up to 1 minus the sink's share (gpt-oss, arXiv:2508.10925).
/// scores[H, P], rows:rows, sinks?[H] -> [H, P]
struct AttentionSoftmaxArgs {
  const float* scores;
  const Rows* rows;
  const float* sinks;  ///< null where absent
  float* out;
  int64_t n_H;
  int64_t n_P;
  int64_t window;  ///< 0 where absent

  static constexpr int32_t n_words = 12;

  AttentionSoftmaxArgs(const int32_t* words, const Frame& f) {
    scores = f.floats(words[2]);
    rows = f.rows(words[3]);
    sinks = f.floats(words[4]);
    out = f.floats_out(words[5]);
    n_H = f.size(words[6], words[7]);
    n_P = f.size(words[8], words[9]);
    window = static_cast<int64_t>(f.number(words + 10));
  }
};

/// x − mean(x) over the last axis.
/// x[..., d] -> [..., d]
struct CenterArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  int64_t n_d;

  static constexpr int32_t n_words = 8;

  CenterArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    n_d = f.size(words[6], words[7]);
  }
};

/// The k experts of each row with the largest limited scores, in descending order of selection scores. Ties go to the larger selection score, then to the lowest index; NaN comes last.
/// limited[T, n], selection[T, n] -> out:int[T, k]
struct ChooseExpertsArgs {
  const float* limited;
  const float* selection;
  int32_t* out;
  int64_t n_T;
  int64_t n_n;
  int64_t k;

  static constexpr int32_t n_words = 11;

  ChooseExpertsArgs(const int32_t* words, const Frame& f) {
    limited = f.floats(words[2]);
    selection = f.floats(words[3]);
    out = f.ints_out(words[4]);
    n_T = f.size(words[5], words[6]);
    n_n = f.size(words[7], words[8]);
    k = static_cast<int64_t>(f.number(words + 9));
  }
};

/// g · σ(alpha · g) · (u + 1) with g = min(gate, limit) and u = up within ±limit: the SwiGLU of gpt-oss (arXiv:2508.10925).
/// gate[...], up[...] -> [...]
struct ClampedGluArgs {
  const float* gate;
  const float* up;
  float* out;
  int64_t n_rest;
  double limit;
  double alpha;

  static constexpr int32_t n_words = 11;

  ClampedGluArgs(const int32_t* words, const Frame& f) {
    gate = f.floats(words[2]);
    up = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_rest = f.size(words[5], words[6]);
    limit = static_cast<double>(f.number(words + 7));
    alpha = static_cast<double>(f.number(words + 9));
  }
};

/// Euclidean length of each column of w, such as the output weights of every neuron.
/// w[n, k] -> [k]
struct ColumnNormsArgs {
  const Weight* w;
  float* out;
  int64_t n_n;
  int64_t n_k;

  static constexpr int32_t n_words = 8;

  ColumnNormsArgs(const int32_t* words, const Frame& f) {
    w = f.weight(words[2]);
    out = f.floats_out(words[3]);
    n_n = f.size(words[4], words[5]);
    n_k = f.size(words[6], words[7]);
  }
};

/// x / divisor, with one divisor for each row.
/// x[..., d], divisor[..., 1] -> [..., d]
struct DivideArgs {
  const float* x;
  const float* divisor;
  float* out;
  int64_t n_rest;
  int64_t n_d;

  static constexpr int32_t n_words = 9;

  DivideArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    divisor = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_rest = f.size(words[5], words[6]);
    n_d = f.size(words[7], words[8]);
  }
};

/// Changes one piece of each active row, all pieces where index is −1: set p = o, add p + o, scale p · o, clamp to [o₀, o₁], projectOut p − (p·o / o·o) o. All other bits pass.
/// x[T, nPieces*pieceSize], active:int[T], index:int[T], operand[T, w] -> [T, nPieces*pieceSize]
struct EditArgs {
  enum class Kind { set, add, scale, clamp, project_out };
  const float* x;
  const int32_t* active;
  const int32_t* index;
  const float* operand;
  float* out;
  int64_t n_T;
  int64_t n_w;
  Kind kind;
  int64_t n_pieces;
  int64_t piece_size;

  static constexpr int32_t n_words = 17;

  EditArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    active = f.ints(words[3]);
    index = f.ints(words[4]);
    operand = f.floats(words[5]);
    out = f.floats_out(words[6]);
    n_T = f.size(words[7], words[8]);
    n_w = f.size(words[9], words[10]);
    kind = static_cast<Kind>(f.number(words + 11));
    n_pieces = static_cast<int64_t>(f.number(words + 13));
    piece_size = static_cast<int64_t>(f.number(words + 15));
  }
};

/// As edit, of what experts hold: changes one piece, or all where index is −1, in the slot of each active row that `indices` gives to the expert, in all slots where expert is −1. A row that did not choose the expert has nothing to change; all other bits pass.
/// x[T, A, nPieces*pieceSize], indices:int[T, A], active:int[T], expert:int[T], index:int[T], operand[T, w] -> [T, A, nPieces*pieceSize]
struct EditExpertsArgs {
  enum class Kind { set, add, scale, clamp, project_out };
  const float* x;
  const int32_t* indices;
  const int32_t* active;
  const int32_t* expert;
  const int32_t* index;
  const float* operand;
  float* out;
  int64_t n_T;
  int64_t n_A;
  int64_t n_w;
  Kind kind;
  int64_t n_pieces;
  int64_t piece_size;

  static constexpr int32_t n_words = 21;

  EditExpertsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    indices = f.ints(words[3]);
    active = f.ints(words[4]);
    expert = f.ints(words[5]);
    index = f.ints(words[6]);
    operand = f.floats(words[7]);
    out = f.floats_out(words[8]);
    n_T = f.size(words[9], words[10]);
    n_A = f.size(words[11], words[12]);
    n_w = f.size(words[13], words[14]);
    kind = static_cast<Kind>(f.number(words + 15));
    n_pieces = static_cast<int64_t>(f.number(words + 17));
    piece_size = static_cast<int64_t>(f.number(words + 19));
  }
};

/// Changes scores or weights of active rows, of one head and one key position or of all where −1: set o, add + o, scale · o, clamp to [o₀, o₁]. A key that the row does not see is nothing to change; all other bits pass.
/// x[H, P], rows:rows, active:int[T], head:int[T], key:int[T], operand[T, w] -> [H, P]
struct EditPairsArgs {
  enum class Kind { set, add, scale, clamp };
  const float* x;
  const Rows* rows;
  const int32_t* active;
  const int32_t* head;
  const int32_t* key;
  const float* operand;
  float* out;
  int64_t n_H;
  int64_t n_P;
  int64_t n_T;
  int64_t n_w;
  Kind kind;
  int64_t window;  ///< 0 where absent

  static constexpr int32_t n_words = 21;

  EditPairsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    rows = f.rows(words[3]);
    active = f.ints(words[4]);
    head = f.ints(words[5]);
    key = f.ints(words[6]);
    operand = f.floats(words[7]);
    out = f.floats_out(words[8]);
    n_H = f.size(words[9], words[10]);
    n_P = f.size(words[11], words[12]);
    n_T = f.size(words[13], words[14]);
    n_w = f.size(words[15], words[16]);
    kind = static_cast<Kind>(f.number(words + 17));
    window = static_cast<int64_t>(f.number(words + 19));
  }
};

/// −Σ p ln p in nats, of the shares p = x / Σ x over the last axis. What is not above 0 has no share; NaN where nothing has one.
/// x[..., d] -> [...]
struct EntropyArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  int64_t n_d;

  static constexpr int32_t n_words = 8;

  EntropyArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    n_d = f.size(words[6], words[7]);
  }
};

/// Gated linear unit: fn(gate) · up; SwiGLU with silu, GeGLU with geluTanh (Shazeer 2020, arXiv:2002.05202).
/// gate[...], up[...] -> [...]
struct GluArgs {
  enum class Fn { silu, gelu, gelu_tanh, relu };
  const float* gate;
  const float* up;
  float* out;
  int64_t n_rest;
  Fn fn;

  static constexpr int32_t n_words = 9;

  GluArgs(const int32_t* words, const Frame& f) {
    gate = f.floats(words[2]);
    up = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_rest = f.size(words[5], words[6]);
    fn = static_cast<Fn>(f.number(words + 7));
  }
};

/// Σ of the k largest scores of each group of experts that follow one another: their maximum in DeepSeek-V2 (arXiv:2405.04434, §2.2.2), the sum of two in V3 (arXiv:2412.19437, §2.1.2).
/// x[T, n] -> [T, nGroups]
struct GroupScoresArgs {
  const float* x;
  float* out;
  int64_t n_T;
  int64_t n_n;
  int64_t n_groups;
  int64_t k;

  static constexpr int32_t n_words = 12;

  GroupScoresArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_T = f.size(words[4], words[5]);
    n_n = f.size(words[6], words[7]);
    n_groups = static_cast<int64_t>(f.number(words + 8));
    k = static_cast<int64_t>(f.number(words + 10));
  }
};

/// The cache with this step's keys and values at their rows' slots. A backend writes in place, since nothing reads the cache from before.
/// cache:cache[K, D, E], k[T, K, D], v[T, K, E], rows:rows -> out:cache
struct KvAppendArgs {
  const Cache* cache;
  const float* k;
  const float* v;
  const Rows* rows;
  int64_t n_K;
  int64_t n_D;
  int64_t n_E;
  int64_t n_T;

  static constexpr int32_t n_words = 15;

  KvAppendArgs(const int32_t* words, const Frame& f) {
    cache = f.cache(words[2]);
    k = f.floats(words[3]);
    v = f.floats(words[4]);
    rows = f.rows(words[5]);
    n_K = f.size(words[7], words[8]);
    n_D = f.size(words[9], words[10]);
    n_E = f.size(words[11], words[12]);
    n_T = f.size(words[13], words[14]);
  }
};

/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, §2.1) over a cache of one latent c and one rotated key for each token: keys wK_h · c and values wV_h · c of each head follow from the latent.
/// q[T, H, qkDim], wK[H*nope, E], wV[H*vDim, E], cache:cache[K, D, E], rows:rows -> [T, H, vDim]
struct LatentAttentionArgs {
  const float* q;
  const Weight* wK;
  const Weight* wV;
  const Cache* cache;
  const Rows* rows;
  float* out;
  float* scores;  ///< null unless somebody reads it
  float* pattern;  ///< null unless somebody reads it
  int64_t n_T;
  int64_t n_H;
  int64_t n_qk_dim;
  int64_t n_E;
  int64_t n_K;
  int64_t n_D;
  double scale;
  int64_t nope;
  int64_t v_dim;

  static constexpr int32_t n_words = 28;

  LatentAttentionArgs(const int32_t* words, const Frame& f) {
    q = f.floats(words[2]);
    wK = f.weight(words[3]);
    wV = f.weight(words[4]);
    cache = f.cache(words[5]);
    rows = f.rows(words[6]);
    out = f.floats_out(words[7]);
    scores = f.floats_out(words[8]);
    pattern = f.floats_out(words[9]);
    n_T = f.size(words[10], words[11]);
    n_H = f.size(words[12], words[13]);
    n_qk_dim = f.size(words[14], words[15]);
    n_E = f.size(words[16], words[17]);
    n_K = f.size(words[18], words[19]);
    n_D = f.size(words[20], words[21]);
    scale = static_cast<double>(f.number(words + 22));
    nope = static_cast<int64_t>(f.number(words + 24));
    v_dim = static_cast<int64_t>(f.number(words + 26));
  }
};

/// z of multi-head latent attention: Σ over visible keys of pattern · (wV_h · c), with each key's latent c from the cache.
/// pattern[H, P], wV[H*vDim, E], cache:cache[K, D, E], rows:rows -> [T, H, vDim]
struct LatentMixArgs {
  const float* pattern;
  const Weight* wV;
  const Cache* cache;
  const Rows* rows;
  float* out;
  int64_t n_H;
  int64_t n_P;
  int64_t n_E;
  int64_t n_K;
  int64_t n_D;
  int64_t n_T;
  int64_t v_dim;

  static constexpr int32_t n_words = 21;

  LatentMixArgs(const int32_t* words, const Frame& f) {
    pattern = f.floats(words[2]);
    wV = f.weight(words[3]);
    cache = f.cache(words[4]);
    rows = f.rows(words[5]);
    out = f.floats_out(words[6]);
    n_H = f.size(words[7], words[8]);
    n_P = f.size(words[9], words[10]);
    n_E = f.size(words[11], words[12]);
    n_K = f.size(words[13], words[14]);
    n_D = f.size(words[15], words[16]);
    n_T = f.size(words[17], words[18]);
    v_dim = static_cast<int64_t>(f.number(words + 19));
  }
};

/// Scores of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, §2.1): scale · (q_nope · (wK_h · c) + q_rope · kRope) for each head h and visible key, whose cache holds kRope as its k and the latent c as its v.
/// q[T, H, qkDim], wK[H*nope, E], cache:cache[K, D, E], rows:rows -> [H, P]
struct LatentScoresArgs {
  const float* q;
  const Weight* wK;
  const Cache* cache;
  const Rows* rows;
  float* out;
  int64_t n_T;
  int64_t n_H;
  int64_t n_qk_dim;
  int64_t n_E;
  int64_t n_K;
  int64_t n_D;
  int64_t n_P;
  double scale;
  int64_t nope;

  static constexpr int32_t n_words = 25;

  LatentScoresArgs(const int32_t* words, const Frame& f) {
    q = f.floats(words[2]);
    wK = f.weight(words[3]);
    cache = f.cache(words[4]);
    rows = f.rows(words[5]);
    out = f.floats_out(words[6]);
    n_T = f.size(words[7], words[8]);
    n_H = f.size(words[9], words[10]);
    n_qk_dim = f.size(words[11], words[12]);
    n_E = f.size(words[13], words[14]);
    n_K = f.size(words[15], words[16]);
    n_D = f.size(words[17], words[18]);
    n_P = f.size(words[19], words[20]);
    scale = static_cast<double>(f.number(words + 21));
    nope = static_cast<int64_t>(f.number(words + 23));
  }
};

/// Layer norm: gain · (x − mean) / √(var + eps) + bias, biased variance (Ba et al. 2016, arXiv:1607.06450).
/// x[..., d], gain[d], bias[d] -> [..., d]
struct LayerNormArgs {
  const float* x;
  const float* gain;
  const float* bias;
  float* out;
  float* scale;  ///< null unless somebody reads it
  float* normalized;  ///< null unless somebody reads it
  int64_t n_rest;
  int64_t n_d;
  double eps;

  static constexpr int32_t n_words = 14;

  LayerNormArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    gain = f.floats(words[3]);
    bias = f.floats(words[4]);
    out = f.floats_out(words[5]);
    scale = f.floats_out(words[6]);
    normalized = f.floats_out(words[7]);
    n_rest = f.size(words[8], words[9]);
    n_d = f.size(words[10], words[11]);
    eps = static_cast<double>(f.number(words + 12));
  }
};

/// Scores of experts with −∞ in the groups whose mask is 0; the scores as they are where there is no mask.
/// x[T, n], mask?[T, nGroups] -> [T, n]
struct LimitGroupsArgs {
  const float* x;
  const float* mask;  ///< null where absent
  float* out;
  int64_t n_T;
  int64_t n_n;
  int64_t n_groups;

  static constexpr int32_t n_words = 11;

  LimitGroupsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    mask = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_T = f.size(words[5], words[6]);
    n_n = f.size(words[7], words[8]);
    n_groups = f.size(words[9], words[10]);
  }
};

/// x · wᵀ + bias with w stored [out, in]: each output is one row of w times x, plus its bias.
/// x[..., k], w[n, k], bias?[n] -> [..., n]
struct MatmulArgs {
  const float* x;
  const Weight* w;
  const float* bias;  ///< null where absent
  float* out;
  int64_t n_rest;
  int64_t n_k;
  int64_t n_n;

  static constexpr int32_t n_words = 12;

  MatmulArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    w = f.weight(words[3]);
    bias = f.floats(words[4]);
    out = f.floats_out(words[5]);
    n_rest = f.size(words[6], words[7]);
    n_k = f.size(words[8], words[9]);
    n_n = f.size(words[10], words[11]);
  }
};

/// For each slot of each row x · wₑᵀ + biasₑ with the matrix and bias of the slot's own expert e = indices[t, a]; all slots of a row share x where s is 1. Only matrices that some slot names are read.
/// x[T, s, k], w[E, n, k], indices:int[T, A], bias?[E, n] -> [T, A, n]
struct MatmulIndexedArgs {
  const float* x;
  const Weight* w;
  const int32_t* indices;
  const float* bias;  ///< null where absent
  float* out;
  int64_t n_T;
  int64_t n_s;
  int64_t n_k;
  int64_t n_E;
  int64_t n_n;
  int64_t n_A;

  static constexpr int32_t n_words = 19;

  MatmulIndexedArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    w = f.weight(words[3]);
    indices = f.ints(words[4]);
    bias = f.floats(words[5]);
    out = f.floats_out(words[6]);
    n_T = f.size(words[7], words[8]);
    n_s = f.size(words[9], words[10]);
    n_k = f.size(words[11], words[12]);
    n_E = f.size(words[13], words[14]);
    n_n = f.size(words[15], words[16]);
    n_A = f.size(words[17], words[18]);
  }
};

/// What each head alone adds through the output projection: z of head h times columns [h·D, (h+1)·D) of w.
/// z[T, H, D], w[n, H*D] -> [T, H, n]
struct MatmulPerHeadArgs {
  const float* z;
  const Weight* w;
  float* out;
  int64_t n_T;
  int64_t n_H;
  int64_t n_D;
  int64_t n_n;

  static constexpr int32_t n_words = 13;

  MatmulPerHeadArgs(const int32_t* words, const Frame& f) {
    z = f.floats(words[2]);
    w = f.weight(words[3]);
    out = f.floats_out(words[4]);
    n_T = f.size(words[5], words[6]);
    n_H = f.size(words[7], words[8]);
    n_D = f.size(words[9], words[10]);
    n_n = f.size(words[11], words[12]);
  }
};

/// x · w with w stored [out, in]: a combination of the rows of w, so what a direction at the output of w is at its input.
/// x[..., n], w[n, k] -> [..., k]
struct MatmulTransposedArgs {
  const float* x;
  const Weight* w;
  float* out;
  int64_t n_rest;
  int64_t n_n;
  int64_t n_k;

  static constexpr int32_t n_words = 11;

  MatmulTransposedArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    w = f.weight(words[3]);
    out = f.floats_out(words[4]);
    n_rest = f.size(words[5], words[6]);
    n_n = f.size(words[7], words[8]);
    n_k = f.size(words[9], words[10]);
  }
};

/// Mean over all rows, element by element; NaN where there is no row.
/// x[n, ...] -> [1, ...]
struct MeanRowsArgs {
  const float* x;
  float* out;
  int64_t n_n;
  int64_t n_rest;

  static constexpr int32_t n_words = 8;

  MeanRowsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_n = f.size(words[4], words[5]);
    n_rest = f.size(words[6], words[7]);
  }
};

/// Σ over the chosen experts of weight · output, in the order of their slots.
/// x[T, A, n], weights[T, A] -> [T, n]
struct MixExpertsArgs {
  const float* x;
  const float* weights;
  float* out;
  int64_t n_T;
  int64_t n_A;
  int64_t n_n;

  static constexpr int32_t n_words = 11;

  MixExpertsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    weights = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_T = f.size(words[5], words[6]);
    n_A = f.size(words[7], words[8]);
    n_n = f.size(words[9], words[10]);
  }
};

/// a · b, element by element; b is repeated over the leading sizes of a.
/// a[*, ...], b[...] -> [*, ...]
struct MulArgs {
  const float* a;
  const float* b;
  float* out;
  int64_t n_lead;
  int64_t n_rest;

  static constexpr int32_t n_words = 9;

  MulArgs(const int32_t* words, const Frame& f) {
    a = f.floats(words[2]);
    b = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_lead = f.size(words[5], words[6]);
    n_rest = f.size(words[7], words[8]);
  }
};

/// x · factor, with one factor for each row.
/// x[..., d], factor[..., 1] -> [..., d]
struct MulRowsArgs {
  const float* x;
  const float* factor;
  float* out;
  int64_t n_rest;
  int64_t n_d;

  static constexpr int32_t n_words = 9;

  MulRowsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    factor = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_rest = f.size(words[5], words[6]);
    n_d = f.size(words[7], words[8]);
  }
};

/// Euclidean length √Σx² of each row.
/// x[..., d] -> [...]
struct NormArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  int64_t n_d;

  static constexpr int32_t n_words = 8;

  NormArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    n_d = f.size(words[6], words[7]);
  }
};

/// x / (Σ x + eps) over the last axis: weights of chosen experts that are to add up to 1.
/// x[..., n] -> [..., n]
struct NormalizeSumArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  int64_t n_n;
  double eps;

  static constexpr int32_t n_words = 10;

  NormalizeSumArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    n_n = f.size(words[6], words[7]);
    eps = static_cast<double>(f.number(words + 8));
  }
};

/// Takes scores or weights of active rows from `values`, of one head and one key position or of all where −1. All other bits pass.
/// x[H, P], rows:rows, active:int[T], head:int[T], key:int[T], values[H, P] -> [H, P]
struct PatchPairsArgs {
  const float* x;
  const Rows* rows;
  const int32_t* active;
  const int32_t* head;
  const int32_t* key;
  const float* values;
  float* out;
  int64_t n_H;
  int64_t n_P;
  int64_t n_T;
  int64_t window;  ///< 0 where absent

  static constexpr int32_t n_words = 17;

  PatchPairsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    rows = f.rows(words[3]);
    active = f.ints(words[4]);
    head = f.ints(words[5]);
    key = f.ints(words[6]);
    values = f.floats(words[7]);
    out = f.floats_out(words[8]);
    n_H = f.size(words[9], words[10]);
    n_P = f.size(words[11], words[12]);
    n_T = f.size(words[13], words[14]);
    window = static_cast<int64_t>(f.number(words + 15));
  }
};

/// The position of each row in its sequence, for learned position embeddings.
/// rows:rows -> out:int[T]
struct PositionsArgs {
  const Rows* rows;
  int32_t* out;
  int64_t n_T;

  static constexpr int32_t n_words = 6;

  PositionsArgs(const int32_t* words, const Frame& f) {
    rows = f.rows(words[2]);
    out = f.ints_out(words[3]);
    n_T = f.size(words[4], words[5]);
  }
};

/// √(mean(x²) + eps) over the last axis, the divisor of a norm.
/// x[..., d] -> [..., 1]
struct RmsArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  int64_t n_d;
  double eps;

  static constexpr int32_t n_words = 10;

  RmsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    n_d = f.size(words[6], words[7]);
    eps = static_cast<double>(f.number(words + 8));
  }
};

/// Root mean square norm: gain · x / √(mean(x²) + eps) (Zhang & Sennrich 2019, arXiv:1910.07467).
/// x[..., d], gain[d] -> [..., d]
struct RmsNormArgs {
  const float* x;
  const float* gain;
  float* out;
  float* scale;  ///< null unless somebody reads it
  float* normalized;  ///< null unless somebody reads it
  int64_t n_rest;
  int64_t n_d;
  double eps;

  static constexpr int32_t n_words = 13;

  RmsNormArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    gain = f.floats(words[3]);
    out = f.floats_out(words[4]);
    scale = f.floats_out(words[5]);
    normalized = f.floats_out(words[6]);
    n_rest = f.size(words[7], words[8]);
    n_d = f.size(words[9], words[10]);
    eps = static_cast<double>(f.number(words + 11));
  }
};

/// Rotary position embedding (Su et al. 2021, arXiv:2104.09864): pair i of a row at position p turns by p · freqs[i].
/// x[T, H, D], freqs[nVariants, r], rows:rows -> [T, H, D]
struct RopeArgs {
  enum class Pairing { half, adjacent };
  const float* x;
  const float* freqs;
  const Rows* rows;
  float* out;
  int64_t n_T;
  int64_t n_H;
  int64_t n_D;
  int64_t n_variants;
  int64_t n_r;
  Pairing pairing;
  double magnitude;
  int64_t offset;  ///< 0 where absent

  static constexpr int32_t n_words = 22;

  RopeArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    freqs = f.floats(words[3]);
    rows = f.rows(words[4]);
    out = f.floats_out(words[5]);
    n_T = f.size(words[6], words[7]);
    n_H = f.size(words[8], words[9]);
    n_D = f.size(words[10], words[11]);
    n_variants = f.size(words[12], words[13]);
    n_r = f.size(words[14], words[15]);
    pairing = static_cast<Pairing>(f.number(words + 16));
    magnitude = static_cast<double>(f.number(words + 18));
    offset = static_cast<int64_t>(f.number(words + 20));
  }
};

/// position · frequency for each pair of dimensions, with the frequencies that the row's sequence uses.
/// freqs[nVariants, r], rows:rows -> [T, r]
struct RotaryAnglesArgs {
  const float* freqs;
  const Rows* rows;
  float* out;
  int64_t n_variants;
  int64_t n_r;
  int64_t n_T;

  static constexpr int32_t n_words = 11;

  RotaryAnglesArgs(const int32_t* words, const Frame& f) {
    freqs = f.floats(words[2]);
    rows = f.rows(words[3]);
    out = f.floats_out(words[4]);
    n_variants = f.size(words[5], words[6]);
    n_r = f.size(words[7], words[8]);
    n_T = f.size(words[9], words[10]);
  }
};

/// Rotates each of the first r pairs of dimensions from `offset` on by its angle: (a, b) -> (a·cos − b·sin, b·cos + a·sin); other dimensions pass.
/// x[T, H, D], angles[T, r] -> [T, H, D]
struct RotateArgs {
  enum class Pairing { half, adjacent };
  const float* x;
  const float* angles;
  float* out;
  int64_t n_T;
  int64_t n_H;
  int64_t n_D;
  int64_t n_r;
  Pairing pairing;
  double magnitude;
  int64_t offset;  ///< 0 where absent

  static constexpr int32_t n_words = 19;

  RotateArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    angles = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_T = f.size(words[5], words[6]);
    n_H = f.size(words[7], words[8]);
    n_D = f.size(words[9], words[10]);
    n_r = f.size(words[11], words[12]);
    pairing = static_cast<Pairing>(f.number(words + 13));
    magnitude = static_cast<double>(f.number(words + 15));
    offset = static_cast<int64_t>(f.number(words + 17));
  }
};

/// Euclidean length of each row of w, such as the input weights of every neuron.
/// w[n, k] -> [n]
struct RowNormsArgs {
  const Weight* w;
  float* out;
  int64_t n_n;
  int64_t n_k;

  static constexpr int32_t n_words = 8;

  RowNormsArgs(const int32_t* words, const Frame& f) {
    w = f.weight(words[2]);
    out = f.floats_out(words[3]);
    n_n = f.size(words[4], words[5]);
    n_k = f.size(words[6], words[7]);
  }
};

/// factor · x: embeddings that a family scales, weights of experts.
/// x[...] -> [...]
struct ScaleByArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  double factor;

  static constexpr int32_t n_words = 8;

  ScaleByArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    factor = static_cast<double>(f.number(words + 6));
  }
};

/// Columns of w by index, as rows: column i of a down projection is what neuron i writes to the residual stream.
/// w[n, k], indices:int[R] -> [R, n]
struct SelectColumnsArgs {
  const Weight* w;
  const int32_t* indices;
  float* out;
  int64_t n_n;
  int64_t n_k;
  int64_t n_R;

  static constexpr int32_t n_words = 11;

  SelectColumnsArgs(const int32_t* words, const Frame& f) {
    w = f.weight(words[2]);
    indices = f.ints(words[3]);
    out = f.floats_out(words[4]);
    n_n = f.size(words[5], words[6]);
    n_k = f.size(words[7], words[8]);
    n_R = f.size(words[9], words[10]);
  }
};

/// Heads of each row by index; one may come several times, as key heads do for their query heads.
/// x[T, H, D], heads:int[n] -> [T, n, D]
struct SelectHeadsArgs {
  const float* x;
  const int32_t* heads;
  float* out;
  int64_t n_T;
  int64_t n_H;
  int64_t n_D;
  int64_t n_n;

  static constexpr int32_t n_words = 13;

  SelectHeadsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    heads = f.ints(words[3]);
    out = f.floats_out(words[4]);
    n_T = f.size(words[5], words[6]);
    n_H = f.size(words[7], words[8]);
    n_D = f.size(words[9], words[10]);
    n_n = f.size(words[11], words[12]);
  }
};

/// Scores or weights of selected rows only, each with its own visible keys.
/// x[H, P], rows:rows, indices:int[R] -> [H, Q]
struct SelectPairsArgs {
  const float* x;
  const Rows* rows;
  const int32_t* indices;
  float* out;
  int64_t n_H;
  int64_t n_P;
  int64_t n_R;
  int64_t n_Q;
  int64_t window;  ///< 0 where absent

  static constexpr int32_t n_words = 16;

  SelectPairsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    rows = f.rows(words[3]);
    indices = f.ints(words[4]);
    out = f.floats_out(words[5]);
    n_H = f.size(words[6], words[7]);
    n_P = f.size(words[8], words[9]);
    n_R = f.size(words[10], words[11]);
    n_Q = f.size(words[12], words[13]);
    window = static_cast<int64_t>(f.number(words + 14));
  }
};

/// Rows of x by index: embedding look-up, and the rows whose logits or values are wanted.
/// x[n, ...], indices:int[R] -> [R, ...]
struct SelectRowsArgs {
  const Weight* x;
  const int32_t* indices;
  float* out;
  int64_t n_n;
  int64_t n_rest;
  int64_t n_R;

  static constexpr int32_t n_words = 11;

  SelectRowsArgs(const int32_t* words, const Frame& f) {
    x = f.weight(words[2]);
    indices = f.ints(words[3]);
    out = f.floats_out(words[4]);
    n_n = f.size(words[5], words[6]);
    n_rest = f.size(words[7], words[8]);
    n_R = f.size(words[9], words[10]);
  }
};

/// cap · tanh(x / cap), which keeps x within ±cap (Gemma 2, arXiv:2408.00118, §2).
/// x[...] -> [...]
struct SoftCapArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  double cap;

  static constexpr int32_t n_words = 8;

  SoftCapArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    cap = static_cast<double>(f.number(words + 6));
  }
};

/// exp(x) / Σ exp(x) over the last axis.
/// x[..., n] -> [..., n]
struct SoftmaxArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  int64_t n_n;

  static constexpr int32_t n_words = 8;

  SoftmaxArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    n_n = f.size(words[6], words[7]);
  }
};

/// Σ x over the last axis.
/// x[..., d] -> [...]
struct SumArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  int64_t n_d;

  static constexpr int32_t n_words = 8;

  SumArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    n_d = f.size(words[6], words[7]);
  }
};

/// In active rows that chose expert `from` and not `to`, `to` in its place; the slots of such rows are in descending order of selection scores again. Other rows pass, those whose `to` is no expert among them.
/// indices:int[T, k], selection[T, n], active:int[T], from:int[T], to:int[T] -> out:int[T, k]
struct SwapExpertsArgs {
  const int32_t* indices;
  const float* selection;
  const int32_t* active;
  const int32_t* from;
  const int32_t* to;
  int32_t* out;
  int64_t n_T;
  int64_t n_k;
  int64_t n_n;

  static constexpr int32_t n_words = 14;

  SwapExpertsArgs(const int32_t* words, const Frame& f) {
    indices = f.ints(words[2]);
    selection = f.floats(words[3]);
    active = f.ints(words[4]);
    from = f.ints(words[5]);
    to = f.ints(words[6]);
    out = f.ints_out(words[7]);
    n_T = f.size(words[8], words[9]);
    n_k = f.size(words[10], words[11]);
    n_n = f.size(words[12], words[13]);
  }
};

/// Of each row the entries at the row's own indices: the scores of the experts that it chose.
/// x[T, n], indices:int[T, k] -> [T, k]
struct TakeAlongArgs {
  const float* x;
  const int32_t* indices;
  float* out;
  int64_t n_T;
  int64_t n_n;
  int64_t n_k;

  static constexpr int32_t n_words = 11;

  TakeAlongArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    indices = f.ints(words[3]);
    out = f.floats_out(words[4]);
    n_T = f.size(words[5], words[6]);
    n_n = f.size(words[7], words[8]);
    n_k = f.size(words[9], words[10]);
  }
};

/// x rounded to the type in which the cache holds keys and values, to the nearest with ties to even.
/// x[...] -> [...]
struct ToCacheArgs {
  enum class Type { f16 };
  const float* x;
  float* out;
  int64_t n_rest;
  Type type;

  static constexpr int32_t n_words = 8;

  ToCacheArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    type = static_cast<Type>(f.number(words + 6));
  }
};

/// The k largest entries of the last axis in descending order, ties to the lowest index; k must not exceed the axis.
/// x[..., n] -> values[..., k], indices:int[..., k]
struct TopKArgs {
  const float* x;
  float* values;
  int32_t* indices;
  int64_t n_rest;
  int64_t n_n;
  int64_t k;

  static constexpr int32_t n_words = 11;

  TopKArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    values = f.floats_out(words[3]);
    indices = f.ints_out(words[4]);
    n_rest = f.size(words[5], words[6]);
    n_n = f.size(words[7], words[8]);
    k = static_cast<int64_t>(f.number(words + 9));
  }
};

/// The k keys that each row of each head attends to most, by position; a row that sees fewer has weight 0 and key −1 there.
/// pattern[H, P], rows:rows -> weights[H, T, k], keys:int[H, T, k]
struct TopKeysArgs {
  const float* pattern;
  const Rows* rows;
  float* weights;
  int32_t* keys;
  int64_t n_H;
  int64_t n_P;
  int64_t n_T;
  int64_t k;
  int64_t window;  ///< 0 where absent

  static constexpr int32_t n_words = 16;

  TopKeysArgs(const int32_t* words, const Frame& f) {
    pattern = f.floats(words[2]);
    rows = f.rows(words[3]);
    weights = f.floats_out(words[4]);
    keys = f.ints_out(words[5]);
    n_H = f.size(words[6], words[7]);
    n_P = f.size(words[8], words[9]);
    n_T = f.size(words[10], words[11]);
    k = static_cast<int64_t>(f.number(words + 12));
    window = static_cast<int64_t>(f.number(words + 14));
  }
};

/// 1 at the k largest entries of each row, ties to the lowest index, and 0 elsewhere.
/// x[..., n] -> [..., n]
struct TopMaskArgs {
  const float* x;
  float* out;
  int64_t n_rest;
  int64_t n_n;
  int64_t k;

  static constexpr int32_t n_words = 10;

  TopMaskArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    out = f.floats_out(words[3]);
    n_rest = f.size(words[4], words[5]);
    n_n = f.size(words[6], words[7]);
    k = static_cast<int64_t>(f.number(words + 8));
  }
};

/// The k rows in which each column is largest, in descending order, ties to the first row, such as the tokens on which each neuron fires most. Where there are fewer rows, value −∞ and row −1.
/// x[n, m] -> values[k, m], rows:int[k, m]
struct TopRowsArgs {
  const float* x;
  float* values;
  int32_t* rows;
  int64_t n_n;
  int64_t n_m;
  int64_t k;

  static constexpr int32_t n_words = 11;

  TopRowsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    values = f.floats_out(words[3]);
    rows = f.ints_out(words[4]);
    n_n = f.size(words[5], words[6]);
    n_m = f.size(words[7], words[8]);
    k = static_cast<int64_t>(f.number(words + 9));
  }
};

/// What each chosen expert adds to the sum: its weight times its output.
/// x[T, A, n], weights[T, A] -> [T, A, n]
struct WeighExpertsArgs {
  const float* x;
  const float* weights;
  float* out;
  int64_t n_T;
  int64_t n_A;
  int64_t n_n;

  static constexpr int32_t n_words = 11;

  WeighExpertsArgs(const int32_t* words, const Frame& f) {
    x = f.floats(words[2]);
    weights = f.floats(words[3]);
    out = f.floats_out(words[4]);
    n_T = f.size(words[5], words[6]);
    n_A = f.size(words[7], words[8]);
    n_n = f.size(words[9], words[10]);
  }
};

}  // namespace golgi

#define GOLGI_KERNELS(X) \
  X(0, activate, ActivateArgs) \
  X(1, add, AddArgs) \
  X(2, attention, AttentionArgs) \
  X(3, attention_mix, AttentionMixArgs) \
  X(4, attention_scores, AttentionScoresArgs) \
  X(5, attention_softmax, AttentionSoftmaxArgs) \
  X(6, center, CenterArgs) \
  X(7, choose_experts, ChooseExpertsArgs) \
  X(8, clamped_glu, ClampedGluArgs) \
  X(9, column_norms, ColumnNormsArgs) \
  X(10, divide, DivideArgs) \
  X(11, edit, EditArgs) \
  X(12, edit_experts, EditExpertsArgs) \
  X(13, edit_pairs, EditPairsArgs) \
  X(14, entropy, EntropyArgs) \
  X(15, glu, GluArgs) \
  X(16, group_scores, GroupScoresArgs) \
  X(17, kv_append, KvAppendArgs) \
  X(18, latent_attention, LatentAttentionArgs) \
  X(19, latent_mix, LatentMixArgs) \
  X(20, latent_scores, LatentScoresArgs) \
  X(21, layer_norm, LayerNormArgs) \
  X(22, limit_groups, LimitGroupsArgs) \
  X(23, matmul, MatmulArgs) \
  X(24, matmul_indexed, MatmulIndexedArgs) \
  X(25, matmul_per_head, MatmulPerHeadArgs) \
  X(26, matmul_transposed, MatmulTransposedArgs) \
  X(27, mean_rows, MeanRowsArgs) \
  X(29, mix_experts, MixExpertsArgs) \
  X(30, mul, MulArgs) \
  X(31, mul_rows, MulRowsArgs) \
  X(32, norm, NormArgs) \
  X(33, normalize_sum, NormalizeSumArgs) \
  X(34, patch_pairs, PatchPairsArgs) \
  X(35, positions, PositionsArgs) \
  X(36, rms, RmsArgs) \
  X(37, rms_norm, RmsNormArgs) \
  X(38, rope, RopeArgs) \
  X(39, rotary_angles, RotaryAnglesArgs) \
  X(40, rotate, RotateArgs) \
  X(41, row_norms, RowNormsArgs) \
  X(42, scale_by, ScaleByArgs) \
  X(43, select_columns, SelectColumnsArgs) \
  X(44, select_heads, SelectHeadsArgs) \
  X(45, select_pairs, SelectPairsArgs) \
  X(46, select_rows, SelectRowsArgs) \
  X(47, soft_cap, SoftCapArgs) \
  X(48, softmax, SoftmaxArgs) \
  X(50, sum, SumArgs) \
  X(51, swap_experts, SwapExpertsArgs) \
  X(52, take_along, TakeAlongArgs) \
  X(53, to_cache, ToCacheArgs) \
  X(54, top_k, TopKArgs) \
  X(55, top_keys, TopKeysArgs) \
  X(56, top_mask, TopMaskArgs) \
  X(57, top_rows, TopRowsArgs) \
  X(58, weigh_experts, WeighExpertsArgs)
