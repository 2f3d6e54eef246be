#include "kernels/fma/generic.h"
