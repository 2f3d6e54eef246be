// What Python holds of a model: constants, arenas, bound plans, and runs in progress.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <utility>
#include <vector>

#include "executor.h"

namespace rushlight {

namespace nb = nanobind;

using Objects = nb::typed<nb::list, nb::any>;

// A contiguous view of an object's memory (buffer protocol), held while it lives.
class Buffer {
 public:
  explicit Buffer(nb::handle object, bool writable = false) {
    if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) != 0)
      throw nb::python_error();
  }
  Buffer(Buffer&& other) noexcept : view_(other.view_) { other.view_.obj = nullptr; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (view_.obj) PyBuffer_Release(&view_);
  }
  void* data() const { return view_.buf; }
  size_t bytes() const { return size_t(view_.len); }

 private:
  Py_buffer view_;
};

// What a model owns: its constants' memory, its arenas, the number of threads it may use.
class Executor {
 public:
  Executor(Objects constants, int threads) : threads_(threads) {
    for (nb::handle constant : constants) constants_.emplace_back(constant);
  }
  const Buffer& constant(size_t index) const { return constants_.at(index); }
  int threads() const { return threads_; }
  ArenaPool& arenas() { return arenas_; }

 private:
  std::vector<Buffer> constants_;
  ArenaPool arenas_;
  int threads_;
};

// One run in progress: the arena and the callers' arrays.
class Session {
 public:
  Session(std::shared_ptr<Executor> executor, std::shared_ptr<BoundPlan> plan, Objects inputs, Objects outputs)
      : executor_(std::move(executor)), plan_(std::move(plan)), arena_(executor_->arenas(), plan_->arena_bytes()) {
    for (nb::handle array : inputs) inputs_.push_back(pin(array, false));
    for (nb::handle array : outputs) outputs_.push_back(pin(array, true));
  }

  void finish() { plan_->copy_outputs(arena_.data(), inputs_.data(), outputs_.data()); }

  size_t members(size_t first, size_t last) const {
    check(first, last);
    return plan_->members(first, last);
  }

  int64_t run(size_t first, size_t last, int64_t* nanoseconds) {
    check(first, last);
    nb::gil_scoped_release release;
    return plan_->run(first, last, arena_.data(), inputs_.data(), outputs_.data(), nanoseconds);
  }

  nb::object arena_view(size_t offset, size_t bytes) {
    if (offset > plan_->arena_bytes() || bytes > plan_->arena_bytes() - offset)
      throw nb::index_error("outside of the arena");
    return nb::steal(
        PyMemoryView_FromMemory(reinterpret_cast<char*>(arena_.data() + offset), Py_ssize_t(bytes), PyBUF_WRITE));
  }

 private:
  void check(size_t first, size_t last) const {
    if (last > plan_->size() || first > last) throw nb::index_error("no such steps");
  }

  void* pin(nb::handle array, bool writable) {
    buffers_.emplace_back(array, writable);
    return buffers_.back().data();
  }

  std::shared_ptr<Executor> executor_;
  std::shared_ptr<BoundPlan> plan_;
  std::vector<Buffer> buffers_;
  std::vector<void*> inputs_, outputs_;
  ArenaLease arena_;
};

struct Plan {
  std::shared_ptr<Executor> executor;
  std::shared_ptr<BoundPlan> bound;
};

}  // namespace rushlight
