// oneDNN 2 (Debian 12, Ubuntu 22.04) describes an operation first; oneDNN 3 has no descriptors. Only this file knows.
#pragma once
#include <dnnl.hpp>
#include <utility>

namespace vq {

#if DNNL_VERSION_MAJOR >= 3

template <class P, class... A>
typename P::primitive_desc describe(const dnnl::engine& engine, const dnnl::primitive_attr& attr, A&&... a) {
  return typename P::primitive_desc(engine, std::forward<A>(a)..., attr);
}
// Backward primitives are described with their forward one as a hint.
template <class P, class Hint, class... A>
typename P::primitive_desc describe_backward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                                             const Hint& hint, A&&... a) {
  return typename P::primitive_desc(engine, std::forward<A>(a)..., hint, attr);
}
inline void append_relu(dnnl::post_ops& ops) { ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f); }

// oneDNN 3 takes no propagation kind in backward descriptors either.
template <class P, class Hint, class... A>
typename P::primitive_desc describe_convolution_backward(const dnnl::engine& e, const dnnl::primitive_attr& attr,
                                                         const Hint& hint, A&&... a) {
  return describe_backward<P>(e, attr, hint, dnnl::algorithm::convolution_direct, std::forward<A>(a)...);
}

#else

template <class P, class... A>
typename P::primitive_desc describe(const dnnl::engine& engine, const dnnl::primitive_attr& attr, A&&... a) {
  return typename P::primitive_desc(typename P::desc(std::forward<A>(a)...), attr, engine);
}
template <class P, class Hint, class... A>
typename P::primitive_desc describe_convolution_backward(const dnnl::engine& e, const dnnl::primitive_attr& attr,
                                                         const Hint& hint, A&&... a) {
  return typename P::primitive_desc(typename P::desc(dnnl::algorithm::convolution_direct, std::forward<A>(a)...), attr, e, hint);
}
inline void append_relu(dnnl::post_ops& ops) { ops.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f); }

#endif

}  // namespace vq
