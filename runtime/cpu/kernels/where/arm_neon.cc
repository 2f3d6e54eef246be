#include "kernels/where/generic.h"
