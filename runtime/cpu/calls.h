// The short way from a Python call to a run.
#pragma once

#include <nanobind/nanobind.h>

namespace rushlight {

// Defines the class Calls.
void bind_calls(nanobind::module_& module);

}  // namespace rushlight
