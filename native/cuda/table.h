// The C interface of vq/backend.h over a machine M: exceptions become codes and a text per thread, every range is checked,
// calls on one context run one after another. Besides what machine_arrays.h asks for, M has
//
//   M(int device), ~M()
//   static count(versions) -> int, static info(device) -> vq_device_info      throw Unusable where there is no device
//   use(stream)                                the calling thread and this stream from now on; null is the machine's own
//   synchronize(), figures(total, free)
//   reserve(bytes), give_up(p)                 memory of buffers, which any stream may meet at once; give_up on any thread,
//                                              also while another uses the machine
//   Stream, Event with make_stream() -> Stream*, drop(Stream*), make_event(), drop(Event*), record(Event*), elapsed(a, b)
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "cuda/lattice_operations.h"
#include "cuda/operations.h"

namespace vq::gpu {

// Why no device can be used: a vq_code from 20 on.
struct Unusable {
  int code;
  std::string text;
};

template <class M>
struct Context {
  explicit Context(int device) : machine(device) {}
  M machine;
  std::mutex mutex;     // of the machine: one call at a time
  std::mutex counting;  // of the figures: buffers go while a call runs
  uint64_t in_use = 0, peak = 0, buffers = 0;
};

inline std::string& error_text() {
  thread_local std::string text;
  return text;
}

template <class F>
int coded(F&& f) {
  int code = VQ_ERROR_DEVICE;
  try {
    f();
    return VQ_OK;
  } catch (const Error& e) {
    static const int codes[] = {VQ_ERROR_SHAPE, VQ_ERROR_CONFIG, VQ_ERROR_DEVICE, VQ_ERROR_MEMORY, VQ_ERROR_VALUE};
    code = codes[e.code];
    error_text() = e.what();
  } catch (const Unusable& e) {
    code = e.code;
    error_text() = e.text;
  } catch (const CallStopped&) {
    code = VQ_ERROR_STOPPED;
    error_text() = "stopped";
  } catch (const std::bad_alloc&) {
    code = VQ_ERROR_MEMORY;
    error_text() = "out of host memory";
  } catch (const std::exception& e) {
    error_text() = e.what();
  }
  return code;
}

template <class M>
struct Table {
  using C = Context<M>;
  using B = Buffer<M>;
  using Stream = typename M::Stream;
  struct Event {
    C* context;
    typename M::Event* event;
  };
  struct OwnedStream {
    C* context;
    Stream* stream;
  };

  static C* real(vq_context* c) {
    if (!c) fail(Error::kDevice, "no context given");
    return reinterpret_cast<C*>(c);
  }
  static Stream* stream_of(vq_stream* s) { return s ? reinterpret_cast<OwnedStream*>(s)->stream : nullptr; }

  // f on the context, alone, on this stream.
  template <class F>
  static int on(C* c, vq_stream* s, F&& f) {
    return coded([&] {
      if (!c) fail(Error::kDevice, "no context given");
      const std::lock_guard<std::mutex> lock(c->mutex);
      c->machine.use(stream_of(s));
      f();
    });
  }
  template <class F>
  static int on(vq_context* c, vq_stream* s, F&& f) {
    return on(reinterpret_cast<C*>(c), s, std::forward<F>(f));
  }
  // The same to the end of what it enqueued, so that results are there and working memory is free. Also after a failure.
  template <class F>
  static int whole(vq_context* c, const vq_call* call, F&& f) {
    return on(c, call ? call->stream : nullptr, [&] {
      M& machine = reinterpret_cast<C*>(c)->machine;
      try {
        f(machine);
      } catch (...) {
        machine.synchronize();
        throw;
      }
      machine.synchronize();
    });
  }

  static const char* last_error() { return error_text().c_str(); }
  static int device_count(int32_t* count, vq_versions* versions) {
    return coded([&] {
      vq_versions found{};
      *count = 0;
      try {
        *count = M::count(found);
      } catch (...) {
        if (versions) *versions = found;
        throw;
      }
      if (versions) *versions = found;
    });
  }
  static int device_info(int32_t device, vq_device_info* info) {
    return coded([&] { *info = M::info(device); });
  }
  static int context_create(int32_t device, vq_context** context) {
    return coded([&] { *context = reinterpret_cast<vq_context*>(new C(device)); });
  }
  static void context_destroy(vq_context* context) { delete reinterpret_cast<C*>(context); }
  static int memory(vq_context* context, vq_memory* memory) {
    return on(context, nullptr, [&] {
      C* c = real(context);
      {
        const std::lock_guard<std::mutex> lock(c->counting);
        *memory = {0, 0, c->in_use, c->peak, c->buffers};
      }
      c->machine.figures(memory->total, memory->free);
    });
  }

  static int buffer_create(vq_context* context, uint64_t bytes, vq_buffer** buffer) {
    return on(context, nullptr, [&] {
      C* c = real(context);
      auto b = std::make_unique<B>(B{c, nullptr, bytes});
      if (bytes) b->data = c->machine.reserve(bytes);
      const std::lock_guard<std::mutex> lock(c->counting);
      c->in_use += bytes;
      c->peak = std::max(c->peak, c->in_use);
      ++c->buffers;
      *buffer = reinterpret_cast<vq_buffer*>(b.release());
    });
  }
  // Waits for no call: garbage collectors free buffers on threads that must not stand still for minutes.
  static void buffer_destroy(vq_buffer* buffer) {
    if (!buffer) return;
    const std::unique_ptr<B> b(gpu::real<M>(buffer));
    C& c = *b->context;
    if (b->data) c.machine.give_up(b->data);
    const std::lock_guard<std::mutex> lock(c.counting);
    c.in_use -= b->bytes;
    --c.buffers;
  }
  static uint64_t buffer_bytes(const vq_buffer* buffer) { return buffer ? gpu::real<M>(buffer)->bytes : 0; }

  static char* range(const vq_buffer* buffer, uint64_t offset, uint64_t bytes) {
    const B* b = gpu::real<M>(buffer);
    if (offset > b->bytes || bytes > b->bytes - offset)
      fail(Error::kShape, std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of a buffer of " +
                              std::to_string(b->bytes));
    return static_cast<char*>(b->data) + offset;
  }
  static C* context_of(const vq_buffer* buffer) { return buffer ? gpu::real<M>(buffer)->context : nullptr; }
  static int upload(vq_buffer* to, uint64_t offset, const void* from, uint64_t bytes, vq_stream* stream) {
    return on(context_of(to), stream, [&] {
      char* at = range(to, offset, bytes);
      if (bytes) context_of(to)->machine.upload(at, from, bytes);
    });
  }
  static int download(const vq_buffer* from, uint64_t offset, void* to, uint64_t bytes, vq_stream* stream) {
    return on(context_of(from), stream, [&] {
      const char* at = range(from, offset, bytes);
      if (bytes) context_of(from)->machine.download(to, at, bytes);
    });
  }
  static int copy(vq_buffer* to, uint64_t to_offset, const vq_buffer* from, uint64_t from_offset, uint64_t bytes,
                  vq_stream* stream) {
    return on(context_of(to), stream, [&] {
      if (context_of(from) != context_of(to)) fail(Error::kDevice, "the buffers belong to different devices");
      char* there = range(to, to_offset, bytes);
      const char* here = range(from, from_offset, bytes);
      if (bytes) context_of(to)->machine.copy(there, here, bytes);
    });
  }

  static int stream_create(vq_context* context, vq_stream** stream) {
    return on(context, nullptr, [&] {
      C* c = real(context);
      *stream = reinterpret_cast<vq_stream*>(new OwnedStream{c, c->machine.make_stream()});
    });
  }
  static void stream_destroy(vq_stream* stream) {
    if (!stream) return;
    std::unique_ptr<OwnedStream> s(reinterpret_cast<OwnedStream*>(stream));
    on(s->context, nullptr, [&] { s->context->machine.drop(s->stream); });
  }
  static int stream_synchronize(vq_context* context, vq_stream* stream) {
    return on(context, stream, [&] { real(context)->machine.synchronize(); });
  }
  static int event_create(vq_context* context, vq_event** event) {
    return on(context, nullptr, [&] {
      C* c = real(context);
      *event = reinterpret_cast<vq_event*>(new Event{c, c->machine.make_event()});
    });
  }
  static void event_destroy(vq_event* event) {
    if (!event) return;
    std::unique_ptr<Event> e(reinterpret_cast<Event*>(event));
    on(e->context, nullptr, [&] { e->context->machine.drop(e->event); });
  }
  static int event_record(vq_event* event, vq_stream* stream) {
    const Event* e = reinterpret_cast<Event*>(event);
    return on(e ? e->context : nullptr, stream, [&] { e->context->machine.record(e->event); });
  }
  static int event_elapsed(vq_event* from, vq_event* to, float* milliseconds) {
    const Event *a = reinterpret_cast<Event*>(from), *b = reinterpret_cast<Event*>(to);
    return on(a && b ? b->context : nullptr, nullptr,
              [&] { *milliseconds = b->context->machine.elapsed(a->event, b->event); });
  }

  static int nearest(vq_context* c, const vq_nearest_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_nearest(*real(c), m, *a, call); });
  }
  static int ema_update(vq_context* c, const vq_ema_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_ema_update(*real(c), m, *a, call); });
  }
  static int residual_encode(vq_context* c, const vq_residual_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_residual_encode(*real(c), m, *a, call); });
  }
  static int kmeans(vq_context* c, vq_kmeans_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_kmeans(*real(c), m, *a, call); });
  }
  static int estimator_gradient(vq_context* c, const vq_estimator_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_estimator_gradient(*real(c), m, *a, call); });
  }
  static int replace_rows(vq_context* c, const vq_replace_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_replace_rows(*real(c), m, *a, call); });
  }
  static int fsq_encode(vq_context* c, const vq_fsq_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_fsq_encode(*real(c), m, *a, call); });
  }
  static int fsq_gradient(vq_context* c, const vq_fsq_gradient_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_fsq_gradient(*real(c), m, *a, call); });
  }
  static int fsq_decode(vq_context* c, const vq_fsq_decode_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_fsq_decode(*real(c), m, *a, call); });
  }
  static int lfq_encode(vq_context* c, const vq_lfq_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_lfq_encode(*real(c), m, *a, call); });
  }
  static int lfq_decode(vq_context* c, const vq_lfq_decode_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_lfq_decode(*real(c), m, *a, call); });
  }
  static int lfq_entropy(vq_context* c, const vq_lfq_entropy_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_lfq_entropy(*real(c), m, *a, call); });
  }
  static int lfq_entropy_gradient(vq_context* c, const vq_lfq_entropy_gradient_args* a, const vq_call* call) {
    return whole(c, call, [&](M& m) { run_lfq_entropy_gradient(*real(c), m, *a, call); });
  }
  static int run(vq_context*, const char* op, double*, int32_t, vq_stream*) {
    error_text() = std::string(op ? op : "(no name)") + ": not implemented on this device yet";
    return VQ_ERROR_NOT_IMPLEMENTED;
  }

  static const vq_backend* open(uint32_t version, const char* name) {
    static const vq_backend table = {
        VQ_BACKEND_VERSION, sizeof(vq_backend), name, last_error, device_count, device_info, context_create,
        context_destroy, memory, buffer_create, buffer_destroy, buffer_bytes, upload, download, copy, stream_create,
        stream_destroy, stream_synchronize, event_create, event_destroy, event_record, event_elapsed, nearest, ema_update,
        residual_encode, kmeans, estimator_gradient, replace_rows, run, fsq_encode, fsq_gradient, fsq_decode, lfq_encode,
        lfq_decode, lfq_entropy, lfq_entropy_gradient};
    return version == 0 || version == VQ_BACKEND_VERSION ? &table : nullptr;
  }
};

}  // namespace vq::gpu
