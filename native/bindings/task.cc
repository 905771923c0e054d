#include "task.h"

#include <string>

namespace vq_node {
namespace {

using Stop = std::shared_ptr<std::atomic<bool>>;
void stop_now(void* flag) { static_cast<std::atomic<bool>*>(flag)->store(true); }

class Worker : public Napi::AsyncWorker {
 public:
  Worker(Napi::Env env, std::unique_ptr<Task> task, const Napi::Value& progress, Stop stop)
      : Napi::AsyncWorker(env), task_(std::move(task)), stop_(std::move(stop)), deferred_(Napi::Promise::Deferred::New(env)) {
    // A worker thread that is terminated waits for its tasks: make that wait short.
    napi_add_env_cleanup_hook(env, stop_now, stop_.get());
    if (!progress.IsFunction()) return;
    channel_ = Napi::ThreadSafeFunction::New(env, progress.As<Napi::Function>(), "vq progress", 0, 1);
    has_channel_ = true;
    task_->progress = [this](int iteration, double value) {
      auto* at = new std::pair<int, double>(iteration, value);
      const auto call = [](Napi::Env e, Napi::Function f, std::pair<int, double>* p) {
        const std::unique_ptr<std::pair<int, double>> own(p);
        if (e == nullptr || f == nullptr) return;
        // A worker that is being terminated cannot run JavaScript any more: nobody is left to be told.
        try {
          f.Call({Napi::Number::New(e, own->first), Napi::Number::New(e, own->second)});
        } catch (const Napi::Error&) {
        }
      };
      if (channel_.NonBlockingCall(at, call) != napi_ok) delete at;
    };
  }
  ~Worker() override { napi_remove_env_cleanup_hook(Env(), stop_now, stop_.get()); }
  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    try {
      if (stop_->load()) throw vq::Stopped();  // stopped while it waited for a thread
      task_->run({task_->threads, stop_.get()});
    } catch (const vq::Stopped&) {
      stopped_ = true;
    } catch (const vq::Error& e) {
      error_ = std::make_unique<vq::Error>(e);
    } catch (const std::bad_alloc&) {
      error_ = std::make_unique<vq::Error>(vq::Error::kMemory, "out of memory");
    } catch (const std::exception& e) {
      error_ = std::make_unique<vq::Error>(vq::Error::kDevice, e.what());
    }
    if (has_channel_) channel_.Release();
  }

  void OnOK() override {
    Napi::Env env = Env();
    Napi::HandleScope scope(env);
    if (stopped_) {
      Napi::Error e = Napi::Error::New(env, "aborted");
      e.Set("code", Napi::String::New(env, "VQ_ABORT"));
      return deferred_.Reject(e.Value());
    }
    if (error_) return deferred_.Reject(to_js(env, *error_).Value());
    try {
      deferred_.Resolve(task_->result(env));
    } catch (const Napi::Error& e) {
      deferred_.Reject(e.Value());
    } catch (const std::bad_alloc&) {
      deferred_.Reject(to_js(env, vq::Error(vq::Error::kMemory, "out of memory")).Value());
    }
  }

 private:
  std::unique_ptr<Task> task_;
  Stop stop_;
  Napi::Promise::Deferred deferred_;
  Napi::ThreadSafeFunction channel_;
  bool has_channel_ = false, stopped_ = false;
  std::unique_ptr<vq::Error> error_;
};

}  // namespace

Napi::Value run_now(Napi::Env env, Task& task) {
  task.run({task.threads, nullptr});
  return task.result(env);
}

Napi::Value run_async(Napi::Env env, std::unique_ptr<Task> task, const Napi::Value& progress) {
  Stop stop = std::make_shared<std::atomic<bool>>(false);
  auto* worker = new Worker(env, std::move(task), progress, stop);
  Napi::Object o = Napi::Object::New(env);
  o.Set("promise", worker->promise());
  o.Set("abort", Napi::Function::New(env, [stop](const Napi::CallbackInfo&) { stop->store(true); }, "abort"));
  worker->Queue();
  return o;
}

}  // namespace vq_node
