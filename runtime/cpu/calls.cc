// Calls of a method with arrays whose shapes were seen before: checked, run and answered without a line of Python.
#include "calls.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <numpy/arrayobject.h>

#include <algorithm>
#include <string>

#include "session.h"

namespace rushlight {
namespace {

using namespace nb::literals;

using Shape = std::vector<npy_intp>;

// A plan, and the shapes that it is bound to.
struct Entry {
  std::vector<Shape> inputs, outputs;
  Plan plan;
};

// Inputs and outputs on the stack for most models.
constexpr size_t kMaxArrays = 32;
constexpr size_t kMaxEntries = 8;

// Below this, letting other Python threads run costs more than it gives them.
constexpr double kWorthReleasing_ns = 3000;

class Calls {
 public:
  // (name, dtype) of inputs and outputs.
  Calls(const std::vector<std::pair<std::string, nb::object>>& inputs,
        const std::vector<std::pair<std::string, nb::object>>& outputs) {
    for (const auto& [name, dtype] : inputs) inputs_.push_back({intern(name), dtype});
    for (const auto& [name, dtype] : outputs) outputs_.push_back({intern(name), dtype});
  }

  void remember(std::vector<Shape> inputs, std::vector<Shape> outputs, Plan plan) {
    if (inputs.size() != inputs_.size() || outputs.size() != outputs_.size() || inputs.size() > kMaxArrays ||
        outputs.size() > kMaxArrays)
      return;
    std::erase_if(entries_, [&](const Entry& entry) { return entry.inputs == inputs; });
    if (entries_.size() == kMaxEntries) entries_.pop_back();
    entries_.insert(entries_.begin(), Entry{std::move(inputs), std::move(outputs), std::move(plan)});
  }

  // The outputs for a tuple of arrays, one alone or a tuple; None if this call takes more than is done here.
  nb::object run(nb::handle arguments) {
    PyObject* arrays[kMaxArrays];
    if (!PyTuple_CheckExact(arguments.ptr()) || size_t(PyTuple_GET_SIZE(arguments.ptr())) != inputs_.size() ||
        inputs_.size() > kMaxArrays)
      return nb::none();
    for (size_t i = 0; i < inputs_.size(); ++i) arrays[i] = PyTuple_GET_ITEM(arguments.ptr(), Py_ssize_t(i));
    return answer(arrays, [&](nb::object* made) -> nb::object {
      if (outputs_.size() == 1) return std::move(made[0]);
      nb::object tuple = nb::steal(PyTuple_New(Py_ssize_t(outputs_.size())));
      for (size_t i = 0; i < outputs_.size(); ++i)
        PyTuple_SET_ITEM(tuple.ptr(), Py_ssize_t(i), made[i].release().ptr());
      return tuple;
    });
  }

  // As `run`, by name.
  nb::object run_named(nb::handle arguments) {
    PyObject* arrays[kMaxArrays];
    if (!PyDict_CheckExact(arguments.ptr()) || size_t(PyDict_GET_SIZE(arguments.ptr())) != inputs_.size() ||
        inputs_.size() > kMaxArrays)
      return nb::none();
    for (size_t i = 0; i < inputs_.size(); ++i) {
      arrays[i] = PyDict_GetItemWithError(arguments.ptr(), inputs_[i].name.ptr());
      if (!arrays[i]) {
        if (PyErr_Occurred()) throw nb::python_error();
        return nb::none();
      }
    }
    return answer(arrays, [&](nb::object* made) -> nb::object {
      nb::dict named;
      for (size_t i = 0; i < outputs_.size(); ++i)
        if (PyDict_SetItem(named.ptr(), outputs_[i].name.ptr(), made[i].ptr()) != 0) throw nb::python_error();
      return named;
    });
  }

 private:
  struct Spec {
    nb::object name, dtype;
  };

  static nb::object intern(const std::string& name) { return nb::steal(PyUnicode_InternFromString(name.c_str())); }

  template <class Wrap>
  nb::object answer(PyObject* const* arrays, Wrap wrap) {
    const Entry* const entry = find(arrays);
    if (!entry) return nb::none();
    // The caller may drop its arrays, or this entry, while the GIL is released.
    const Plan plan = entry->plan;
    void* inputs[kMaxArrays];
    void* outputs[kMaxArrays];
    nb::object held[kMaxArrays], made[kMaxArrays];
    for (size_t i = 0; i < inputs_.size(); ++i) {
      held[i] = nb::borrow(arrays[i]);
      inputs[i] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(arrays[i]));
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Shape& shape = entry->outputs[i];
      auto* const dtype = reinterpret_cast<PyArray_Descr*>(nb::object(outputs_[i].dtype).release().ptr());  // stolen
      made[i] = nb::steal(PyArray_Empty(int(shape.size()), shape.data(), dtype, 0));
      if (!made[i].is_valid()) throw nb::python_error();
      outputs[i] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(made[i].ptr()));
    }
    const auto work = [&] { return run_whole(*plan.executor, *plan.bound, inputs, outputs); };
    int64_t fault;
    if (plan.bound->cost_ns() < kWorthReleasing_ns) {
      fault = work();
    } else {
      nb::gil_scoped_release release;
      fault = work();
    }
    if (fault >= 0) return nb::none();  // the long way will meet it again, and say what it was
    return wrap(made);
  }

  static int64_t run_whole(Executor& executor, const BoundPlan& plan, void* const* inputs, void* const* outputs) {
    const ArenaLease arena(executor.arenas(), plan.arena_bytes());
    const int64_t fault = plan.run(0, plan.size(), arena.data(), inputs, outputs, nullptr);
    if (fault < 0) plan.copy_outputs(arena.data(), inputs, outputs);
    return fault;
  }

  const Entry* find(PyObject* const* arrays) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!PyArray_CheckExact(arrays[i])) return nullptr;
      auto* const array = reinterpret_cast<PyArrayObject*>(arrays[i]);
      auto* const dtype = reinterpret_cast<PyObject*>(PyArray_DESCR(array));
      if (dtype != inputs_[i].dtype.ptr() || !PyArray_IS_C_CONTIGUOUS(array) || !PyArray_ISALIGNED(array))
        return nullptr;
    }
    for (size_t e = 0; e < entries_.size(); ++e) {
      if (!fits(entries_[e], arrays)) continue;
      if (e > 0) std::rotate(entries_.begin(), entries_.begin() + int64_t(e), entries_.begin() + int64_t(e) + 1);
      return &entries_.front();
    }
    return nullptr;
  }

  bool fits(const Entry& entry, PyObject* const* arrays) const {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      auto* const array = reinterpret_cast<PyArrayObject*>(arrays[i]);
      const Shape& shape = entry.inputs[i];
      if (size_t(PyArray_NDIM(array)) != shape.size() || !std::equal(shape.begin(), shape.end(), PyArray_DIMS(array)))
        return false;
    }
    return true;
  }

  std::vector<Spec> inputs_, outputs_;
  std::vector<Entry> entries_;  // the last used first
};

}  // namespace

void bind_calls(nb::module_& module) {
  if (_import_array() < 0) throw nb::python_error();
  const char* const result =
      "The outputs; None where a call takes more than is done here: other types, shapes not "
      "seen, memory not contiguous, an index out of range.";
  nb::class_<Calls>(module, "Calls", "The plans that a method used last, and the short way to run them.")
      .def(nb::init<const std::vector<std::pair<std::string, nb::object>>&,
                    const std::vector<std::pair<std::string, nb::object>>&>(),
           "inputs"_a, "outputs"_a)
      .def("remember", &Calls::remember, "inputs"_a, "outputs"_a, "plan"_a)
      .def("run", &Calls::run, "arrays"_a, result)
      .def("run_named", &Calls::run_named, "arrays"_a, result);
}

}  // namespace rushlight
