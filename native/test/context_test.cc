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
