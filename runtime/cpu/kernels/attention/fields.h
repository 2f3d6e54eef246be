// What Python sees of every kernel of attention, whatever it computes with.
#pragma once

#include "kernels/kernel.h"

namespace rushlight {

// P has the sizes of AttentionParams.
#define RL_ATTENTION_FIELDS(P)                                                                                \
  RL_FIELD(P, 'i', images), RL_FIELD(P, 'i', windows), RL_FIELD(P, 'i', q_heads), RL_FIELD(P, 'i', kv_heads), \
      RL_FIELD(P, 'i', lq), RL_FIELD(P, 'i', lk), RL_FIELD(P, 'i', d), RL_FIELD(P, 'i', dv),                  \
      RL_FIELD(P, 'i', q_stride), RL_FIELD(P, 'i', k_stride), RL_FIELD(P, 'i', v_stride),                     \
      RL_FIELD(P, 'i', out_stride), RL_FIELD(P, 'i', bias_stride), RL_FIELD(P, 'i', mask_stride),             \
      RL_FIELD(P, 'i', mask_is_bool), RL_FIELD(P, 'i', is_causal)

// In the order of AttentionOperand.
constexpr Operand kAttentionOperands[] = {{"q", false},    {"k", false},    {"v", false}, {"mask", false},
                                          {"bias", false}, {"rows", false}, {"out", true}};

}  // namespace rushlight
