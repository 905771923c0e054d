// Non-maximum suppression of boxes, hard or soft: Bodla et al. 2017, https://arxiv.org/abs/1704.04503, section 3, in the
// order of TensorFlow's kernel.
#include <algorithm>
#include <cmath>
#include <queue>
#include <vector>

#include "vq/op.h"
#include "vq/window.h"

namespace vq {
namespace {

double intersection_over_union(const float* a, const float* b) {
  const double top_a = std::min(a[0], a[2]), left_a = std::min(a[1], a[3]), bottom_a = std::max(a[0], a[2]), right_a = std::max(a[1], a[3]);
  const double top_b = std::min(b[0], b[2]), left_b = std::min(b[1], b[3]), bottom_b = std::max(b[0], b[2]), right_b = std::max(b[1], b[3]);
  const double area_a = (bottom_a - top_a) * (right_a - left_a), area_b = (bottom_b - top_b) * (right_b - left_b);
  if (area_a <= 0 || area_b <= 0) return 0;
  const double shared = std::max(std::min(bottom_a, bottom_b) - std::max(top_a, top_b), 0.0) *
                        std::max(std::min(right_a, right_b) - std::max(left_a, left_b), 0.0);
  return shared / (area_a + area_b - shared);
}

struct Candidate {
  double score;
  int64_t box, seen;  // selected boxes before `seen` have had their effect
  // The largest score comes first, of equals the smaller index.
  bool operator<(const Candidate& o) const { return score != o.score ? score < o.score : box > o.box; }
};

}  // namespace

// Arguments: boxes, most to select, overlap threshold, score threshold, soft sigma (0: hard), boxes [n, 4], scores [n], indices
// and scores of the selected ones, as many as may be selected. Answers their number.
VQ_OP(NonMaxSuppression) {
  const int64_t n = args.integer(), most = args.integer();
  const double overlap = args.number(), threshold = args.number(), sigma = args.number();
  const float *boxes = args.tensor<float>(checked_product({n, 4})), *scores = args.tensor<float>(n);
  int32_t* indices = args.tensor<int32_t>(most);
  float* kept = args.tensor<float>(most);
  const double scale = sigma > 0 ? -0.5 / sigma : 0.0;
  std::priority_queue<Candidate> waiting;
  for (int64_t i = 0; i < n; ++i)
    if (scores[i] > threshold) waiting.push({scores[i], i, 0});
  int64_t selected = 0;
  while (selected < most && !waiting.empty()) {
    Candidate c = waiting.top();
    waiting.pop();
    const double before = c.score;
    if (before < threshold) break;
    bool dropped = false;
    for (int64_t j = selected - 1; j >= c.seen; --j) {
      const double iou = intersection_over_union(boxes + c.box * 4, boxes + indices[j] * 4);
      if (iou >= overlap) {
        dropped = true;
        break;
      }
      c.score *= iou <= overlap ? std::exp(scale * iou * iou) : 0.0;
      if (c.score <= threshold) break;
    }
    c.seen = selected;
    if (dropped) continue;
    if (c.score == before) {
      indices[selected] = static_cast<int32_t>(c.box);
      kept[selected++] = static_cast<float>(c.score);
    } else if (c.score > threshold) {
      waiting.push(c);
    }
  }
  args.answer(static_cast<double>(selected));
}

}  // namespace vq
