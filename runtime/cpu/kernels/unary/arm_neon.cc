#include "kernels/unary/generic.h"
