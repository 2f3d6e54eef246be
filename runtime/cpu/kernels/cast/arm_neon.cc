#include "kernels/cast/generic.h"
