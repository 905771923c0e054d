#include "vq/op.h"

namespace vq {
std::vector<OpEntry>& op_table() {
  static std::vector<OpEntry> table;
  return table;
}
}  // namespace vq
