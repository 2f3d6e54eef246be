// The nanobind module: kernel tables, single kernels for tests, bound plans for models.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>

#include "calls.h"
#include "isa.h"
#include "packing_layout.h"
#include "pages.h"
#include "peak.h"
#include "pool.h"
#include "registry.h"
#include "session.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace rushlight;

namespace {

KernelRef compiled_or_throw(const std::string& symbol) {
  const KernelRef kernel = find_kernel(symbol);
  if (!kernel.row) throw nb::value_error(("no kernel " + symbol).c_str());
  return kernel;
}

KernelRef kernel_or_throw(const std::string& symbol) {
  const KernelRef kernel = compiled_or_throw(symbol);
  if (!(available_isas() >> int(kernel.row->isa) & 1))
    throw nb::value_error((symbol + ": this CPU lacks " + isa_name(kernel.row->isa)).c_str());
  return kernel;
}

uint32_t isas_or_throw(const std::vector<std::string>& names) {
  uint32_t mask = 0;
  for (const std::string& name : names) {
    int isa = 0;
    while (isa < kIsas && name != isa_name(Isa(isa))) ++isa;
    if (isa == kIsas || !(available_isas() >> isa & 1)) throw nb::value_error(("this CPU lacks " + name).c_str());
    mask |= 1u << isa;
  }
  return mask;
}

std::vector<std::byte> params_or_throw(const KernelRef& kernel, nb::bytes params) {
  if (params.size() != kernel.family->params_bytes)
    throw nb::value_error((std::string(kernel.row->symbol) + ": parameters have the wrong size").c_str());
  const auto* begin = reinterpret_cast<const std::byte*>(params.c_str());
  return {begin, begin + params.size()};
}

struct FamilyInfo {
  const Family* family;
};
struct RowInfo {
  const Row* row;
};

using FieldTuple = std::tuple<std::string, std::string, size_t, size_t>;

std::vector<FieldTuple> fields_of(const Family& family) {
  std::vector<FieldTuple> out;
  for (size_t i = 0; i < family.n_fields; ++i) {
    const Field& f = family.fields[i];
    out.emplace_back(f.name, std::string(1, f.type), f.offset, f.count);
  }
  return out;
}

void run_kernel(const std::string& symbol, nb::bytes params, Objects operands, int threads, int64_t chunk) {
  const KernelRef kernel = kernel_or_throw(symbol);
  const Family& family = *kernel.family;
  const std::vector<std::byte> values = params_or_throw(kernel, params);
  if (operands.size() != family.n_operands)
    throw nb::value_error((symbol + ": takes " + std::to_string(family.n_operands) + " operands").c_str());
  std::vector<Buffer> buffers;
  std::vector<void*> pointers;
  for (size_t i = 0; i < family.n_operands; ++i) {
    if (operands[i].is_none()) {
      pointers.push_back(nullptr);
    } else {
      buffers.emplace_back(operands[i], family.operands[i].is_written);
      pointers.push_back(buffers.back().data());
    }
  }
  const void* raw = values.data();
  const size_t scratch_bytes = (family.scratch_bytes(*kernel.row, raw) + 63) / 64 * 64;
  ArenaPool pool;
  const auto block = pool.take(scratch_bytes * size_t(threads) + 64);
  struct Context {
    const Row* row;
    void* const* operands;
    const void* params;
    std::byte* scratch;
    size_t scratch_bytes;
  } context{kernel.row, pointers.data(), raw, block.data, scratch_bytes};
  {
    nb::gil_scoped_release release;
    FlushDenormals flush;
    const ParallelRegion region(threads);
    parallel_for(
        threads, family.tasks(*kernel.row, raw), chunk,
        [](void* c_raw, int thread, int64_t begin, int64_t end) {
          const auto& c = *static_cast<const Context*>(c_raw);
          c.row->run({c.operands, c.params, c.scratch + c.scratch_bytes * size_t(thread)}, begin, end);
        },
        &context);
  }
  pool.give(block);
}

nb::object aligned_array(size_t bytes) {
  nb::module_ numpy = nb::module_::import_("numpy");
  nb::object raw = numpy.attr("empty")(bytes + 64, "dtype"_a = "uint8");
  Buffer view(raw, true);
  const size_t skip = (64 - reinterpret_cast<uintptr_t>(view.data()) % 64) % 64;
  return raw[nb::slice(nb::int_(skip), nb::int_(skip + bytes), nb::int_(1))];
}

using ByteArray = nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>;

// Huge pages pay where there is at least one.
nb::object weight_memory(size_t bytes) {
  if (bytes < kHugePage) return aligned_array(bytes);
  struct Pages {
    size_t bytes;
    std::byte* data = map_pages(bytes);
    ~Pages() { unmap_pages(data, bytes); }
  };
  auto pages = std::make_unique<Pages>(bytes);
  void* const data = pages->data;
  nb::capsule owner(pages.get(), [](void* raw) noexcept { delete static_cast<Pages*>(raw); });
  pages.release();
  return nb::cast(ByteArray(data, {bytes}, owner));
}

// Packing is portable code: kernels of other machines' instruction sets have it too.
KernelRef packing_or_throw(const std::string& symbol) {
  const KernelRef kernel = compiled_or_throw(symbol);
  if (!kernel.family->pack) throw nb::value_error((symbol + ": packs nothing").c_str());
  return kernel;
}

size_t packed_bytes(const std::string& symbol, nb::bytes params) {
  const KernelRef kernel = packing_or_throw(symbol);
  return kernel.family->packed_bytes(*kernel.row, params_or_throw(kernel, params).data());
}

nb::object pack(const std::string& symbol, nb::bytes params, nb::handle src, nb::object dst) {
  const KernelRef kernel = packing_or_throw(symbol);
  const auto p = params_or_throw(kernel, params);
  const size_t bytes = kernel.family->packed_bytes(*kernel.row, p.data());
  if (dst.is_none()) dst = aligned_array(bytes);
  Buffer from(src), to(dst, true);
  if (to.bytes() != bytes) throw nb::value_error((symbol + ": dst has the wrong size").c_str());
  nb::gil_scoped_release release;
  kernel.family->pack(*kernel.row, p.data(), from.data(), to.data());
  return dst;
}

using LocationTuple = std::tuple<int, int, int64_t>;
using StepTuple = std::tuple<std::string, nb::bytes, std::vector<LocationTuple>>;

// What a band task calls: the member that it belongs to, and operands with the bytes that each repeat adds.
using BandLocationTuple = std::tuple<int, int, int64_t, int64_t>;
using BandCallTuple = std::tuple<int64_t, std::string, nb::bytes, std::vector<BandLocationTuple>>;
// (members, bytes of band memory, [(repeats, [[call]])], whether they are a pipeline)
using BandsTuple =
    std::tuple<int64_t, size_t, std::vector<std::tuple<int64_t, std::vector<std::vector<BandCallTuple>>>>, bool>;

using CopyTuple = std::tuple<int, LocationTuple, size_t>;

Location locate(const Executor& executor, const BandLocationTuple& tuple) {
  const auto& [space, index, offset, stride] = tuple;
  Location at{Space(space), index, offset, stride, nullptr};
  if (at.space == Space::constant)
    at.address = static_cast<const std::byte*>(executor.constant(size_t(index)).data()) + offset;
  return at;
}

Location locate(const Executor& executor, const LocationTuple& tuple) {
  return locate(executor, std::tuple_cat(tuple, std::make_tuple(int64_t(0))));
}

template <class Locations>
KernelCall kernel_call(const Executor& executor, const std::string& symbol, nb::bytes params,
                       const Locations& operands) {
  KernelCall call{kernel_or_throw(symbol), {}, {}};
  call.params = params_or_throw(call.kernel, params);
  const size_t n = call.kernel.family->n_operands;
  if (operands.size() != n || n > kMaxOperands) throw nb::value_error((symbol + ": wrong number of operands").c_str());
  for (const auto& operand : operands) call.operands.push_back(locate(executor, operand));
  return call;
}

Step band_step(const Executor& executor, const BandsTuple& bands) {
  const auto& [members, bytes, parts, is_pipeline] = bands;
  Step step;
  step.members = members;
  step.band_bytes = bytes;
  step.is_pipeline = is_pipeline;
  for (const auto& [repeats, tasks] : parts) {
    BandTasks& part = step.bands.emplace_back(BandTasks{repeats, {}});
    for (const auto& task : tasks) {
      CallSequence& sequence = part.sequences.emplace_back();
      for (const auto& [member, symbol, params, operands] : task) {
        if (member < 0 || member >= members) throw nb::value_error((symbol + ": no such member").c_str());
        sequence.push_back(kernel_call(executor, symbol, params, operands));
        sequence.back().member = member;
      }
    }
  }
  if (is_pipeline) {
    if (step.bands.size() != 1 || step.bands[0].repeats != 1 || step.bands[0].sequences.size() > kMaxPipeline)
      throw nb::value_error("no such pipeline");
    for (const CallSequence& sequence : step.bands[0].sequences)
      if (sequence.size() != step.bands[0].sequences[0].size())
        throw nb::value_error("sequences of a pipeline have the same number of calls");
  }
  return step;
}

Plan bind(std::shared_ptr<Executor> executor, const std::vector<std::variant<StepTuple, BandsTuple>>& steps,
          size_t arena_bytes, const std::vector<CopyTuple>& copies) {
  std::vector<Step> out;
  out.reserve(steps.size());
  for (const auto& given : steps) {
    if (const auto* const bands = std::get_if<BandsTuple>(&given)) {
      out.push_back(band_step(*executor, *bands));
    } else {
      const auto& [symbol, params, operands] = std::get<StepTuple>(given);
      out.emplace_back().call = kernel_call(*executor, symbol, params, operands);
    }
  }
  std::vector<OutputCopy> ends;
  for (const auto& [output, from, bytes] : copies) ends.push_back({output, locate(*executor, from), bytes});
  auto bound = std::make_shared<BoundPlan>(std::move(out), std::move(ends), arena_bytes, executor->threads());
  return {std::move(executor), std::move(bound)};
}

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "Kernels and the plan executor.";
  bind_calls(m);
  nb::set_leak_warnings(false);  // Python caches kernel rows for as long as the process lives

  m.attr("MAX_PIPELINE") = kMaxPipeline;

  nb::class_<RowInfo>(m, "RowInfo", "One compiled kernel.")
      .def_prop_ro("symbol", [](const RowInfo& r) { return r.row->symbol; })
      .def_prop_ro("op", [](const RowInfo& r) { return r.row->op; })
      .def_prop_ro("types", [](const RowInfo& r) { return r.row->types; })
      .def_prop_ro("isa", [](const RowInfo& r) { return isa_name(r.row->isa); })
      .def_prop_ro("mr", [](const RowInfo& r) { return r.row->mr; })
      .def_prop_ro("nr", [](const RowInfo& r) { return r.row->nr; })
      .def_prop_ro("available", [](const RowInfo& r) { return bool(available_isas() >> int(r.row->isa) & 1); });

  nb::class_<FamilyInfo>(m, "FamilyInfo", "A kernel family: its table and how its calls are described.")
      .def_prop_ro("name", [](const FamilyInfo& f) { return f.family->name; })
      .def_prop_ro("fields", [](const FamilyInfo& f) { return fields_of(*f.family); })
      .def_prop_ro("params_bytes", [](const FamilyInfo& f) { return f.family->params_bytes; })
      .def_prop_ro("packs", [](const FamilyInfo& f) { return f.family->pack != nullptr; })
      .def_prop_ro("operands",
                   [](const FamilyInfo& f) {
                     std::vector<std::tuple<std::string, bool>> out;
                     for (size_t i = 0; i < f.family->n_operands; ++i)
                       out.emplace_back(f.family->operands[i].name, f.family->operands[i].is_written);
                     return out;
                   })
      .def_prop_ro("rows", [](const FamilyInfo& f) {
        std::vector<RowInfo> out;
        for (size_t i = 0; i < f.family->n_rows; ++i) out.push_back({&f.family->rows[i]});
        return out;
      });

  m.def("families", [] {
    std::vector<FamilyInfo> out;
    for (const Family* family : families()) out.push_back({family});
    return out;
  });
  m.def("available_isas", [] {
    std::vector<std::string> out;
    for (int isa = 0; isa < kIsas; ++isa)
      if (available_isas() >> isa & 1) out.emplace_back(isa_name(Isa(isa)));
    return out;
  });
  m.def("usable_cpus", &usable_cpus);
  m.def(
      "measure_peaks",
      [](int threads, const std::optional<std::vector<std::string>>& isas) {
        if (threads < 1) throw nb::value_error("threads must be at least 1");
        const uint32_t mask = isas ? isas_or_throw(*isas) : available_isas();
        nb::gil_scoped_release release;
        const Peaks peaks = measure_peaks(threads, mask);
        return std::make_tuple(peaks.f32_flops, peaks.int8_ops, peaks.read_bytes, peaks.cache_bytes);
      },
      "threads"_a = 1, "isas"_a = nb::none(),
      "(f32 FLOP/s, u8 x s8 operations/s, bytes read/s from memory, from cache) of this machine with the best of some "
      "instruction sets (default all available), measured in 0.4 s.");
  m.def(
      "tasks",
      [](const std::string& symbol, nb::bytes params) {
        const KernelRef kernel = kernel_or_throw(symbol);
        return kernel.family->tasks(*kernel.row, params_or_throw(kernel, params).data());
      },
      "symbol"_a, "params"_a);
  m.def(
      "cost_ns",
      [](const std::string& symbol, nb::bytes params) {
        const KernelRef kernel = kernel_or_throw(symbol);
        return kernel.family->cost_ns(*kernel.row, params_or_throw(kernel, params).data());
      },
      "symbol"_a, "params"_a);
  m.def(
      "tile",
      [](const std::string& symbol, nb::bytes params) {
        const KernelRef kernel = compiled_or_throw(symbol);
        const auto values = params_or_throw(kernel, params);
        const Row& row = *kernel.row;
        const Tile tile = kernel.family->tile ? kernel.family->tile(row, values.data()) : Tile{row.mr, row.nr};
        return std::make_tuple(tile.rows, tile.columns);
      },
      "symbol"_a, "params"_a,
      "Rows and columns of the result that most of the call computes at once; 0, or 1 by 1, where that is no tile.");
  m.def("run_kernel", &run_kernel, "symbol"_a, "params"_a, "operands"_a, "threads"_a = 1, "chunk"_a = 1,
        "Runs one kernel on contiguous arrays, None for absent operands: what tests and benchmarks call.");
  m.def("packed_bytes", &packed_bytes, "symbol"_a, "params"_a);
  m.def(
      "packing_layout", [] { return kPackingLayout; },
      "Names what packs weights: the hash of the kernels and lowering rules that this module was built from.");
  m.def("pack", &pack, "symbol"_a, "params"_a, "src"_a, "dst"_a = nb::none(),
        "The packed form of a weight, in `dst` or a new 64-byte aligned uint8 array; the kernel's instruction set need "
        "not be there.");
  m.def("aligned_array", &aligned_array, "bytes"_a, "An uninitialized uint8 array at a 64-byte boundary.");
  m.def("weight_memory", &weight_memory, "bytes"_a,
        "A uint8 array at a 64-byte boundary; in huge pages as far as it fills them and the system has them.");

  nb::class_<Executor>(m, "Executor", "A model's constants, arenas and thread count.")
      .def(nb::init<Objects, int>(), "constants"_a, "threads"_a)
      .def_prop_ro("threads", &Executor::threads)
      .def_prop_ro("held_bytes", [](Executor& e) { return e.arenas().held_bytes(); })
      .def(
          "bind",
          [](std::shared_ptr<Executor> e, const std::vector<std::variant<StepTuple, BandsTuple>>& steps,
             size_t arena_bytes,
             const std::vector<CopyTuple>& copies) { return bind(std::move(e), steps, arena_bytes, copies); },
          "steps"_a, "arena_bytes"_a, "copies"_a = std::vector<CopyTuple>(),
          "A plan from steps (symbol, params, [(space, index, offset)]) and outputs that no step writes (output, "
          "location, bytes); spaces are none, constant, arena, input, output, fault, band. Steps that run in bands are "
          "one: (members, bytes of band memory, [(repeats, [task])], is_pipeline), a task being a list of calls "
          "(member, "
          "symbol, params, [(space, index, offset, bytes that each repeat adds)]); in a pipeline, every call waits for "
          "that of the task before.");

  nb::class_<Plan>(m, "Plan", "Steps with kernels, parameters and memory fixed; runs on many threads at once.")
      .def_prop_ro("arena_bytes", [](const Plan& p) { return p.bound->arena_bytes(); })
      .def("__len__", [](const Plan& p) { return p.bound->size(); })
      .def(
          "session",
          [](const Plan& p, Objects inputs, Objects outputs) {
            return std::make_unique<Session>(p.executor, p.bound, inputs, outputs);
          },
          "inputs"_a, "outputs"_a,
          "A run in parts, for plans with steps in Python between native ones; the arrays are contiguous and sized as "
          "planned.");

  nb::class_<Session>(m, "Session", "One run in progress.")
      .def(
          "run", [](Session& s, size_t first, size_t last) { return s.run(first, last, nullptr); }, "first"_a, "last"_a,
          "Runs steps [first, last) with the GIL released; returns the index of the step that met an index out of "
          "range "
          "and ended the run, else -1.")
      .def(
          "run_timed",
          [](Session& s, size_t first, size_t last) {
            std::vector<int64_t> ns(s.members(first, last));
            const int64_t fault = s.run(first, last, ns.data());
            return std::make_tuple(fault, ns);
          },
          "first"_a, "last"_a, "What run returns, and the nanoseconds of each member of the steps.")
      .def("finish", &Session::finish, "Copies the outputs that no step writes.")
      .def("arena_view", &Session::arena_view, "offset"_a, "bytes"_a,
           "Writable memory of the arena, valid while the session lives.");
}
