// oneDNN 2's products (2.6.3, AVX-512) keep data below the stack pointer, where a signal's handler writes: a child that
// ends or a sampling profiler corrupted the heap. Signals wait while a shield stands; they arrive after it. Threads that
// start behind it never take signals.
#pragma once
#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif

namespace vq {

#ifdef _WIN32
struct SignalShield {};
#else
class SignalShield {
 public:
  SignalShield() {
    static const sigset_t all = [] {
      sigset_t set;
      sigfillset(&set);
      // What the processor raises must be handled at once.
      for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&set, own);
      return set;
    }();
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalShield() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalShield(const SignalShield&) = delete;
  SignalShield& operator=(const SignalShield&) = delete;

 private:
  sigset_t before_;
};
#endif

}  // namespace vq
