#include "check.h"
#include "vq/context.h"
#include "vq/error.h"

VQ_TEST(a_released_buffer_is_reused_and_counted) {
  vq::Context c;
  const int32_t a = c.allocate(1000);
  void* p = c.at(a).data;
  VQ_EXPECT(reinterpret_cast<uintptr_t>(p) % 64 == 0);
  c.release(a);
  VQ_EXPECT(c.bytes_in_use == 0 && c.bytes_cached >= 1000);
  const int32_t b = c.allocate(1000);
  VQ_EXPECT(c.at(b).data == p);
  VQ_EXPECT(c.bytes_cached == 0 && c.buffers == 1);
  c.release(b);
  bool refused = false;
  try {
    c.at(b);
  } catch (const vq::Error&) {
    refused = true;
  }
  VQ_EXPECT(refused);
}

VQ_TEST(spare_memory_stays_below_the_most_that_was_in_use) {
  vq::Context c;
  const size_t mb = size_t{1} << 20;
  for (size_t size = 1; size < 400; ++size) {  // sizes that never come again
    c.release(c.allocate(size * mb / 2));
    VQ_EXPECT(c.bytes_cached <= 256 * mb);
  }
  const int32_t a = c.allocate(199 * mb);
  VQ_EXPECT(c.bytes_in_use >= 199 * mb && c.bytes_peak == c.bytes_in_use);
  c.release(a);
  c.trim();
  VQ_EXPECT(c.bytes_cached == 0 && c.bytes_in_use == 0);

  // A peak is forgotten after a while of smaller work.
  std::vector<int32_t> many;
  for (int i = 0; i < 10; ++i) many.push_back(c.allocate(100 * mb));
  for (int32_t handle : many) c.release(handle);
  VQ_EXPECT(c.bytes_cached >= 1000 * mb);
  for (int i = 0; i < 4096; ++i) c.release(c.allocate(1000));
  VQ_EXPECT(c.bytes_cached <= 256 * mb && c.bytes_peak >= 1000 * mb);
}
